"""Linked or made, never both: a person links a record while ours is on its way to being made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import pytest

from connectors.memory import MemoryFault
from connectors.port import RemoteRecord
from registration_core.contracts import Value
from registration_core.errors import DomainRefusal
from registration_core.model import Customer, Registration
from sync import push
from sync.accounts import directory
from sync.links import linking
from sync.proposals import proposing
from sync.proposals.fitting import Candidate
from tests.world import BEN, HOME, World


@pytest.fixture
def approved(world: World) -> Registration:
    """A registration whose customer is no account of the CRM, so that no push looks for a deal."""
    return world.approved("DE555", customer=Customer("Sonnenhof Gartenbau GmbH", "DE"))


def reps_deal(world: World) -> str:
    values: dict[str, Value] = {
        "Name": "Cold chain",
        "Stage": "P",
        "Amount": Decimal(1),
        "Closed": False,
    }
    return world.orgs[HOME].add("Deal", values, "rep")


def propose(world: World, registration: Registration, record_id: str) -> str:
    """Propose a record, as the link search does; returns the proposal's id."""
    with world.database.begin() as unit:
        proposing.propose(unit, registration.id, HOME, [Candidate("Deal", record_id, {})])
        proposing.let_wait(unit, registration.id, HOME)
    with world.database.read() as session:
        (found,) = linking.proposals(session, HOME)
    return found.id


def meanwhile(world: World, call: str, act: Callable[[], object]) -> None:
    """Let somebody act right before the next such call of a push."""

    def on_call(name: str) -> None:
        if name == call:
            world.doors[HOME].on_call = None
            act()

    world.doors[HOME].on_call = on_call


def once_looked(world: World, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let somebody act once, right after a push has found no record with our key."""
    find = world.doors[HOME].find

    def acted(*args: Any) -> Mapping[str, RemoteRecord]:
        monkeypatch.undo()
        found = find(*args)
        act()
        return found

    monkeypatch.setattr(world.doors[HOME], "find", acted)


def linked(world: World, registration: Registration) -> list[str]:
    with world.database.read() as session:
        found = linking.links(session, registration.id)
    return [each.record_id for each in found if each.connection == HOME]


def test_what_is_linked_while_its_create_is_planned_is_not_made(
    world: World, approved: Registration, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_id = reps_deal(world)

    def accept() -> None:
        linking.accept(world.runtime, propose(world, approved, record_id), BEN)

    once_looked(world, monkeypatch, accept)
    world.push()
    world.settle()
    assert (world.deals(HOME), linked(world, approved)) == ([record_id], [record_id])


def test_what_a_person_is_asked_about_while_its_create_is_planned_waits_for_the_answer(
    world: World, approved: Registration, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_id = reps_deal(world)
    once_looked(world, monkeypatch, lambda: propose(world, approved, record_id))
    world.push()
    world.settle()
    assert (world.deals(HOME), linked(world, approved)) == ([record_id], [])

    with world.database.read() as session:
        (found,) = linking.proposals(session, HOME)
    linking.accept(world.runtime, found.id, BEN)
    world.settle()
    assert (world.deals(HOME), linked(world, approved)) == ([record_id], [record_id])


def test_nothing_is_linked_while_a_create_has_no_answer(
    world: World, approved: Registration
) -> None:
    proposal_id = ""

    def accept() -> None:
        nonlocal proposal_id
        proposal_id = propose(world, approved, reps_deal(world))
        with pytest.raises(DomainRefusal, match="is being made in alpha"):
            linking.accept(world.runtime, proposal_id, BEN)

    meanwhile(world, "create", accept)
    push.drain(world.runtime, HOME)
    (made,) = linked(world, approved)
    with pytest.raises(DomainRefusal, match=f"is linked to {made} in alpha already"):
        linking.accept(world.runtime, proposal_id, BEN)


def test_a_create_that_took_effect_after_it_was_given_up_wins(
    world: World, approved: Registration, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = world.doors[HOME]
    door.fail(MemoryFault.UNAVAILABLE, "create")
    push.drain(world.runtime, HOME)
    world.pass_time(60)
    record_id = reps_deal(world)
    once_looked(world, monkeypatch, lambda: propose(world, approved, record_id))
    push.drain(world.runtime, HOME)  # looks the create up, plans it again, and asks instead
    ours = world.orgs[HOME].add("Deal", {"Key": approved.id, "Name": "Cold chain"}, "us")

    with world.database.read() as session:
        (found,) = linking.proposals(session, HOME)
    with pytest.raises(DomainRefusal, match=f"one too many: ours was made after all, {ours}"):
        linking.accept(world.runtime, found.id, BEN)
    linking.reject(world.runtime, found.id, BEN)
    world.settle()
    assert (len(world.deals(HOME)), linked(world, approved)) == (2, [ours])


SPAETH = Customer("Spaeth Armaturen GmbH", "DE", tax_id="DE777")


def account_of(world: World, customer: Customer) -> str:
    """Let the CRM's search show an account at last."""
    values = {"Name": customer.name, "Country": customer.country, "Tax": customer.tax_id}
    account = world.orgs[HOME].add("Account", values)
    directory.refresh(world.runtime, HOME)
    return account


def test_an_account_that_is_heard_of_after_the_check_is_looked_at_before_the_create(
    world: World,
) -> None:
    made = world.approved(customer=SPAETH)
    account, theirs = account_of(world, SPAETH), reps_deal(world)
    world.orgs[HOME].edit("Deal", theirs, {"Account": account})

    push.drain(world.runtime, HOME)  # before the check that was asked for
    assert world.deals(HOME) == [theirs]

    world.settle()
    assert world.registration(made.id).accounts[HOME] == account
    assert world.deals(HOME) == [theirs]
    with world.database.read() as session:
        (asked,) = linking.proposals(session, HOME)
    assert asked.record_id == theirs


def test_an_account_that_is_heard_of_once_the_record_is_there_is_not_put_on_it(
    world: World,
) -> None:
    made = world.approved(customer=SPAETH)
    world.settle()
    account_of(world, SPAETH)
    world.settle()
    assert HOME not in world.registration(made.id).accounts
    assert world.deal(HOME, "Account") is None
