"""Run one story: a fresh store, the play, the healing, the judgement."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import structlog

from registration_core.store.database import StoreUnavailable
from registration_core.store.tables import Base
from sync.process import check_claims, leases
from sync.process.runtime import Runtime
from tests.simulation import limits, oracle
from tests.simulation.cases import Case
from tests.simulation.play import Play
from tests.simulation.scheduler import Endless, Scheduler
from tests.simulation.stage import SimDatabase, Stage
from tests.stores import migrate

RESTLESS = "I3 it never comes to rest"


@dataclass
class Result:
    """What came of one story."""

    case: Case
    violations: list[str]
    fingerprint: str
    steps: int
    edits: int
    faults: Counter[str]
    probes: Counter[str]
    trace: list[str]


class Theatre:
    """Runs stories one after another on one store file, which is made fresh for each."""

    def __init__(self, url: str = "") -> None:
        memory = Path("/dev/shm")  # noqa: S108 - a private folder is made below it
        self._folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self._template, self._file = self._folder / "template.db", self._folder / "store.db"
        self._url = url
        if url:
            migrate(url)
        else:
            migrate(f"sqlite:///{self._template}")
            shutil.copy(self._template, self._file)
        structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[_silent])
        self.database = SimDatabase(
            url or f"sqlite:///{self._file}", lambda: datetime.now(UTC), Random(0), pool_size=40
        )
        #: What the migrations put in: the same rows again for each story.
        self._first_rows = self._rows() if url else {}

    def close(self) -> None:
        """Take the store's file away."""
        self.database.close()
        shutil.rmtree(self._folder)

    def run(self, case: Case) -> Result:
        """Run one story from beginning to end."""
        self._fresh()
        stage = Stage(case)
        renewing = Renewing(stage.scheduler, leases.LEASE, leases.renew)
        claiming = Renewing(stage.scheduler, check_claims.CLAIM, _renew_claims)
        with (
            mock.patch("sync.process.leases.threading", renewing),
            mock.patch("sync.process.check_claims.threading", claiming),
        ):
            play = Play(stage, self.database)
            try:
                violations = _told(play)
            except Endless as endless:
                violations = [f"{RESTLESS}: {endless}"]
            finally:
                stage.scheduler.stop()
        return Result(
            case=case,
            violations=violations,
            fingerprint=stage.scheduler.fingerprint(),
            steps=stage.scheduler.steps,
            edits=sum(len(places) for places in stage.truth.written_at.values()),
            faults=stage.faults.fired,
            probes=Counter(stage.truth.probes),
            trace=stage.scheduler.log,
        )

    def _fresh(self) -> None:
        if self._url:
            self._empty()
            return
        self.database.engine.dispose()
        for suffix in ("-wal", "-shm"):
            Path(f"{self._file}{suffix}").unlink(missing_ok=True)
        shutil.copy(self._template, self._file)

    def _rows(self) -> dict[str, list[dict[str, object]]]:
        with self.database.engine.connect() as connection:
            return {
                table.name: [dict(row._mapping) for row in connection.execute(table.select())]
                for table in Base.metadata.sorted_tables
            }

    def _empty(self) -> None:
        with self.database.engine.begin() as connection:
            names = ", ".join(table.name for table in Base.metadata.sorted_tables)
            # The audit trail refuses to be emptied, except by whoever sets its triggers aside.
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
            connection.exec_driver_sql(f"TRUNCATE {names} CASCADE")
            for table in Base.metadata.sorted_tables:
                if self._first_rows[table.name]:
                    connection.execute(table.insert(), self._first_rows[table.name])


def _told(play: Play) -> list[str]:
    """Tell a story to its end; returns what it violated."""
    play.perform_all()
    ended = play.settle()
    late = play.calm(lambda edited: limits.late(play, edited))
    ended = ended and (not play.stage.case.calm or play.settle())
    return [*([] if ended else [RESTLESS]), *late, *oracle.judge(play)]


class Renewing:
    """Stands in for `threading` where a thread renews what it is given: that thread is an actor.

    It lives while its holder lives, and stands still while the holder's process is stalled.
    """

    Event, get_ident = threading.Event, staticmethod(threading.get_ident)

    def __init__(
        self, scheduler: Scheduler, lasts: timedelta, renew: Callable[[Any, Any], bool]
    ) -> None:
        """Let `renew` be called with what the thread was to be, every third of how long it lasts."""
        self._scheduler, self._lasts, self._renew = scheduler, lasts, renew

    def Thread(  # noqa: N802 - the name that it stands in for
        self, *, target: object, args: tuple[Any, Any, threading.Event], daemon: bool
    ) -> Renewer:
        where, what, done = args
        return Renewer(self._scheduler, self._lasts / 3, lambda: self._renew(where, what), done)


class Renewer:
    """Renews again and again, until its holder is done or gone."""

    def __init__(
        self,
        scheduler: Scheduler,
        every: timedelta,
        renew: Callable[[], bool],
        done: threading.Event,
    ) -> None:
        self._scheduler, self._holder = scheduler, scheduler.current
        self._seconds, self._renew, self._done = every.total_seconds(), renew, done

    def start(self) -> None:
        if self._holder is not None and not self._scheduler.is_quiet:
            self._scheduler.start("renewer", self._keep, self._seconds)

    def join(self) -> None:
        """Wait for nothing: an actor that has nothing to renew ends by itself."""

    def _keep(self) -> None:
        holder = self._holder
        assert holder is not None
        while not (self._done.is_set() or holder.dead or holder.ended):
            try:
                if not holder.stalled and not self._renew():
                    return
            except StoreUnavailable:
                self._scheduler.note("store was away during a renewal")
            self._scheduler.pause(self._seconds)


def _renew_claims(runtime: Runtime, taken: Sequence[tuple[str, int]]) -> bool:
    check_claims._set(runtime, taken, check_claims.CLAIM)
    return True


def _silent(*_args: object) -> str:
    raise structlog.DropEvent
