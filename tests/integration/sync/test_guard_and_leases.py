"""No CRM call inside a transaction, no call to another org, one drain per lane."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from connectors.errors import RateLimited
from connectors.memory import MemoryConnector, MemoryFault
from connectors.memory_org import MemoryOrg
from connectors.port import CreateItem, Deferred, Outcome
from registration_core.contracts import ConnectionName
from registration_core.model import RegistrationState
from registration_core.store.tables import OutboxRow
from sync import clock, push
from sync.ledger.tables import LeaseRow
from sync.outcomes import settling
from sync.process import leases
from sync.traffic import budget, connection_state
from sync.traffic.guard import (
    CallMetrics,
    ConnectionPaused,
    GuardedConnector,
    Lane,
    OrgMismatch,
    lane,
)
from tests.world import ACCOUNT, DEAL, HOME, MIRROR, World


def test_a_crm_call_inside_a_transaction_is_a_programming_error(world: World) -> None:
    with (
        world.database.begin(),
        pytest.raises(AssertionError, match="transaction is open during identity of alpha"),
    ):
        world.runtime.connector(HOME).describe("Deal")


def test_another_org_than_the_pinned_one_is_refused_and_everything_else_runs(world: World) -> None:
    world.approved()
    world.push()
    stranger = MemoryOrg(lambda: world.now, [DEAL, ACCOUNT], org_id="somebody-else")
    door = GuardedConnector(
        MemoryConnector(HOME, stranger), world.database, CallMetrics(CollectorRegistry())
    )

    with pytest.raises(OrgMismatch, match="pinned to the org org-alpha, but somebody-else"):
        door.describe("Deal")

    assert len(world.deals(MIRROR)) == 1


def test_a_throttled_connection_rests_as_long_as_it_was_told_on_every_worker(world: World) -> None:
    world.approved()
    world.doors[HOME].fail(MemoryFault.RATE_LIMITED)

    push.drain(world.runtime, HOME)

    with pytest.raises(ConnectionPaused):
        world.runtime.connector(HOME).describe("Deal")
    world.settle()
    assert len(world.deals(HOME)) == 1


def test_a_throttled_row_rests_the_connection_on_every_worker_and_is_no_attempt_of_the_row(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, door = world.approved(), world.doors[HOME]
    create, calls = door.create, list[int]()

    def throttled(_object: str, _key: str, items: Sequence[CreateItem]) -> tuple[Outcome, ...]:
        calls.append(len(items))
        return tuple(Deferred("one too many", 120.0, tried=False, throttled=True) for _ in items)

    monkeypatch.setattr(door, "create", throttled)
    for turn in range(1, 2 * settling.ATTEMPTS_MAX):
        push.drain(world.runtime, HOME)
        with pytest.raises(ConnectionPaused, match="one too many"):
            world.runtime.connector(HOME).describe("Deal")
        assert len(calls) == turn
        world.pass_time(121)
    with world.database.read() as session:
        row = session.get_one(OutboxRow, (made.id, HOME))
    assert (row.state, row.attempts, row.reason) == ("open", 0, "one too many")

    monkeypatch.setattr(door, "create", create)
    world.settle()
    assert len(world.deals(HOME)) == 1


def test_after_a_throttling_all_workers_together_begin_slowly_and_a_check_goes_at_once(
    world: World,
) -> None:
    def sleep(seconds: float) -> None:
        raise _MustWaitError(seconds)

    metrics = CallMetrics(CollectorRegistry())
    doors = [
        GuardedConnector(world.doors[HOME], world.database, metrics, sleep=sleep) for _ in range(2)
    ]
    for door in doors:
        door.identity()  # from here on one use is one call
    world.doors[HOME].fail(MemoryFault.RATE_LIMITED)
    with pytest.raises(RateLimited) as told:
        doors[0].describe("Deal")
    world.pass_time(told.value.retry_after_seconds)

    def calls_in_this_second() -> int:
        """Let both workers call in turns until one has to wait for the next second."""
        for turn in range(300):
            try:
                doors[turn % 2].describe("Deal")
            except _MustWaitError:
                return turn
        return 300

    assert calls_in_this_second() == budget.FIRST_CALLS
    with pytest.raises(_MustWaitError, match=r"1\.0"):
        doors[0].describe("Deal")
    with lane(Lane.CHECK):
        doors[0].describe("Deal")
    world.pass_time(1)
    assert calls_in_this_second() == budget.FIRST_CALLS
    world.pass_time(budget.DOUBLING.total_seconds())
    assert calls_in_this_second() == 2 * budget.FIRST_CALLS
    world.pass_time(budget.UNLIMITED_AFTER.total_seconds())
    assert calls_in_this_second() == 300


def test_searches_of_all_workers_take_turns(world: World) -> None:
    workers = [budget.SearchTurns(world.database, HOME) for _ in range(2)]

    waits = [workers[turn % 2].take(0.25) for turn in range(4)]
    assert waits == [0.0, 0.25, 0.5, 0.75]
    world.pass_time(5)
    assert workers[0].take(0.25) == 0.0


def test_turns_far_ahead_are_nobodys_and_do_not_stop_the_searches(world: World) -> None:
    turns = budget.SearchTurns(world.database, HOME)
    with world.database.begin() as unit:
        connection_state.held(unit, HOME).search_at = unit.now + timedelta(days=1)
    assert [turns.take(10) for _ in range(5)] == [0, 10, 20, 30, 0]


class _MustWaitError(Exception):
    """A call would have waited for so many seconds."""


def test_a_held_lease_is_not_given_twice_and_runs_out_with_its_holder(world: World) -> None:
    with leases.held(world.database, "push:x") as mine:
        assert mine is not None
        with leases.held(world.database, "push:x") as other:
            assert other is None
        world.pass_time(leases.LEASE.total_seconds() + 1)
        with leases.held(world.database, "push:x") as taken:
            assert taken is not None
            assert taken.fence > mine.fence
            with pytest.raises(leases.LeaseLost):
                leases.require(world.database, mine)


def test_a_schedule_slot_fires_once_however_many_clocks_tick(world: World) -> None:
    fired: list[str] = []

    def tick() -> None:
        fired.extend(k for k in clock.tick(world.runtime, lambda kinds: None) if "poll" in k)

    threads = [threading.Thread(target=tick) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(fired) == [f"poll:{HOME}", f"poll:{MIRROR}"]
    world.now += timedelta(seconds=world.runtime.poll_seconds + 1)
    tick()
    assert len(fired) == 4


def test_work_that_nobody_was_nudged_for_is_found_by_the_sweep(world: World) -> None:
    world.approved()

    assert {f"push:{HOME}", f"push:{MIRROR}"} <= clock.due_work(world.runtime)


def test_a_lost_nudge_does_not_fail_the_commit(world: World) -> None:
    from sync.wiring import careful

    def broken(kinds: set[str]) -> None:
        raise ConnectionError(f"no broker for {kinds}")

    world.database.on_work = careful(broken)

    made = world.submit()

    assert world.registration(made.id).number == made.number


def test_an_unknown_connection_has_nothing_to_drain(world: World) -> None:
    assert push.drain(world.runtime, ConnectionName("nowhere")) == 0


def test_the_reserve_of_a_spent_quota_serves_checks_and_nothing_else(world: World) -> None:
    world.doors[HOME]._budget_allowed = 100
    world.doors[HOME].calls["spent elsewhere"] = 95
    made = world.approved()

    push.drain(world.runtime, HOME)

    assert world.deals(HOME) == []
    assert made.state is RegistrationState.APPROVED
    world.doors[HOME].calls["spent elsewhere"] = 0
    world.settle(seconds=601)
    assert len(world.deals(HOME)) == 1


def test_the_lane_of_a_process_that_died_here_is_free_at_once(world: World) -> None:
    died = subprocess.Popen([sys.executable, "-c", ""])
    died.wait()
    with world.database.begin() as unit:
        unit.session.add(
            LeaseRow(
                name="push:x",
                holder=f"{socket.gethostname()}:{died.pid}:1",
                fence=7,
                expires_at=unit.now + leases.LEASE,
            )
        )

    with leases.held(world.database, "push:x") as mine:
        assert mine is not None
        assert mine.fence == 8


def test_how_far_a_feed_lags_is_told_once_it_was_read_to_its_end(world: World) -> None:
    world.poll()
    guard = world.runtime.connectors[HOME]
    assert isinstance(guard, GuardedConnector)
    (sample,) = [
        each
        for metric in guard._metrics.feed_lag.collect()
        for each in metric.samples
        if each.labels == {"connection": HOME, "object": "Deal"}
    ]
    assert sample.value == 0
