"""What all actors of one story share: time, faults, ambushes, the truth, and a store that pauses."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy.orm import Session

from registration_core.ids import Ids
from registration_core.model import SYSTEM, Actor
from registration_core.store.database import Database, StoreUnavailable, UnitOfWork
from tests.simulation.cases import Act, Case, Fault
from tests.simulation.scheduler import Scheduler
from tests.simulation.truth import Truth


class Faults:
    """The faults of a story; each strikes once, at the n-th time that its place is passed."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        self.fired: Counter[str] = Counter()
        self.off = False
        self._passed: Counter[str] = Counter()
        self._waiting: dict[str, list[Fault]] = defaultdict(list)
        for fault in faults:
            self._waiting[fault.where].append(fault)

    def strike(self, where: str) -> dict[str, float]:
        """Pass a place and return what goes wrong there, with how much."""
        if self.off:
            return {}
        self._passed[where] += 1
        struck = {
            f.kind: f.much for f in self._waiting.get(where, ()) if f.nth == self._passed[where]
        }
        self.fired.update(struck.keys())
        return struck


class Stage:
    """One story's shared state."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.rng = random.Random(f"order {case.seed}")
        self.scheduler = Scheduler(self.rng)
        self.faults = Faults(case.faults)
        self.truth = Truth()
        #: Carries out what somebody does; set by the play.
        self.perform: Callable[[Act], None] = lambda act: None
        #: What each worker does at the moment: `push`, `pull`, `poll`, `check`.
        self.doing: dict[str, str] = {}
        self._ambushes: dict[str, list[Act]] = defaultdict(list)
        for act in case.acts:
            if act.ambush:
                self._ambushes[act.ambush].append(act)

    def ambush(self, where: str) -> None:
        """Let whoever waits for this very call strike now, in one breath; nobody once it is over."""
        if self.faults.off:
            return
        for act in self._ambushes.pop(where, ()):
            with self.scheduler.quietly():
                self.perform(act)

    def was_delayed(self) -> bool:
        """Whether the call that goes on was held up by a process that stood still."""
        me = self.scheduler.current
        return me is not None and me.delayed

    def called_at(self) -> float:
        """Return when whoever holds the baton set out to make the call that goes on."""
        me = self.scheduler.current
        return self.scheduler.seconds if me is None else me.called_at

    def step(self) -> str:
        """Return what the actor that holds the baton is about: a worker's work, else nothing."""
        me = self.scheduler.current
        return self.doing.get(me.name, "") if me else ""

    def now(self) -> datetime:
        """Return our own time."""
        return self.scheduler.now()


class SimDatabase(Database):
    """The real store; hands the baton over before BEGIN and after COMMIT, and loses answers."""

    stage: Stage

    def enter(self, stage: Stage) -> None:
        """Serve another story."""
        self.stage = stage
        self.clock = stage.now
        self.ids = Ids(stage.now, random.Random(f"ids {stage.case.seed}"))

    @contextmanager
    def begin(self, actor: Actor = SYSTEM) -> Iterator[UnitOfWork]:
        struck = self._before()
        with super().begin(actor) as unit:
            yield unit
            if "commit_lost" in struck or "poll_cut" in struck:
                self.stage.scheduler.note("store: commit lost")
                raise StoreUnavailable("The store does not answer.")
        if "commit_unknown" in struck:
            self.stage.scheduler.note("store: committed, answer lost")
            raise StoreUnavailable("The store does not answer.")
        if self._may_pause():
            self.stage.scheduler.pause()

    @contextmanager
    def read(self) -> Iterator[Session]:
        if self._may_pause():
            self.stage.scheduler.pause()
        with super().read() as session:
            yield session

    def _before(self) -> dict[str, float]:
        if not self._may_pause():
            return {}
        self.stage.scheduler.pause()
        return self.stage.faults.strike(f"store {self.stage.step()}")

    def _may_pause(self) -> bool:
        return not getattr(self._open, "depth", 0) and not self.stage.scheduler.is_quiet
