"""Run one story: a fresh store, the play, the healing, the judgement."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from unittest import mock

import structlog

from tests.simulation import oracle
from tests.simulation.cases import Case
from tests.simulation.play import Play
from tests.simulation.stage import SimDatabase, Stage
from tests.stores import migrate


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
        migrate(f"sqlite:///{self._template}")
        shutil.copy(self._template, self._file)
        structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[_silent])
        self.database = SimDatabase(
            f"sqlite:///{self._file}", lambda: datetime.now(UTC), Random(0), pool_size=40
        )

    def close(self) -> None:
        """Take the store's file away."""
        self.database.close()
        shutil.rmtree(self._folder)

    def run(self, case: Case) -> Result:
        """Run one story from beginning to end."""
        self._fresh()
        stage = Stage(case)
        # A lease that is not renewed is lost whenever a call takes long: more races, not fewer.
        with mock.patch("sync.leases._keep", _never_renew):
            play = Play(stage, self.database)
            try:
                play.perform_all()
                ended = play.settle()
                violations = oracle.judge(play)
            finally:
                stage.scheduler.stop()
        if not ended:
            violations.insert(0, "I3 it never comes to rest")
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
        self.database.engine.dispose()
        for suffix in ("-wal", "-shm"):
            Path(f"{self._file}{suffix}").unlink(missing_ok=True)
        shutil.copy(self._template, self._file)


def _never_renew(*_args: object) -> None:
    return


def _silent(*_args: object) -> str:
    raise structlog.DropEvent


