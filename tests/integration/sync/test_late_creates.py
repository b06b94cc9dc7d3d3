"""A create that takes effect after it was given up is no user's word, and hides none."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from connectors.errors import CrmUnavailable
from connectors.memory import MemoryFault
from registration_core.model import Customer, Registration
from sync import push
from sync.conflicts import resolving
from sync.ledger.tables import IntentRow
from sync.links import linking
from sync.reports.today import today
from tests.integration.sync.test_decisions_and_edits import named
from tests.integration.sync.test_link_or_create import propose
from tests.world import BEN, HOME, World


def creates(world: World) -> list[IntentRow]:
    """Return what the home CRM was sent for the deals themselves, oldest first."""
    with world.database.read() as session:
        return list(
            session.scalars(
                select(IntentRow)
                .where(IntentRow.connection == HOME, IntentRow.companion == "")
                .order_by(IntentRow.id)
            )
        )


def names(world: World, registration: Registration) -> set[object]:
    """Return the names of a deal that stand on either side or are kept in a conflict."""
    stands = world.registration(registration.id).deal_name, world.deal(HOME, "Name")
    return {*stands, *named(world, "deal_name")}


def held_up(operation: str) -> None:
    if operation == "create":
        raise CrmUnavailable("held up", may_have_happened=True, connection=HOME)


def given_up(world: World, registration: Registration) -> IntentRow:
    """Hold up two creates of a deal, with a name each; returns the one that was given up."""
    world.doors[HOME].on_call = held_up
    push.drain(world.runtime, HOME)
    world.update(registration.number, deal_name="Ours, later")
    world.pass_time(60)
    push.drain(world.runtime, HOME)
    world.doors[HOME].on_call = None
    first, second = creates(world)
    assert (first.state, second.state) == ("not_done", "pending")
    return first


def test_a_late_create_that_a_rep_edited_does_not_hide_the_name_of_the_one_after_it(
    world: World,
) -> None:
    made = world.approved()
    first = given_up(world, made)
    record = world.orgs[HOME].add("Deal", {**first.payload, "Key": made.id}, "us")
    world.orgs[HOME].edit("Deal", record, {"Stage": "P"}, "rep")
    world.settle()
    world.settle()
    assert "Ours, later" in names(world, made)


def test_of_a_late_create_that_a_rep_renamed_both_names_are_kept(world: World) -> None:
    made = world.approved()
    first = given_up(world, made)
    record = world.orgs[HOME].add("Deal", {**first.payload, "Key": made.id}, "us")
    world.orgs[HOME].edit("Deal", record, {"Stage": "P", "Name": "The rep's"}, "rep")
    world.settle()
    world.settle()
    assert {"Ours, later", "The rep's"} <= names(world, made)


@pytest.mark.parametrize("edited", [False, True], ids=["untouched", "a rep edited it"])
def test_a_late_create_that_the_second_one_meets_takes_the_newer_name(
    world: World, monkeypatch: pytest.MonkeyPatch, *, edited: bool
) -> None:
    made = world.approved()
    door = world.doors[HOME]
    door.on_call = held_up
    push.drain(world.runtime, HOME)
    door.on_call = None
    world.update(made.number, deal_name="Ours, later")
    world.pass_time(60)
    create = door.create

    def late(object_name: str, key: str, items: Any) -> Any:
        if object_name == "Deal" and not world.deals(HOME):
            first = creates(world)[0]
            record = world.orgs[HOME].add("Deal", {**first.payload, "Key": made.id}, "us")
            if edited:
                world.orgs[HOME].edit("Deal", record, {"Stage": "P"}, "rep")
        return create(object_name, key, items)

    monkeypatch.setattr(door, "create", late)
    push.drain(world.runtime, HOME)
    world.settle()
    world.settle()

    assert world.deal(HOME, "Name") == "Ours, later"
    with world.database.read() as session:
        kept = resolving.conflicts(session, everything=True)
    assert not any("deal_name" in each.store for each in kept)


def test_a_create_that_takes_effect_after_another_record_was_linked_is_told_of(
    world: World,
) -> None:
    made = world.approved(customer=Customer("Sonnenhof Gartenbau GmbH", "DE"))
    world.doors[HOME].fail(MemoryFault.UNAVAILABLE, "create")
    push.drain(world.runtime, HOME)
    world.pass_time(60)
    theirs = world.orgs[HOME].add(
        "Deal", {"Name": "Cold chain", "Stage": "P", "Closed": False}, "rep"
    )
    proposal = propose(world, made, theirs)
    push.drain(world.runtime, HOME)
    (first,) = creates(world)
    assert first.state == "not_done"
    linking.accept(world.runtime, proposal, BEN)
    world.orgs[HOME].add("Deal", {**first.payload, "Key": made.id}, "us")
    world.settle()
    world.settle()
    world.pass_time(90_000)
    world.settle()

    assert len(world.deals(HOME)) == 2
    topics = [line.topic for line in today(world.runtime)]
    assert "dead letters" in topics  # it says that the key is taken
