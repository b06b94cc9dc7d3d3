"""What lies on the desk of whoever reviews conflicts: the same use cases as the plain commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from registration_core.errors import DomainRefusal
from registration_core.model import Actor
from sync import explaining, resolving, sifting
from sync.explaining import Step
from sync.runtime import Runtime
from sync.sifting import Sieve, Weighed


class Desk:
    """The open conflicts of one sitting, and what was decided in it."""

    def __init__(self, runtime: Runtime, actor: Actor, wanted: Sieve) -> None:
        self._runtime, self._actor, self._wanted = runtime, actor, wanted
        self._decided: list[str] = []
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

    def settle(self, one: Weighed, wanted: Literal["ours", "theirs"] | Mapping[str, str]) -> None:
        """Settle a conflict as it is shown: for a side, or for ours with what was typed over it.

        Raises as `resolving.resolve`.
        """
        found = one.conflict
        choice = wanted if isinstance(wanted, str) else {**found.store, **resolving.typed(wanted)}
        resolving.resolve(self._runtime, found.id, choice, self._actor, seen=found)
        self._decided.append(one.conflict.id)

    def defer(self, one: Weighed) -> None:
        """Put a conflict off: it stays open, and is not shown again in this sitting."""
        self._deferred.add(one.conflict.id)

    def undo(self) -> None:
        """Take the last decision of this sitting back; reads the CRM, raises as `resolving.undo`."""
        if not self._decided:
            raise DomainRefusal("Nothing was decided in this sitting.")
        resolving.undo(self._runtime, self._decided[-1], self._actor)
        self._decided.pop()
