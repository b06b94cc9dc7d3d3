"""An org that has worked for years: reps' deals that may be those of approved registrations."""

from __future__ import annotations

from decimal import Decimal

from registration_core.contracts import Mode, Value
from registration_core.errors import DomainRefusal
from registration_core.model import Customer, Registration
from registration_core.store import repository
from sync.gates import grading, ladder
from sync.links import linking
from sync.proposals import searching
from tests.world import BEN, HOME, World, build

#: So many registrations are approved and have no record there.
DEALS = 4


def old_org(url: str) -> World:
    """Build a world whose home CRM links nothing yet, with some approved registrations."""
    made = build(url)
    for name in made.doors:
        ladder.demote(made.runtime, name, BEN, to=Mode.OBSERVE)
    for number in range(DEALS):
        tax = f"DE7{number:03d}"
        made.orgs[HOME].add(
            "Account", {"Name": f"Customer {number} GmbH", "Country": "DE", "Tax": tax}
        )
        made.submit(
            token=f"t{number}", deal_name=f"Cold chain {number}",
            customer=Customer(f"Customer {number} GmbH", "DE", tax_id=tax),
        )  # fmt: skip
    made.settle()
    made.pass_time(120)
    return made


def deal(world: World, number: int, **values: Value) -> str:
    """Add a rep's deal on the account of a customer; the same deal as its registration's."""
    tax = f"DE7{number:03d}"
    (account,) = [r for r in world.orgs[HOME].records("Account") if r.fields["Tax"] == tax]
    same: dict[str, Value] = {
        "Name": f"Cold Chain {number}", "Stage": "P", "Amount": Decimal(4000), "Currency": "EUR",
        "Account": account.record_id, "Owner": "rep-1", "Closed": False,
    }  # fmt: skip
    return world.orgs[HOME].add("Deal", same | values, "rep")


def climb(world: World, to: Mode) -> None:
    found = grading.report(world.runtime, HOME)
    ladder.promote(world.runtime, HOME, BEN, found=found, to=to)


def search(world: World) -> dict[int, list[linking.LinkProposal]]:
    """Search the home CRM; returns what is proposed, by the number of the customer."""
    searching.search(world.runtime, HOME, BEN, lambda done, total: None)
    found: dict[int, list[linking.LinkProposal]] = {n: [] for n in range(DEALS)}
    with world.database.read() as session:
        for each in linking.proposals(session):
            ours = world.registration(each.registration_id)
            found[int(ours.customer.tax_id[-1])].append(each)
    return found


def registration(world: World, number: int) -> Registration:
    with world.database.read() as session:
        found = repository.registrations(session)
    return next(each for each in found if each.customer.name == f"Customer {number} GmbH")


def waiting(world: World) -> list[linking.LinkProposal]:
    with world.database.read() as session:
        return linking.proposals(session)


def links(world: World, ours: Registration) -> list[str]:
    with world.database.read() as session:
        found = linking.links(session, ours.id)
    return [each.record_id for each in found if each.connection == HOME]


def accept_sure(world: World) -> dict[str, DomainRefusal | None]:
    return accept(world, [each.id for each in waiting(world) if each.surely])


def accept(world: World, sure: list[str]) -> dict[str, DomainRefusal | None]:
    return linking.accept_all(world.runtime, sure, BEN, lambda done, total: None, surely=True)
