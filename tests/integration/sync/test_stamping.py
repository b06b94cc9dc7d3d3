"""An opportunity of others with a protected customer gets the name of the registered partner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from decimal import Decimal

import pytest

from connectors.memory import MemoryFault
from connectors.port import Deferred, Outcome, UpdateItem
from registration_core import protecting
from registration_core.contracts import Mode, Value
from registration_core.limits import Limits
from registration_core.model import DisputeState, ProtectionState, Registration
from sync import clock, runs
from sync.gates import grading, holding, ladder
from sync.links import linking
from sync.outcomes import dead_letters, stamps
from sync.repair import undoing
from tests.integration.sync.test_mapping_manners import remap
from tests.world import BEN, HOME, World, build

PARTNER = "Acme Partners"
STAMP = {
    "  key: Key\n  open:": "  key: Key\n  stamp: [{ours: partner_name, theirs: Remark}]\n  open:"
}


@pytest.fixture
def world(fast_url: str) -> Iterator[World]:
    """A world whose home CRM has a field for the registered partner."""
    made = build(fast_url)
    remap(made, STAMP)
    yield made
    made.runtime.close()


@pytest.fixture
def protected(world: World) -> Registration:
    """A registration that is protected and agreed on everywhere."""
    made = world.approved()
    world.settle()
    return world.registration(made.id)


def open_deal(world: World, **more: Value) -> str:
    """Open a deal with the protected customer, as own sales does; returns its id."""
    org = world.orgs[HOME]
    (account,) = [r for r in org.records("Account") if r.fields["Tax"] == "DE100"]
    deal: dict[str, Value] = {
        "Name": "Direct",
        "Stage": "P",
        "Account": account.record_id,
        "Closed": False,
    }
    world.pass_time(60)
    return org.add("Deal", {**deal, **more}, "rep")


def stamped(world: World, deal: str) -> Value:
    return world.orgs[HOME].value("Deal", deal, "Remark")


def letters(world: World) -> list[dead_letters.DeadLetter]:
    with world.database.read() as session:
        return dead_letters.dead_letters(session)


def test_a_direct_opportunity_is_stamped_and_disputed_and_the_claim_stands(
    world: World, protected: Registration
) -> None:
    deal = open_deal(world)
    world.settle()
    after = world.registration(protected.id)
    assert stamped(world, deal) == PARTNER
    assert after.dispute_state is DisputeState.OPEN
    assert after.protection_state is ProtectionState.ACTIVE


def test_nothing_is_stamped_where_the_mapping_has_no_stamp(
    world: World, protected: Registration
) -> None:
    remap(world, {})
    deal = open_deal(world)
    world.settle()
    assert world.registration(protected.id).dispute_state is DisputeState.OPEN
    assert stamped(world, deal) is None


def test_a_stamp_fills_what_is_empty_and_only_once(world: World, protected: Registration) -> None:
    filled, deal = open_deal(world, Remark="Another partner"), open_deal(world)
    world.settle()
    world.orgs[HOME].edit("Deal", deal, {"Remark": None}, "rep")
    world.settle()
    assert (stamped(world, filled), stamped(world, deal)) == ("Another partner", None)


def test_a_stamp_waits_on_rungs_that_do_not_write(world: World, protected: Registration) -> None:
    ladder.demote(world.runtime, HOME, BEN, to=Mode.OBSERVE)
    deal = open_deal(world)
    world.settle()
    assert stamped(world, deal) is None
    found = grading.report(world.runtime, HOME)
    ladder.promote(world.runtime, HOME, BEN, found=found, to=Mode.PUSH)
    assert f"push:{HOME}" in clock.due_work(world.runtime)
    world.settle()
    assert stamped(world, deal) == PARTNER


def test_a_stamp_over_a_cap_is_held_until_it_is_released(
    world: World, protected: Registration
) -> None:
    caps = {each.name: 0 for each in fields(Limits)} | {"writes_per_hour": 1}
    world.runtime = replace(world.runtime, limits={HOME: Limits(**caps)})
    world.update(protected.id, amount=Decimal(9000))
    world.push()
    deal = open_deal(world)
    world.settle(seconds=1)
    assert stamped(world, deal) is None
    with world.database.read() as session:
        (item,) = holding.held(session)
    holding.release(world.runtime, item.id, BEN)
    world.settle(seconds=1)
    assert stamped(world, deal) == PARTNER


def test_a_stamp_whose_answer_is_lost_is_looked_up_and_not_sent_again(
    world: World, protected: Registration
) -> None:
    deal = open_deal(world)
    world.doors[HOME].fail(MemoryFault.ANSWER_LOST, "update")
    world.settle()
    assert stamped(world, deal) == PARTNER
    assert world.doors[HOME].calls["update"] == 1


def test_a_stamp_that_never_succeeds_is_a_dead_letter_and_can_be_tried_again(
    world: World, protected: Registration
) -> None:
    deal = open_deal(world)
    world.doors[HOME].fail(MemoryFault.STALE, "update", times=None)
    for _ in range(stamps.ATTEMPTS_MAX):
        world.settle(seconds=200)
    (letter,) = letters(world)
    assert (letter.kind, letter.record_id) == ("stamp", deal)
    world.doors[HOME].recover()
    dead_letters.retry(world.runtime, letter.id, BEN)
    world.settle()
    assert stamped(world, deal) == PARTNER


def test_a_throttled_stamp_waits_and_has_not_been_tried(
    world: World, protected: Registration, monkeypatch: pytest.MonkeyPatch
) -> None:
    deal, update, calls = open_deal(world), world.doors[HOME].update, list[int]()

    def throttled(_object: str, items: Sequence[UpdateItem]) -> tuple[Outcome, ...]:
        calls.append(len(items))
        return tuple(Deferred("one too many", 120.0, tried=False, throttled=True) for _ in items)

    monkeypatch.setattr(world.doors[HOME], "update", throttled)
    for _ in range(stamps.ATTEMPTS_MAX + 1):
        world.settle(seconds=200)
    assert len(calls) > stamps.ATTEMPTS_MAX
    assert letters(world) == []
    monkeypatch.setattr(world.doors[HOME], "update", update)
    world.settle(seconds=200)
    assert stamped(world, deal) == PARTNER


def test_a_value_that_a_stamp_replaced_unread_is_kept(
    world: World, protected: Registration, monkeypatch: pytest.MonkeyPatch
) -> None:
    deal, update = open_deal(world), world.doors[HOME].update

    def meanwhile(name: str, items: Sequence[UpdateItem]) -> tuple[Outcome, ...]:
        world.orgs[HOME].edit("Deal", deal, {"Remark": "Typed meanwhile"}, "rep")
        world.pass_time(1)
        return update(name, items)

    monkeypatch.setattr(world.doors[HOME], "update", meanwhile)
    world.settle()
    (letter,) = letters(world)
    assert letter.code == "overwritten"
    assert "Typed meanwhile" in letter.reason


def test_an_undo_of_the_run_says_that_a_stamp_stays(world: World, protected: Registration) -> None:
    open_deal(world)
    world.settle()
    with world.database.read() as session:
        newest = runs.runs(session)
    run = next(each for each in newest if each.kind == "push")
    (kept,) = undoing.undo(world.runtime, run.id, BEN, dry_run=True)
    assert "clear it there" in kept.kept_because


def test_a_stamp_that_came_to_nothing_is_asked_for_anew_by_the_next_claim(
    world: World, protected: Registration
) -> None:
    ladder.demote(world.runtime, HOME, BEN, to=Mode.OBSERVE)
    deal = open_deal(world)
    world.settle()
    end_protection(world)
    push_again(world)
    claim_and_reopen(world, deal)
    assert stamped(world, deal) == "Beta Partners"


def test_a_stamp_that_waits_for_a_claim_that_is_over_is_taken_over_by_the_next(
    world: World, protected: Registration
) -> None:
    ladder.demote(world.runtime, HOME, BEN, to=Mode.OBSERVE)
    deal = open_deal(world)
    world.settle()
    end_protection(world)
    claim_and_reopen(world, deal)
    push_again(world)
    with world.database.read() as session:
        (proposed,) = linking.proposals(session)
    linking.reject(world.runtime, proposed.id, BEN)  # it is own sales', not the partner's
    world.settle()
    assert stamped(world, deal) == "Beta Partners"


def claim_and_reopen(world: World, deal: str) -> None:
    """Let another partner claim the customer while own sales' deal is closed; then it goes on."""
    world.orgs[HOME].edit("Deal", deal, {"Closed": True}, "rep")
    world.settle()
    world.approved(token="next", partner_code="BETA")
    world.settle()
    world.orgs[HOME].edit("Deal", deal, {"Closed": False}, "rep")
    world.settle()


def end_protection(world: World) -> None:
    """Let the time of every protection run out."""
    world.pass_time(91 * 86_400)
    with world.database.begin() as unit:
        protecting.expire_due(unit)


def push_again(world: World) -> None:
    """Let the home CRM be written to again, and write what waits."""
    found = grading.report(world.runtime, HOME)
    ladder.promote(world.runtime, HOME, BEN, found=found, to=Mode.PUSH)
    world.settle()
