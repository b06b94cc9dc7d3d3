"""What lies on the desk of whoever reviews conflicts: the same use cases as the plain commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from sqlalchemy.orm import Session

from cli.field_values import typed
from registration_core.contracts import Fields
from registration_core.errors import DomainRefusal
from registration_core.model import Actor
from sync.conflicts import resolving, sifting
from sync.conflicts.resolving import Conflict
from sync.conflicts.sifting import Sieve, Weighed
from sync.process.runtime import Runtime
from sync.reports import explaining
from sync.reports.explaining import Step


class Desk:
    """The open conflicts of one sitting, and what was decided in it."""

    def __init__(self, runtime: Runtime, actor: Actor, wanted: Sieve) -> None:
        self._runtime, self._actor, self._wanted = runtime, actor, wanted
        self._decided: list[Conflict] = []
        self._deferred: set[str] = set()

    @property
    def settled(self) -> int:
        """How many stand settled by this sitting."""
        return len(self._decided)

    def open(self) -> list[Weighed]:
        """Return what still lies there: open, meant, and not put off."""
        database = self._runtime.database
        with database.read() as session:
            found = sifting.sift(session, database.clock(), self._wanted)
        return [each for each in found if each.conflict.id not in self._deferred]

    def history(self, one: Weighed) -> list[Step]:
        """Return who changed the fields of a conflict, where and to what, oldest first."""
        steps: set[Step] = set()
        with self._runtime.database.read() as session:
            for name in one.conflict.store:
                told = explaining.explain(
                    session, self._runtime.mappings, self._runtime.programs, one.number, name
                )
                steps |= set(told.steps)
        return sorted(steps, key=lambda step: step.at)

    def settle(
        self, one: Weighed, wanted: Literal["ours", "theirs"] | Mapping[str, str]
    ) -> Conflict:
        """Settle a conflict as it is shown: for a side, or for ours with what was typed over it.

        Returns it settled; raises as `resolving.resolve`.
        """
        found = one.conflict
        if isinstance(wanted, str):
            choice: Literal["ours", "theirs"] | Fields = wanted
        else:
            program = resolving.program_of(self._runtime, found.id)
            choice = {**found.store, **typed(wanted, program)}
        settled = resolving.resolve(self._runtime, found.id, choice, self._actor, seen=found)
        self._decided.append(settled)
        return settled

    def defer(self, one: Weighed) -> None:
        """Put a conflict off: it stays open, and is not shown again in this sitting."""
        self._deferred.add(one.conflict.id)

    def undo(self) -> Conflict:
        """Take back the last decision of this sitting that still stands.

        Returns the conflict, which is open again. Reads the CRM, raises as `resolving.undo`.
        """
        with self._runtime.database.read() as session:
            while self._decided and not _stands(session, self._decided[-1]):
                self._decided.pop()
        if not self._decided:
            raise DomainRefusal("No decision of this sitting stands.")
        opened = resolving.undo(self._runtime, self._decided[-1].id, self._actor)
        self._decided.pop()
        return opened


def _stands(session: Session, made: Conflict) -> bool:
    """Whether a decision was not taken back elsewhere, or made anew by somebody else."""
    return resolving.conflict(session, made.id).resolved_at == made.resolved_at
