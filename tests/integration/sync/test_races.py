"""Races that the simulation found, told by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from connectors.errors import CrmUnavailable, RateLimited
from connectors.memory import MemoryFault
from connectors.port import Gone, Refused, RemoteRecord
from registration_core.model import Customer, Registration
from sync import pull, push, runs
from sync.conflicts import resolving
from sync.ledger.inbox import Notice, take_note
from sync.ledger.tables import ConnectionStateRow, IntentRow, LinkRow
from sync.outcomes.dead_letters import dead_letters
from sync.traffic import connection_state
from tests.beside import waits
from tests.world import HOME, World


def test_a_push_that_ends_while_a_pull_is_reading_is_not_taken_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world.approved()
    world.settle()
    (record_id,) = world.deals(HOME)
    world.edit(HOME, Stage="P")
    world.settle()
    with world.database.begin() as unit:
        take_note(unit, HOME, [Notice("Deal", record_id)], "webhook")
    door = world.doors[HOME]
    read = door.read
    raced: list[tuple[Any, ...]] = []

    def slow(*args: Any) -> Mapping[str, RemoteRecord | Gone]:
        found = read(*args)
        if not raced:
            raced.append(args)
            world.update(made.number, deal_name="Renamed here")
            push.drain(world.runtime, HOME)
        return found

    monkeypatch.setattr(door, "read", slow)
    pull.drain(world.runtime, HOME)

    assert raced
    assert world.registration(made.id).deal_name == "Renamed here"
    assert world.deal(HOME, "Name") == "Renamed here"


def test_a_notice_does_not_send_again_what_the_crm_has_refused(world: World) -> None:
    made = world.approved()
    world.settle()
    deal = world.orgs[HOME].schemas["Deal"]
    short = replace(deal.fields["Name"], length=10)
    world.orgs[HOME].schemas["Deal"] = replace(deal, fields={**deal.fields, "Name": short})
    world.update(made.number, deal_name="Too long for them")
    world.settle()
    (record_id,) = world.deals(HOME)
    calls = world.doors[HOME].calls["update"]

    with world.database.begin() as unit:
        take_note(unit, HOME, [Notice("Deal", record_id)], "webhook")
    world.settle()

    assert world.doors[HOME].calls["update"] == calls
    with world.database.read() as session:
        (letter,) = dead_letters(session, everything=True)
    assert letter.payload == {"Name": "Too long for them"}


@pytest.mark.parametrize("lost", ["update", "history"])
def test_an_overwritten_value_is_kept_even_if_the_answer_or_the_audit_fails(
    world: World, lost: str
) -> None:
    made = world.approved()
    world.settle()
    world.update(made.number, deal_name="Ours")
    world.edit_before_our_update(HOME, Name="Theirs, never read")
    world.doors[HOME].fail(MemoryFault.ANSWER_LOST, lost)
    world.settle()
    world.settle()  # the first failure paused the connection

    assert world.deal(HOME, "Name") == "Ours"
    with world.database.read() as session:
        (kept,) = resolving.conflicts(session, everything=True)
    assert kept.remote["deal_name"] == "Theirs, never read"


def test_an_overwritten_value_is_kept_even_if_the_link_followed_a_merge_before_the_audit(
    world: World,
) -> None:
    made = world.approved()
    world.settle()
    org, (record,) = world.orgs[HOME], world.deals(HOME)
    world.update(made.number, deal_name="Ours")
    world.edit_before_our_update(HOME, Name="Theirs, never read")
    world.doors[HOME].fail(MemoryFault.ANSWER_LOST, "history")
    world.push()
    org.merge("Deal", record, org.add("Deal", {"Name": "Ours"}))
    world.settle()
    world.settle()

    with world.database.read() as session:
        kept = resolving.conflicts(session, everything=True)
    assert "Theirs, never read" in [c.remote.get("deal_name") for c in kept]


@pytest.mark.parametrize("merged", [False, True], ids=["deleted", "merged away"])
def test_a_record_whose_create_was_never_answered_is_not_made_again_when_a_user_got_rid_of_it(
    world: World, *, merged: bool
) -> None:
    world.approved()
    world.doors[HOME].fail(MemoryFault.ANSWER_LOST, "create")
    world.push()
    (made,) = world.deals(HOME)
    org, survivor = world.orgs[HOME], ""
    if merged:
        survivor = org.add("Deal", {"Name": "The other one"})
        org.merge("Deal", made, survivor)
    else:
        org.remove("Deal", made)
    world.settle(seconds=5)
    world.settle()

    with world.database.read() as session:
        links = session.scalars(select(LinkRow).where(LinkRow.connection == HOME)).all()
    there = [deal.record_id for deal in org.records("Deal")]
    assert there == [survivor] * merged
    assert [(link.record_id, link.state) for link in links] == (
        [(survivor, "active")] if merged else [(made, "orphaned")]
    )


def _hold_up_the_create(world: World, made: Registration, then: Callable[[str], None]) -> None:
    """Let the first create be cut off, and take effect right before the third look."""
    finds: list[str] = []
    others = world.deals(HOME)

    def hold_up(operation: str) -> None:
        if operation == "create" and not finds[1:]:
            raise CrmUnavailable("held up", may_have_happened=True, connection=HOME)
        finds.extend([operation] * (operation == "find"))
        if finds[2:] and world.deals(HOME) == others:
            with world.database.read() as session:
                (intent,) = session.scalars(
                    select(IntentRow).where(
                        IntentRow.connection == HOME, IntentRow.registration_id == made.id
                    )
                )
            late = world.orgs[HOME].insert("Deal", {**intent.payload, "Key": made.id}, "us")
            assert not isinstance(late, Refused)
            then(late.record_id)

    world.doors[HOME].on_call = hold_up
    world.push()


def test_a_late_create_whose_record_another_deal_was_merged_into_waits_alone(world: World) -> None:
    other = world.approved()
    world.settle()
    (theirs,) = world.deals(HOME)
    made = world.approved(token="late", customer=Customer("Sundby Verft", "NO"))

    def merged(late: str) -> None:
        world.orgs[HOME].merge("Deal", theirs, late, "rep")
        world.poll()

    _hold_up_the_create(world, made, merged)
    world.settle(seconds=5)
    third = world.approved(token="third", customer=Customer("Kestrel Foods", "US"))
    world.settle()

    with world.database.read() as session:
        linked = {
            link.registration_id: link.state
            for link in session.scalars(select(LinkRow).where(LinkRow.connection == HOME))
        }
    assert linked == {other.id: "active", third.id: "active"}
    assert "linked to another registration" in waits(world, made)


def test_a_create_that_takes_effect_after_it_was_given_up_is_no_users_word(world: World) -> None:
    made = world.approved()
    _hold_up_the_create(world, made, lambda _: None)
    world.update(made.number, deal_name="Ours, later")
    world.settle(seconds=5)
    world.settle()

    assert world.deal(HOME, "Name") == "Ours, later"
    with world.database.read() as session:
        assert resolving.conflicts(session, everything=True) == []


def test_a_create_that_took_effect_late_is_not_taken_for_the_one_after_it(world: World) -> None:
    made = world.approved()

    def held_up(operation: str) -> None:
        if operation == "create":
            raise CrmUnavailable("held up", may_have_happened=True, connection=HOME)

    world.doors[HOME].on_call = held_up
    push.drain(world.runtime, HOME)
    world.update(made.number, deal_name="Ours, later")
    world.pass_time(60)
    push.drain(world.runtime, HOME)  # gives the first one up, and the second is not answered either
    world.doors[HOME].on_call = None
    with world.database.read() as session:
        first, second = session.scalars(
            select(IntentRow).where(IntentRow.connection == HOME).order_by(IntentRow.id)
        )
    assert (first.state, second.state) == ("not_done", "pending")
    world.orgs[HOME].add("Deal", {**first.payload, "Key": made.id}, "us")
    world.settle()
    world.settle()

    assert world.deal(HOME, "Name") == "Ours, later"
    with world.database.read() as session:
        assert resolving.conflicts(session, everything=True) == []


def test_a_user_who_changed_half_of_a_lost_write_has_agreed_to_the_other_half(world: World) -> None:
    made = world.approved()
    world.settle()
    world.update(made.number, deal_name="Ours", expected_close_on=date(2027, 1, 31))
    world.doors[HOME].fail(MemoryFault.ANSWER_LOST, "update")
    world.push()
    world.edit(HOME, Name="Theirs, who saw ours")
    world.update(made.number, expected_close_on=date(2027, 3, 31))
    world.settle(seconds=5)
    world.settle()

    assert world.deal(HOME, "Close") == date(2027, 3, 31)
    with world.database.read() as session:
        kept = resolving.conflicts(session, everything=True)
    assert not any("expected_close_on" in conflict.remote for conflict in kept)


def test_a_write_of_a_worker_that_stood_still_is_not_taken_for_a_users(world: World) -> None:
    made = world.approved()
    world.settle()
    world.edit(HOME, Stage="P")
    world.settle()
    world.update(made.number, deal_name="Older")
    world.doors[HOME].fail(MemoryFault.UNAVAILABLE, "update")
    world.settle()  # sent, as far as the worker can tell; it has not arrived when looked up
    world.update(made.number, deal_name="Newer")
    world.settle()
    world.settle()
    assert world.deal(HOME, "Name") == "Newer"

    (record_id,) = world.deals(HOME)
    org = world.orgs[HOME]
    org.edit("Deal", record_id, {"Name": "Older"}, org.us)  # now it arrives
    world.settle()
    world.settle()

    assert world.registration(made.id).deal_name == "Newer"
    assert world.deal(HOME, "Name") == "Newer"


def test_a_late_write_after_a_users_value_was_put_back_asks_nobody(world: World) -> None:
    made = world.approved()
    world.settle()
    world.update(made.number, amount=Decimal(6000))
    world.doors[HOME].fail(MemoryFault.UNAVAILABLE, "update")
    world.settle()  # as above
    world.update(made.number, amount=Decimal(7000))
    world.settle()
    world.settle()
    world.edit(HOME, Amount=Decimal(1))
    world.settle()
    world.settle()
    assert world.deal(HOME, "Amount") == Decimal(7000)

    (record_id,) = world.deals(HOME)
    org = world.orgs[HOME]
    org.edit("Deal", record_id, {"Amount": Decimal(6000)}, org.us)
    world.settle()
    world.settle()

    assert world.deal(HOME, "Amount") == Decimal(7000)
    with world.database.read() as session:
        assert resolving.conflicts(session) == []


def test_a_value_overwritten_by_a_worker_that_stood_still_is_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world.approved()
    world.settle()
    world.update(made.number, deal_name="Ours")
    door = world.doors[HOME]
    update = door.update
    stalled: list[tuple[Any, ...]] = []

    def held_up(*args: Any) -> Any:
        if not stalled:
            stalled.append(args)
            world.pass_time(20)  # the lease runs out
            push.drain(world.runtime, HOME)  # another worker looks the write up and writes itself
            world.edit(HOME, Name="Theirs, never read")
        return update(*args)

    monkeypatch.setattr(door, "update", held_up)
    world.settle()
    world.settle()

    assert stalled
    assert world.deal(HOME, "Name") == "Ours"
    with world.database.read() as session:
        kept = resolving.conflicts(session, everything=True)
    assert [c.remote["deal_name"] for c in kept] == ["Theirs, never read"]


def test_a_value_that_a_user_of_the_crm_replaced_himself_is_no_conflict(world: World) -> None:
    made = world.approved()
    world.settle()
    world.edit(HOME, Stage="P")
    world.settle()
    world.edit(HOME, Name="First thought")
    world.edit(HOME, Name="Second thought")  # stamped alike: stamps are whole seconds
    world.settle()
    world.update(made.number, deal_name="Ours, knowing the second")
    world.settle()

    assert world.deal(HOME, "Name") == "Ours, knowing the second"
    with world.database.read() as session:
        assert resolving.conflicts(session, everything=True) == []


def test_a_success_that_was_under_way_does_not_lift_a_pause_that_came_meanwhile(
    world: World,
) -> None:
    made = world.approved()
    world.settle()
    world.update(made.number, deal_name="Ours")
    world.doors[HOME].fail(MemoryFault.UNAVAILABLE, "read")
    push.drain(world.runtime, HOME)
    world.pass_time(60)
    told: list[str] = []

    def throttled_elsewhere(operation: str) -> None:
        if not told:
            told.append(operation)
            quiet = RateLimited("too many calls", retry_after_seconds=120, connection=HOME)
            connection_state.note_failure(world.database, HOME, quiet)

    world.doors[HOME].on_call = throttled_elsewhere
    push.drain(world.runtime, HOME)

    assert told
    with world.database.read() as session:
        state = session.get_one(ConnectionStateRow, HOME)
    assert state.paused_until == world.now + timedelta(seconds=120)


def test_a_round_that_died_as_it_noted_what_to_read_again_notes_it_the_next_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.approved()
    world.settle()
    world.pass_time(90_000)  # every linked record is due to be read again

    def die(*_: object) -> list[Notice]:
        raise ConnectionAbortedError

    with monkeypatch.context() as dying:
        dying.setattr(runs, "_linked", die)
        with pytest.raises(ConnectionAbortedError):
            runs.poll(world.runtime, HOME)

    world.pass_time(60)
    run = runs.poll(world.runtime, HOME)
    assert run is not None
    assert run.notices == run.records + len(world.deals(HOME))
