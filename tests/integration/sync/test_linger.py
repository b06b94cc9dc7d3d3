"""A trickle of changes travels together, a backlog at once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sync import push
from sync.process.linger import WINDOW, Linger
from tests.world import HOME, World


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def linger(world: World, slept: list[float]) -> Linger:
    """Waits that take no time here, but do in the world."""

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        world.pass_time(seconds)

    return Linger(sleep)


def test_a_drain_waits_for_what_comes_within_the_window(
    world: World, linger: Linger, slept: list[float]
) -> None:
    world.approved()
    assert linger.gather(world.runtime, "push", HOME)
    assert slept == [WINDOW.total_seconds()]


def test_what_has_waited_already_waits_no_more(
    world: World, linger: Linger, slept: list[float]
) -> None:
    world.approved()
    world.pass_time(0.1)
    linger.gather(world.runtime, "push", HOME)
    world.pass_time(60)
    linger.gather(world.runtime, "push", HOME)
    assert slept == [pytest.approx(WINDOW.total_seconds() - 0.1), 0.0]


def test_a_full_batch_goes_at_once(world: World, linger: Linger, slept: list[float]) -> None:
    world.approved()
    door = world.doors[HOME]
    door._capabilities = replace(door.capabilities, write_batch=1)
    linger.gather(world.runtime, "push", HOME)
    assert slept == [0.0]


def test_without_work_nothing_waits(world: World, linger: Linger, slept: list[float]) -> None:
    linger.gather(world.runtime, "pull", HOME)
    assert slept == [0.0]


def test_a_second_nudge_leaves_the_work_to_the_first(world: World) -> None:
    seconds: list[bool] = []

    def sleep(_: float) -> None:
        seconds.append(waits.gather(world.runtime, "push", HOME))

    waits = Linger(sleep)
    world.approved()
    assert waits.gather(world.runtime, "push", HOME)
    assert seconds == [False]


def test_changes_of_one_window_cost_one_read_and_one_write(world: World, linger: Linger) -> None:
    first = world.approved("DE100")
    second = world.approved("DE100", token="u", product_line="support")
    world.settle()
    world.poll()
    calls = world.doors[HOME].calls
    calls.clear()

    world.update(first.number, deal_name="One")
    world.pass_time(0.1)
    world.update(second.number, deal_name="Two")
    linger.gather(world.runtime, "push", HOME)
    push.drain(world.runtime, HOME)

    assert (calls["read"], calls["update"]) == (1, 1)
