"""A deal with its account, contact and line item, cut off anywhere: completed, and nothing twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random

import pytest

from connectors.port import CreateItem, Outcome
from registration_core.model import Actor, Customer, Registration
from registration_core.store.database import UnitOfWork
from sync import checking, clock, push
from tests.beside import ORDER, made, use
from tests.world import HOME, World

#: Longest until a process that died is taken for dead, and a lost answer is looked up.
ROUND_SECONDS = 60


class Died(BaseException):
    """The process ended here."""


class Life:
    """A process that passes places where it can die, and dies at one of them."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self._world, self._thread = world, threading.current_thread()
        self._passed: list[str] = []
        self._dies_at: int | None = None
        door, database = world.doors[HOME], world.database
        create, begin = door.create, database.begin

        def creating(
            object_name: str, key_field: str, items: Sequence[CreateItem]
        ) -> tuple[Outcome, ...]:
            self._pass(f"before {object_name}")
            outcomes = create(object_name, key_field, items)
            self._pass(f"after {object_name}")
            return outcomes

        @contextmanager
        def beginning(*actor: Actor) -> Iterator[UnitOfWork]:
            with begin(*actor) as unit:
                yield unit
                self._pass("before a commit")

        monkeypatch.setattr(door, "create", creating)
        monkeypatch.setattr(database, "begin", beginning)

    def push_until(self, dies_at: int) -> str:
        """Push and die at the place of that number; returns which it was, empty where there is none."""
        self._passed, self._dies_at = [], dies_at
        try:
            push.drain(self._world.runtime, HOME)
        except Died:
            return self._passed[dies_at]
        finally:
            self._dies_at = None
        return ""

    def _pass(self, place: str) -> None:
        if threading.current_thread() is not self._thread:
            return  # what keeps the lease meanwhile
        self._passed.append(place)
        # Nothing that should run at the end of a process gets any further either.
        if self._dies_at is not None and len(self._passed) > self._dies_at:
            raise Died


def approved(world: World, random: Random) -> Registration:
    """Approve a deal of a customer and a contact that nobody knows."""
    word = "".join(random.choices("bcdfghklmnprstvw", k=9)).title()
    registration = world.submit(
        customer=Customer(f"{word} AS", "NO", tax_id=f"NO{random.randrange(10**8, 10**9)}"),
        token=word,
        contact_name="Buyer",
        contact_email=f"buyer@{word.lower()}.example",
    )
    checking.drain(world.runtime)
    return world.registration(registration.id)


@pytest.mark.parametrize("first", [0, 1], ids=["even", "odd"])
def test_a_deal_that_was_cut_off_anywhere_is_owed_and_completed_and_nothing_is_made_twice(
    world: World, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    use(world)
    random, life = Random(5), Life(world, monkeypatch)
    died: list[str] = []
    for number in range(first, 1000, 2):
        before = {name: len(made(world, name)) for name in ORDER}
        deal = approved(world, random)
        place = life.push_until(number)
        if not place:
            break
        died.append(place)
        there = [name for name in ORDER if len(made(world, name)) > before[name]]
        assert there == list(ORDER)[: len(there)], place
        if len(there) < len(ORDER):
            assert f"push:{HOME}" in clock.due_work(world.runtime), place
        for _ in range(6):
            world.pass_time(ROUND_SECONDS)
            push.drain(world.runtime, HOME)
            if f"push:{HOME}" not in clock.due_work(world.runtime):
                break

        after = {name: made(world, name)[before[name] :] for name in ORDER}
        assert {name: len(each) for name, each in after.items()} == dict.fromkeys(ORDER, 1), place
        (account,), (contact,), (record,), (item,) = (after[name] for name in ORDER)
        assert account["Key"] == deal.customer_id
        assert record["Key"] == contact["Key"] == item["Key"] == deal.id
        ids = {name: world.orgs[HOME].records(name)[-1].record_id for name in ORDER}
        assert (record["Account"], record["Contact"]) == (ids["Account"], ids["Contact"]), place
        assert (contact["Account"], item["Deal"]) == (ids["Account"], ids["Deal"]), place

    assert {place.split()[-1] for place in died} == {*ORDER, "commit"}
    assert died.count("before a commit") > 2 * len(ORDER)
