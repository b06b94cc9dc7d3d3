"""Two people change one value at once, and an admin settles it; or takes that back."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from cli.field_values import typed
from registration_core.errors import DomainRefusal, InvalidInput
from registration_core.fields import FieldGroup
from registration_core.model import Registration
from sync.conflicts import resolving
from sync.conflicts.resolving import Conflict
from tests.world import BEN, HOME, MIRROR, World, build


@pytest.fixture
def world(fast_url: str) -> Iterator[World]:
    """A world whose program lets a person settle amounts."""
    made = build(fast_url, wins={FieldGroup.AMOUNT: "manual"})
    yield made
    made.runtime.close()


@pytest.fixture
def deal(world: World) -> Registration:
    """A converted deal whose amount was changed here and in the home CRM before either was seen."""
    made = world.approved()
    world.settle()
    world.edit(HOME, Stage="P")
    world.settle()
    world.update(made.number, amount=Decimal(6000))
    world.edit(HOME, Amount=Decimal(7000))
    world.settle()
    return world.registration(made.id)


def the_conflict(world: World) -> Conflict:
    with world.database.read() as session:
        (found,) = resolving.conflicts(session)
    return found


def amounts(world: World, deal: Registration) -> tuple[object, object, object]:
    stored = world.registration(deal.id).amount
    return stored, world.deal(HOME, "Amount"), world.deal(MIRROR, "Amount")


def test_the_conflict_shows_base_ours_and_theirs_and_touches_neither_side(
    world: World, deal: Registration
) -> None:
    found = the_conflict(world)

    assert found.base is not None
    sides = (found.base["amount"], found.store["amount"], found.remote["amount"])
    assert sides == (Decimal(5000), Decimal(6000), Decimal(7000))
    assert amounts(world, deal)[:2] == (Decimal(6000), Decimal(7000))


def test_waiting_makes_no_second_conflict(world: World, deal: Registration) -> None:
    before = the_conflict(world).id
    world.settle()
    world.settle()
    assert the_conflict(world).id == before


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("ours", Decimal(6000)),
        ("theirs", Decimal(7000)),
        ({"amount": Decimal(6500)}, Decimal(6500)),
    ],
)
def test_a_resolution_goes_everywhere_and_undo_takes_it_back(
    world: World, deal: Registration, choice: object, expected: Decimal
) -> None:
    before = amounts(world, deal)
    found = the_conflict(world)

    resolving.resolve(world.runtime, found.id, choice, BEN)  # type: ignore[arg-type]
    world.settle()

    assert amounts(world, deal) == (expected, expected, expected)
    with world.database.read() as session:
        assert resolving.conflicts(session) == []

    resolving.undo(world.runtime, found.id, BEN)
    world.settle()

    assert amounts(world, deal)[:2] == before[:2]
    again = the_conflict(world)
    assert (again.store["amount"], again.remote["amount"]) == (Decimal(6000), Decimal(7000))


def test_theirs_names_the_value_that_stood_here_last(world: World, deal: Registration) -> None:
    found = the_conflict(world)
    world.update(deal.number, amount=Decimal(6100))  # no pass has looked at the link since

    settled = resolving.resolve(world.runtime, found.id, "theirs", BEN)
    world.settle()

    assert settled.store["amount"] == Decimal(6100)
    assert amounts(world, deal) == (Decimal(7000), Decimal(7000), Decimal(7000))


def test_ours_is_the_value_that_stands_here_now(world: World, deal: Registration) -> None:
    found = the_conflict(world)
    world.update(deal.number, amount=Decimal(6100))

    resolving.resolve(world.runtime, found.id, "ours", BEN)
    world.settle()

    assert amounts(world, deal) == (Decimal(6100), Decimal(6100), Decimal(6100))


def test_whoever_decided_on_an_older_value_is_refused_and_sees_the_new_one_next_time(
    world: World, deal: Registration
) -> None:
    found = the_conflict(world)
    world.update(deal.number, amount=Decimal(6100))

    with pytest.raises(DomainRefusal, match="amount here is 6100"):
        resolving.resolve(world.runtime, found.id, "theirs", BEN, seen=found)

    again = the_conflict(world)
    assert again.store["amount"] == Decimal(6100)
    resolving.resolve(world.runtime, found.id, "theirs", BEN, seen=again)


def test_undo_is_refused_once_somebody_changed_the_value_again(
    world: World, deal: Registration
) -> None:
    found = the_conflict(world)
    resolving.resolve(world.runtime, found.id, "ours", BEN)
    world.settle()
    world.edit(HOME, Amount=Decimal(8000))

    with pytest.raises(DomainRefusal, match="not what was resolved"):
        resolving.undo(world.runtime, found.id, BEN)


@pytest.mark.parametrize("pushed", [True, False], ids=["pushed", "not pushed"])
def test_what_a_user_types_after_an_undo_is_not_taken_back_with_it(
    world: World, deal: Registration, *, pushed: bool
) -> None:
    found = the_conflict(world)
    resolving.resolve(world.runtime, found.id, "ours", BEN)
    if pushed:
        world.settle()
    resolving.undo(world.runtime, found.id, BEN)
    world.edit(HOME, Amount=Decimal(8000))
    world.settle()

    again = the_conflict(world)
    assert (again.store["amount"], again.remote["amount"]) == (Decimal(6000), Decimal(8000))
    assert world.deal(HOME, "Amount") == Decimal(8000)


def test_a_resolved_conflict_is_not_resolved_twice(world: World, deal: Registration) -> None:
    found = the_conflict(world)
    resolving.resolve(world.runtime, found.id, "ours", BEN)

    with pytest.raises(DomainRefusal, match="was resolved by ben"):
        resolving.resolve(world.runtime, found.id, "theirs", BEN)


def test_a_value_of_the_wrong_kind_is_refused_and_loses_nothing(
    world: World, deal: Registration
) -> None:
    found = the_conflict(world)

    with pytest.raises(InvalidInput, match="amount cannot be 'many'"):
        resolving.resolve(
            world.runtime,
            found.id,
            typed({"amount": "many"}, resolving.program_of(world.runtime, found.id)),
            BEN,
        )

    assert the_conflict(world) == found


def test_a_conflict_that_the_rule_settled_can_be_reversed(fast_url: str) -> None:
    world = build(fast_url)
    made = world.approved()
    world.settle()
    world.edit(HOME, Stage="P")
    world.settle()
    world.update(made.number, amount=Decimal(6000))
    world.edit(HOME, Amount=Decimal(7000))
    world.settle()
    assert world.registration(made.id).amount == Decimal(7000)
    with world.database.read() as session:
        settled = [c for c in resolving.conflicts(session, everything=True) if c.settled]

    resolving.resolve(world.runtime, settled[-1].id, "ours", BEN)
    world.settle()

    assert amounts(world, made) == (Decimal(6000), Decimal(6000), Decimal(6000))
    world.runtime.close()


def test_the_conflict_closes_by_itself_when_both_sides_come_to_agree(
    world: World, deal: Registration
) -> None:
    world.edit(HOME, Amount=Decimal(6000))
    world.settle()

    with world.database.read() as session:
        assert resolving.conflicts(session) == []
    assert amounts(world, deal) == (Decimal(6000), Decimal(6000), Decimal(6000))
