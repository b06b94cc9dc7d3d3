"""The undo of a decision or of a run, while a write is in flight, late, or about something else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any, Literal

import pytest

from connectors.memory import MemoryFault
from registration_core.contracts import Fields
from registration_core.errors import DomainRefusal
from registration_core.fields import FieldGroup
from registration_core.model import Registration
from sync import push
from sync.conflicts import resolving
from sync.conflicts.resolving import Conflict
from sync.plans.planning import REPEATS_AGAINST_A_PERSON
from sync.repair import undoing
from tests.integration.sync.test_holding import push_runs
from tests.integration.sync.test_link_or_create import meanwhile
from tests.world import BEN, HOME, World, build

#: A program that lets a person settle these.
ASKED = {FieldGroup.AMOUNT: "manual", FieldGroup.CLOSE: "manual"}


@pytest.fixture
def world(fast_url: str) -> Iterator[World]:
    """A world whose program lets a person settle amounts and dates."""
    made = build(fast_url, wins=ASKED)
    yield made
    made.runtime.close()


@pytest.fixture
def deal(world: World) -> Registration:
    return contested(world)


def converted(world: World) -> Registration:
    """Approve a registration whose deal a salesperson then takes over."""
    made = world.approved()
    world.settle()
    world.edit(HOME, Stage="P")
    world.settle()
    return made


def contested(world: World) -> Registration:
    """Convert a deal and change its amount to 6000 here and to 7000 in the home CRM."""
    made = converted(world)
    world.update(made.number, amount=Decimal(6000))
    world.edit(HOME, Amount=Decimal(7000))
    world.settle()
    return world.registration(made.id)


def conflicts(world: World, *, everything: bool = False) -> list[Conflict]:
    with world.database.read() as session:
        return resolving.conflicts(session, everything=everything)


def lose_an_answer(world: World, deal: Registration) -> None:
    """Rename a deal here; the write arrives in the home CRM, and we do not hear of it."""
    world.update(deal.number, deal_name="Renamed")
    world.doors[HOME].fail(MemoryFault.ANSWER_LOST, "update")
    push.drain(world.runtime, HOME)
    world.pass_time(5)  # the failure paused the connection; the intent is still pending


def ours_twice(world: World, deal: Registration) -> dict[str, Conflict]:
    """Let a person keep our date as well as our amount; returns both conflicts by their group."""
    world.update(deal.number, expected_close_on=date(2027, 1, 1))
    world.edit(HOME, Close=date(2027, 2, 2))
    world.settle()
    found = {each.group.value: each for each in conflicts(world)}
    for each in found.values():
        resolving.resolve(world.runtime, each.id, "ours", BEN)
    world.settle()
    return found


def test_an_undo_whose_write_is_sent_again_is_not_taken_for_a_late_write(
    world: World, deal: Registration
) -> None:
    (found,) = conflicts(world)
    resolving.resolve(world.runtime, found.id, "ours", BEN)
    world.settle()
    assert world.deal(HOME, "Amount") == Decimal(6000)
    resolving.undo(world.runtime, found.id, BEN)
    world.doors[HOME].fail(MemoryFault.UNAVAILABLE, "update")
    for _ in range(3):
        world.settle()
    world.update(deal.number, deal_name="Renamed")
    world.settle()
    assert [each.id for each in conflicts(world)] == [found.id]
    assert world.deal(HOME, "Amount") == Decimal(7000)


@pytest.mark.parametrize("taken_over", [False, True], ids=["registered", "converted"])
def test_the_undo_of_a_run_whose_write_was_sent_again_leaves_ours(
    world: World, *, taken_over: bool
) -> None:
    if taken_over:
        made = converted(world)
    else:
        made = world.approved()
        world.settle()
    world.update(made.number, amount=Decimal(9000))
    world.doors[HOME].fail(MemoryFault.UNAVAILABLE, "update")
    world.settle()
    world.settle()
    undoing.undo(world.runtime, push_runs(world)[0].id, BEN, dry_run=False)
    for _ in range(4):
        world.settle()
    assert not conflicts(world)
    assert world.deal(HOME, "Amount") == Decimal(5000)
    assert world.registration(made.id).amount == Decimal(9000)


def test_an_undo_while_another_write_has_no_answer_is_not_forgotten(
    world: World, deal: Registration
) -> None:
    (found,) = conflicts(world)
    resolving.resolve(world.runtime, found.id, {"amount": Decimal(6500)}, BEN)
    world.settle()
    lose_an_answer(world, deal)
    resolving.undo(world.runtime, found.id, BEN)
    world.settle()
    world.settle()

    (again,) = conflicts(world)
    assert (again.store["amount"], again.remote["amount"]) == (Decimal(6000), Decimal(7000))
    assert world.deal(HOME, "Amount") == Decimal(7000)


def test_an_undo_of_ours_while_another_write_has_no_answer_is_not_forgotten(
    world: World, deal: Registration
) -> None:
    (found,) = conflicts(world)
    resolving.resolve(world.runtime, found.id, "ours", BEN)
    world.settle()
    lose_an_answer(world, deal)
    resolving.undo(world.runtime, found.id, BEN)
    world.settle()
    world.settle()

    assert len(conflicts(world)) == 1
    assert world.deal(HOME, "Amount") == Decimal(7000)


def test_an_undo_right_before_another_write_goes_out_is_not_forgotten(
    world: World, deal: Registration
) -> None:
    (found,) = conflicts(world)
    resolving.resolve(world.runtime, found.id, {"amount": Decimal(6500)}, BEN)
    world.settle()
    world.update(deal.number, deal_name="Renamed")
    meanwhile(world, "update", lambda: resolving.undo(world.runtime, found.id, BEN))
    world.settle()
    world.settle()

    (again,) = conflicts(world)
    assert (again.store["amount"], again.remote["amount"]) == (Decimal(6000), Decimal(7000))


@pytest.mark.parametrize("group", ["same", "another"])
def test_an_undo_right_after_a_write_of_the_same_or_another_group_took_effect_is_not_forgotten(
    world: World, deal: Registration, monkeypatch: pytest.MonkeyPatch, group: str
) -> None:
    (found,) = conflicts(world)
    resolving.resolve(world.runtime, found.id, {"amount": Decimal(6500)}, BEN)
    if group == "another":
        world.settle()
        world.update(deal.number, deal_name="Renamed here")
    door = world.doors[HOME]
    update = door.update
    done: list[Conflict] = []

    def undo(*args: Any) -> Any:
        answer = update(*args)
        if not done:
            world.pass_time(1)
            done.append(resolving.undo(world.runtime, found.id, BEN))
        return answer

    monkeypatch.setattr(door, "update", undo)
    push.drain(world.runtime, HOME)
    assert done
    world.settle()
    world.settle()

    assert world.deal(HOME, "Amount") == Decimal(7000)
    assert [c.remote["amount"] for c in conflicts(world)] == [Decimal(7000)]


def test_the_write_that_carries_one_undo_out_does_not_forget_another(
    world: World, deal: Registration
) -> None:
    found = ours_twice(world, deal)
    resolving.undo(world.runtime, found["amount"].id, BEN)
    world.doors[HOME].fail(MemoryFault.ANSWER_LOST, "update")
    push.drain(world.runtime, HOME)
    world.pass_time(5)
    resolving.undo(world.runtime, found["close"].id, BEN)
    world.settle()
    world.settle()

    assert {c.group.value for c in conflicts(world)} == {"amount", "close"}
    assert world.deal(HOME, "Close") == date(2027, 2, 2)


def test_the_breaker_does_not_count_what_an_undo_puts_back(world: World) -> None:
    made = world.approved()
    world.settle()
    for amount in (6000, 9000):
        world.update(made.number, amount=Decimal(amount))
        world.settle()
    undoing.undo(world.runtime, push_runs(world)[0].id, BEN, dry_run=False)
    world.settle()
    assert world.deal(HOME, "Amount") == Decimal(6000)
    world.update(made.number, amount=Decimal(6000))
    world.settle()
    for other in range(REPEATS_AGAINST_A_PERSON):
        world.edit(HOME, Amount=Decimal(7000 + other))
        world.settle()
        assert world.deal(HOME, "Amount") == Decimal(6000)
    world.edit(HOME, Amount=Decimal(8000))
    world.settle()
    assert [each.remote["amount"] for each in conflicts(world)] == [Decimal(8000)]


def test_the_undo_of_a_run_while_another_write_has_no_answer_is_not_forgotten(
    world: World,
) -> None:
    made = world.approved()
    world.settle()
    world.update(made.number, amount=Decimal(9000))
    world.settle()
    run = push_runs(world)[0]
    lose_an_answer(world, made)
    told = undoing.undo(world.runtime, run.id, BEN, dry_run=False)
    assert [t.kept_because for t in told] == [""]
    world.settle()
    world.settle()
    assert world.deal(HOME, "Amount") == Decimal(5000)


@pytest.mark.parametrize(
    ("choice", "amount"),
    [("ours", 6000), ({"amount": Decimal(5000)}, 5000)],
    ids=["ours", "what was agreed on before"],
)
def test_a_late_write_of_an_undo_does_not_take_back_the_next_decision(
    world: World, deal: Registration, choice: Literal["ours"] | Fields, amount: int
) -> None:
    (found,) = conflicts(world)
    resolving.resolve(world.runtime, found.id, "ours", BEN)
    world.settle()
    resolving.undo(world.runtime, found.id, BEN)
    world.doors[HOME].fail(MemoryFault.UNAVAILABLE, "update")
    world.settle()  # held up; another worker looks it up and writes it itself
    world.settle()
    assert world.deal(HOME, "Amount") == Decimal(7000)
    (again,) = conflicts(world)
    resolving.resolve(world.runtime, again.id, choice, BEN)
    world.settle()
    assert world.deal(HOME, "Amount") == Decimal(amount)

    (record_id,) = world.deals(HOME)
    org = world.orgs[HOME]
    org.edit("Deal", record_id, {"Amount": Decimal(7000)}, org.us)  # now it arrives
    world.settle()
    world.settle()
    assert world.registration(deal.id).amount == Decimal(amount)
    assert world.deal(HOME, "Amount") == Decimal(amount)


def test_half_of_a_lost_undo_is_not_agreed_on(world: World, deal: Registration) -> None:
    for each in ours_twice(world, deal).values():
        resolving.undo(world.runtime, each.id, BEN)
    world.doors[HOME].fail(MemoryFault.ANSWER_LOST, "update")
    push.drain(world.runtime, HOME)
    assert world.deal(HOME, "Amount") == Decimal(7000)
    world.edit(HOME, Close=date(2027, 3, 3))
    world.settle()
    world.settle()
    assert world.deal(HOME, "Amount") == Decimal(7000)
    assert {c.group.value for c in conflicts(world)} == {"amount", "close"}


def _ours_for_what_cannot_be_kept_here(world: World) -> tuple[Registration, Conflict]:
    made = converted(world)
    world.edit(HOME, Amount=Decimal("1e12"))
    world.settle()
    (found,) = conflicts(world)
    resolving.resolve(world.runtime, found.id, "ours", BEN)
    world.settle()
    return made, found


def test_an_undo_leaves_what_was_agreed_of_other_groups_alone(world: World) -> None:
    made, found = _ours_for_what_cannot_be_kept_here(world)
    world.update(made.number, deal_name="Second name")
    world.settle()
    assert world.deal(HOME, "Name") == "Second name"
    world.update(made.number, deal_name="Third name")  # not pushed yet
    resolving.undo(world.runtime, found.id, BEN)
    world.settle()
    world.settle()

    assert world.registration(made.id).deal_name == "Third name"
    assert world.deal(HOME, "Name") == "Third name"
    assert "name" not in {c.group.value for c in conflicts(world, everything=True)}


def test_what_a_user_types_of_another_group_before_an_undo_is_no_conflict(world: World) -> None:
    made, found = _ours_for_what_cannot_be_kept_here(world)
    world.update(made.number, expected_close_on=date(2027, 1, 1))
    world.settle()
    world.edit(HOME, Close=date(2027, 2, 2))  # whoever types it has seen ours
    resolving.undo(world.runtime, found.id, BEN)
    world.settle()
    world.settle()
    assert {c.group.value for c in conflicts(world)} == {"amount"}
    assert world.registration(made.id).expected_close_on == date(2027, 2, 2)


def test_an_undone_run_puts_back_both_of_its_writes_to_one_record(world: World) -> None:
    made = world.approved()
    world.settle()
    meanwhile(world, "update", lambda: world.update(made.number, deal_name="Renamed"))
    world.pass_time(60)
    world.update(made.number, amount=Decimal(9000))
    push.drain(world.runtime, HOME)
    assert (world.deal(HOME, "Amount"), world.deal(HOME, "Name")) == (Decimal(9000), "Renamed")
    run = push_runs(world)[0]
    assert run.records == 2
    told = undoing.undo(world.runtime, run.id, BEN, dry_run=False)
    assert [t.kept_because for t in told] == [""]
    world.settle()
    assert (world.deal(HOME, "Amount"), world.deal(HOME, "Name")) == (Decimal(5000), "Cold chain")


def test_a_run_that_wrote_one_field_twice_goes_back_to_what_stood_before_both(
    world: World,
) -> None:
    made = world.approved()
    world.settle()
    meanwhile(world, "update", lambda: world.update(made.number, amount=Decimal(9500)))
    world.pass_time(60)
    world.update(made.number, amount=Decimal(9000))
    push.drain(world.runtime, HOME)
    assert world.deal(HOME, "Amount") == Decimal(9500)
    undoing.undo(world.runtime, push_runs(world)[0].id, BEN, dry_run=False)
    world.settle()
    assert world.deal(HOME, "Amount") == Decimal(5000)


def test_an_older_decision_is_not_taken_back_while_a_newer_conflict_is_open(
    world: World, deal: Registration
) -> None:
    (found,) = conflicts(world)
    resolving.resolve(world.runtime, found.id, "ours", BEN)
    world.settle()
    world.edit(HOME, Amount=Decimal(7000))
    world.settle()
    world.edit(HOME, Amount=Decimal(7000))
    world.update(deal.number, amount=Decimal(6000))
    world.settle()
    world.update(deal.number, amount=Decimal(6100))
    world.edit(HOME, Amount=Decimal(7000))
    world.settle()
    (newer,) = conflicts(world)
    assert newer.id != found.id
    world.update(deal.number, amount=Decimal(6000))
    with pytest.raises(DomainRefusal, match=f"newer conflict .* is open: {newer.id}"):
        resolving.undo(world.runtime, found.id, BEN)


def test_the_decision_after_an_undo_that_was_not_pushed_yet_stands(
    world: World, deal: Registration
) -> None:
    (found,) = conflicts(world)
    resolving.resolve(world.runtime, found.id, "ours", BEN)
    world.settle()
    resolving.undo(world.runtime, found.id, BEN)
    resolving.resolve(world.runtime, found.id, {"amount": Decimal(6600)}, BEN)
    world.settle()
    world.settle()
    assert world.deal(HOME, "Amount") == Decimal(6600)
    assert world.registration(deal.id).amount == Decimal(6600)
    assert conflicts(world) == []
