"""A CRM that hangs keeps the checks that need it waiting, and nobody else's."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from sqlalchemy import select

from registration_core import use_cases
from registration_core.errors import SyncError
from registration_core.model import Customer, RegistrationState
from registration_core.store.tables import CheckRequestRow
from registration_core.submission import Submission
from sync import checking, clock, running
from sync.accounts import directory
from sync.process import check_claims
from tests.world import ANN, HOME, MIRROR, World


def _requests(world: World) -> list[CheckRequestRow]:
    with world.database.read() as session:
        return list(session.scalars(select(CheckRequestRow)))


def test_while_one_check_hangs_on_its_crm_another_that_does_not_need_it_is_made(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lean = replace(
        world.runtime.program("default"), name="lean", mirrors=(), required_connections=(HOME,)
    )
    world.runtime.programs["lean"] = lean  # type: ignore[index]
    stuck = world.submit()
    hangs, goes_on = threading.Event(), threading.Event()
    refresh = directory.refresh

    def slow(runtime: object, name: str) -> object:
        if name == MIRROR:
            hangs.set()
            goes_on.wait(30)
        return refresh(runtime, name)  # type: ignore[arg-type]

    monkeypatch.setattr(directory, "refresh", slow)
    hanging = threading.Thread(target=checking.drain, args=(world.runtime,))
    hanging.start()
    try:
        assert hangs.wait(30)
        other = _submit_lean(world)
        assert checking.drain(world.runtime) == 1
        assert world.registration(other).state is not RegistrationState.SUBMITTED
        assert world.registration(stuck.id).state is RegistrationState.SUBMITTED
    finally:
        goes_on.set()
        hanging.join(30)
    assert world.registration(stuck.id).state is not RegistrationState.SUBMITTED


def _submit_lean(world: World) -> str:
    wanted = Submission(
        partner_code="BETA", customer=Customer("Quillfeder Reederei", "DE"), deal_name="Lean",
        product_line="platform", amount=Decimal(5000), currency="EUR",
        expected_close_on=date(2026, 9, 30), token="lean",
    )  # fmt: skip
    with world.database.begin(ANN) as unit:
        made, _ = use_cases.submit(unit, wanted, world.runtime.program("lean"))
    return made.id


def test_two_at_once_claim_different_checks(world: World) -> None:
    world.submit()
    with check_claims.claimed(world.runtime) as mine:
        with check_claims.claimed(world.runtime) as theirs:
            assert (len(mine), len(theirs)) == (1, 0)
        assert "check" not in clock.due_work(world.runtime)
    with check_claims.claimed(world.runtime) as again:
        assert len(again) == 1, "what was not done is given back"


def test_a_claim_whose_holder_was_killed_runs_out(world: World) -> None:
    world.submit()
    check_claims._take(world.runtime)
    assert checking.drain(world.runtime) == 0
    world.pass_time(check_claims.CLAIM.total_seconds())
    assert "check" in clock.due_work(world.runtime)
    assert checking.drain(world.runtime) == 1


def test_a_check_that_fails_unforeseen_is_given_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.submit()

    def fail(*_: object) -> None:
        raise SyncError("unforeseen")

    monkeypatch.setattr(checking, "_check_batch", fail)
    with pytest.raises(SyncError):
        checking.drain(world.runtime)
    assert [row.claimed_until for row in _requests(world)] == [None]


def test_checks_do_not_wait_behind_bulk_work_that_holds_every_other_thread(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy, ends, checked = threading.Event(), threading.Event(), threading.Event()

    def push(*_: object) -> None:
        busy.set()
        ends.wait(30)

    monkeypatch.setattr("sync.actors.push.drain", push)
    monkeypatch.setattr("sync.actors.checking.drain", lambda _: checked.set())
    workers = running.start_workers(world.runtime, threads=1)
    try:
        workers.nudge({f"push:{HOME}"})
        assert busy.wait(30)
        workers.nudge({"check"})
        assert checked.wait(30)
    finally:
        ends.set()
        workers.stop()


def test_the_one_process_that_serves_takes_over_what_a_killed_one_had_claimed(
    world: World,
) -> None:
    world.submit()
    check_claims._take(world.runtime)
    check_claims.forget(world.runtime)
    assert checking.drain(world.runtime) == 1
