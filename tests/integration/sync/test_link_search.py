"""Linking an org that has worked for years: searched as a whole, accepted in bulk, taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select, update

from connectors.errors import CrmUnavailable
from connectors.memory import MemoryFault
from registration_core.contracts import Mode, Value
from registration_core.errors import DomainRefusal
from registration_core.limits import Limits
from registration_core.model import Customer, Registration
from registration_core.store import repository
from registration_core.store.audit import events
from sync import holding, ladder, leases, linking, proposing, resolving, searching, unlinking
from sync.fitting import Candidate, compare
from sync.ledger.tables import LeaseRow, LinkRow
from tests.world import BEN, HOME, World, build

DEALS = 4


@pytest.fixture
def world(fast_url: str) -> Iterator[World]:
    """A world whose home CRM has deals and links nothing yet, with four approved registrations."""
    made = build(fast_url)
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
    yield made
    made.runtime.close()


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
    found = ladder.report(world.runtime, HOME)
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


def test_only_what_is_surely_the_same_and_the_only_one_is_sure(world: World) -> None:
    deal(world, 0)
    deal(world, 1), deal(world, 1)
    deal(world, 2, Name="Something else")
    deal(world, 3, Closed=True)
    climb(world, Mode.LINK)

    found = search(world)
    assert [each.surely for each in found[0]] == [True]
    assert [(each.band, each.surely) for each in found[1]] == [("strong", False)] * 2
    assert [each.band for each in found[2]] == ["review"]
    assert found[3] == []
    assert found[0][0].evidence["agrees"] == "name"


@pytest.mark.parametrize(("amount", "surely"), [(5000, True), (4000, False)])
def test_an_account_that_only_has_the_name_takes_a_deal_that_agrees_in_more(
    world: World, amount: int, surely: bool
) -> None:
    account = world.orgs[HOME].add("Account", {"Name": "Customer 0 GmbH", "Country": "DE"})
    deal(world, 0, Amount=Decimal(amount), Account=account)
    climb(world, Mode.LINK)
    assert [each.surely for each in search(world)[0]] == [surely]


def test_nothing_is_searched_or_linked_before_the_rung_that_links(world: World) -> None:
    deal(world, 0)
    with pytest.raises(DomainRefusal, match="at observe, where nothing is linked"):
        search(world)


def test_links_are_made_in_bulk_and_nothing_is_written_on_that_rung(world: World) -> None:
    ids = [deal(world, number) for number in range(DEALS)]
    climb(world, Mode.LINK)
    search(world)
    world.doors[HOME].calls.clear()

    assert set(accept_sure(world).values()) == {None}
    assert world.doors[HOME].calls["read"] == 1
    world.settle()

    org = world.orgs[HOME]
    assert (world.doors[HOME].calls["update"], world.doors[HOME].calls["create"]) == (0, 0)
    assert [org.value("Deal", each, "Partner") for each in ids] == [None] * DEALS
    after = registration(world, 0)
    assert after.amount == Decimal(4000)  # what the home CRM holds is taken all the same
    with world.database.read() as session:
        kept = resolving.conflicts(session, everything=True)
    assert {(each.state, each.store["amount"]) for each in kept if "amount" in each.store} == {
        ("auto_settled", Decimal(5000))
    }

    climb(world, Mode.PUSH)
    world.settle()
    assert [org.value("Deal", each, "Partner") for each in ids] == ["Acme Partners"] * DEALS
    assert world.deals(HOME) == ids


def test_what_is_taken_at_a_first_link_is_no_mass_change(world: World) -> None:
    limits = Limits(taken_per_ten_minutes=1)
    world.runtime.limits[HOME] = limits  # type: ignore[index]
    for number in range(DEALS):
        deal(world, number)
    climb(world, Mode.LINK)
    search(world)
    accept_sure(world)
    world.settle()

    amounts = [registration(world, number).amount for number in range(DEALS)]
    assert amounts == [Decimal(4000)] * DEALS
    with world.database.read() as session:
        assert holding.held(session) == []


def test_a_search_that_was_interrupted_goes_on_where_it_stopped(world: World) -> None:
    world.doors[HOME]._feed_page = 1
    for number in range(DEALS):
        deal(world, number)
    climb(world, Mode.LINK)
    search_pages = iter(range(10))

    def break_off(call: str) -> None:
        if call == "changes" and next(search_pages) == 3:
            world.doors[HOME].fail(MemoryFault.UNAVAILABLE, "changes", times=1)

    world.doors[HOME].on_call = break_off
    with pytest.raises(CrmUnavailable):
        search(world)
    world.doors[HOME].on_call = None
    world.pass_time(60)
    world.doors[HOME].calls.clear()

    found = search(world)
    assert [len(each) for each in found.values()] == [1] * DEALS
    assert world.doors[HOME].calls["changes"] < DEALS + 1


def test_accepting_one_takes_the_record_from_the_others(world: World) -> None:
    deal(world, 0)
    climb(world, Mode.LINK)
    (first,) = search(world)[0]
    with world.database.begin() as unit:
        same = [Candidate(first.object, first.record_id, {})]
        proposing.propose(unit, registration(world, 2).id, HOME, same)

    linking.accept(world.runtime, first.id, BEN)
    with world.database.read() as session:
        assert linking.proposals(session) == []


def test_others_write_while_a_page_is_matched(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    deal(world, 0)
    climb(world, Mode.LINK)
    compared = []

    def compare_at_leisure(*args: Any, **more: Any) -> Candidate:
        with world.database.begin() as unit:
            unit.session.execute(update(LeaseRow).where(LeaseRow.fence < 0).values(fence=0))
        compared.append(args)
        return compare(*args, **more)

    monkeypatch.setattr(searching, "compare", compare_at_leisure)
    assert len(search(world)[0]) == len(compared) == 1


def test_what_is_linked_while_the_search_reads_is_not_proposed(world: World) -> None:
    """Another search's proposal is accepted while this one has read who has no record."""
    first, second = deal(world, 0), deal(world, 0)
    climb(world, Mode.LINK)
    ours = registration(world, 0)

    def link(call: str) -> None:
        if call == "count" and not links(world, ours):
            with world.database.begin() as unit:
                proposing.propose(unit, ours.id, HOME, [Candidate("Deal", first, {})])
            linking.accept(world.runtime, waiting(world)[0].id, BEN)

    world.doors[HOME].on_call = link
    assert search(world)[0] == []
    assert (links(world, ours), world.deals(HOME)) == ([first], [first, second])


def test_what_has_been_linked_is_said_and_the_others_are_accepted_all_the_same(
    world: World,
) -> None:
    for number in range(DEALS):
        deal(world, number)
    climb(world, Mode.LINK)
    search(world)
    sure = [each.id for each in waiting(world)]
    theirs, ours = deal(world, 1), registration(world, 1)
    with world.database.begin() as unit:
        unit.session.add(LinkRow.fresh(unit, ours.id, (HOME, "Deal", theirs), {}))

    ended = accept(world, [*sure, "no-such-proposal"])
    said = {why.message for why in ended.values() if why is not None}
    assert len(ended) - len(said) == DEALS - 1
    assert said == {
        f"{ours.number} is linked to {theirs} in alpha already.",
        "There is no link proposal no-such-proposal.",
    }


def test_what_is_not_sure_any_more_is_left_to_a_person(world: World) -> None:
    first, *_ = [deal(world, number) for number in range(DEALS)]
    climb(world, Mode.LINK)
    search(world)
    sure = [each.id for each in waiting(world)]
    ours = registration(world, 0).number
    deal(world, 0)
    assert len(search(world)[0]) == 2  # while somebody is asked whether to accept the sure ones

    said = [why.message for why in accept(world, sure).values() if why is not None]
    assert said == [f"{first} in alpha is not surely {ours} any more."]
    assert len(waiting(world)) == 2


@pytest.fixture
def stamped(world: World) -> str:
    """A rep's deal that is linked, and holds what we wrote to it."""
    record_id = deal(world, 0)
    climb(world, Mode.LINK)
    search(world)
    accept_sure(world)
    climb(world, Mode.PUSH)
    world.settle()
    return record_id


def unlink_while(world: World, call: str, act: Callable[[], object]) -> unlinking.Unlinked:
    """Take the link back; somebody acts right before the first such call."""

    def on_call(name: str) -> None:
        if name == call:
            world.doors[HOME].on_call = None
            act()

    world.doors[HOME].on_call = on_call
    number = registration(world, 0).number
    return unlinking.unlink(world.runtime, number, HOME, BEN, dry_run=False)


def unlinked(world: World) -> dict[str, Any]:
    """Return what the audit trail tells of the link that was taken back."""
    with world.database.read() as session:
        told = events(session, f"registration:{registration(world, 0).id}")
    (found,) = [each["internal"] for each in told if each["action"] == "unlink record"]
    return dict(found)


def test_what_is_typed_while_a_link_is_taken_back_is_told_and_kept(
    world: World, stamped: str
) -> None:
    org = world.orgs[HOME]
    gone = unlink_while(
        world, "update", lambda: org.edit("Deal", stamped, {"Partner": "Typed just now"}, "rep")
    )
    assert gone.replaced == {"partner_name": "Typed just now"}
    kept = [each["theirs"] for each in unlinked(world)["conflicts"] if each["group"] == "partner"]
    assert kept == [{"partner_name": "Typed just now"}]


def test_nothing_is_written_back_once_a_drain_has_taken_over(world: World, stamped: str) -> None:
    def take_over() -> None:
        with world.database.begin() as unit:
            unit.session.get_one(LeaseRow, f"push:{HOME}").fence += 1

    with pytest.raises(leases.LeaseLost):
        unlink_while(world, "read", take_over)
    assert world.orgs[HOME].value("Deal", stamped, "Partner") == "Acme Partners"


@pytest.mark.parametrize("call", ["read", "history"])
def test_a_link_that_moves_meanwhile_stays(world: World, stamped: str, call: str) -> None:
    ours = registration(world, 0)

    def move() -> None:
        with world.database.begin() as unit:
            row = unit.session.scalars(
                select(LinkRow).where(
                    LinkRow.registration_id == ours.id, LinkRow.connection == HOME
                )
            ).one()
            row.version += 1

    with pytest.raises(DomainRefusal, match="moved meanwhile"):
        unlink_while(world, call, move)
    assert links(world, ours) == [stamped]
    written = {"read": "Acme Partners", "history": None}[call]
    assert world.orgs[HOME].value("Deal", stamped, "Partner") == written

    unlinking.unlink(world.runtime, ours.number, HOME, BEN, dry_run=False)
    assert world.orgs[HOME].value("Deal", stamped, "Partner") is None


def test_a_link_that_is_taken_back_leaves_the_record_as_it_was(world: World, stamped: str) -> None:
    record_id = stamped
    org, ours = world.orgs[HOME], registration(world, 0)
    assert org.value("Deal", record_id, "State") == "approved"
    org.edit("Deal", record_id, {"Partner": "Typed by hand"}, "rep")

    gone = unlinking.unlink(world.runtime, ours.number, HOME, BEN, dry_run=False)
    held = {name: org.value("Deal", record_id, name) for name in ("State", "Protection", "Partner")}
    assert held == {"State": None, "Protection": None, "Partner": "Typed by hand"}
    assert gone.kept == {"Partner": "Typed by hand"}
    assert links(world, ours) == []
    kept = {(each["group"], each["state"]) for each in unlinked(world)["conflicts"]}
    assert ("amount", "auto_settled") in kept

    world.settle()  # ours is made now, and the record is not asked about again
    assert (
        len([each for each in world.deals(HOME) if org.value("Deal", each, "Key") == ours.id]) == 1
    )
