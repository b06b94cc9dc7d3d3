"""The kill switch: what a person stops, stands still everywhere; what comes in is kept."""

from __future__ import annotations

import pytest

from registration_core.store.audit import events
from sync import checking, clock, pull, runs
from sync.previews.previewing import Does, preview_many
from sync.process import leases
from sync.traffic import guard, switch
from tests.world import BEN, HOME, MIRROR, World


def stop(world: World, scope: str = switch.EVERYWHERE, *, writes_only: bool = False) -> None:
    switch.stop(world.database, BEN, scope, writes_only=writes_only, reason="wrong stage map")


def test_stopped_writes_are_kept_and_written_once_after_the_resume(world: World) -> None:
    stop(world, writes_only=True)
    world.approved()
    world.push()
    assert world.deals(HOME) == []
    assert world.deals(MIRROR) == []

    assert switch.resume(world.database, BEN, switch.EVERYWHERE)
    world.settle()
    assert len(world.deals(HOME)) == 1
    assert len(world.deals(MIRROR)) == 1


def test_only_the_connection_that_was_named_stands_still(world: World) -> None:
    stop(world, HOME)
    world.submit()
    checking.drain(world.runtime)  # incomplete: one required CRM may not be read
    assert runs.poll(world.runtime, HOME) is None
    assert runs.poll(world.runtime, MIRROR) is not None


def test_while_only_writes_are_stopped_a_users_change_is_still_taken_in(world: World) -> None:
    made = world.approved()
    world.settle()
    stop(world, writes_only=True)
    world.edit(HOME, Stage="D")
    world.pass_time(60)
    world.poll()
    assert world.registration(made.id).sales_stage == "developing"


def test_nothing_is_due_while_everything_is_stopped(world: World) -> None:
    made = world.approved()
    stop(world)
    assert not any(
        kind.startswith(("push", "pull", "poll")) for kind in clock.due_work(world.runtime)
    )
    assert not any(kind.startswith("poll") for kind in clock.tick(world.runtime, lambda _: None))
    switch.resume(world.database, BEN, switch.EVERYWHERE)
    assert {f"push:{HOME}", f"push:{MIRROR}"} <= clock.due_work(world.runtime)
    assert world.registration(made.id).version == made.version


def test_a_stop_between_the_plan_and_the_call_keeps_the_call_from_being_made(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.approved()
    monkeypatch.setattr(leases, "require", lambda *_: stop(world))
    world.push()
    monkeypatch.undo()
    assert world.deals(HOME) == []

    switch.resume(world.database, BEN, switch.EVERYWHERE)
    world.settle()
    assert len(world.deals(HOME)) == 1


def test_a_person_may_look_at_the_backlog_before_it_goes_on(world: World) -> None:
    world.approved()
    stop(world)
    with guard.lane(guard.Lane.LOOK):
        previews = preview_many(world.runtime, HOME, due=True)
    assert previews.counts() == {Does.CREATE: 1}
    pull.drain(world.runtime, HOME)
    assert world.deals(HOME) == []


def test_who_stopped_and_resumed_is_in_the_audit_trail(world: World) -> None:
    stop(world, HOME)
    switch.resume(world.database, BEN, HOME)
    assert not switch.resume(world.database, BEN, HOME)
    with world.database.read() as session:
        told = events(session, f"connection:{HOME}")
    assert [(event["action"], event["actor"]) for event in told] == [
        ("stop", str(BEN)),
        ("resume", str(BEN)),
    ]
