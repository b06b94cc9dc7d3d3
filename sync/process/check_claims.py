"""Who checks which registration: each due check is claimed by itself, for a while.

No lane, no lease for all: a CRM that hangs keeps the registrations whose program has it, and nobody
else's. A claim is for economy only. One that runs out is taken over, and a check that was made
twice does no harm, because what follows is decided under the lock on what holds by then.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, or_, select, update

from registration_core.store.database import StoreUnavailable
from registration_core.store.tables import CheckRequestRow, RegistrationRow
from sync.process.runtime import Runtime

#: Most registrations that one round checks on one refresh of the directories.
BATCH = 50
#: How long a claim lasts without renewal; a killed holder keeps its checks waiting for this long.
CLAIM = timedelta(seconds=8)


def due(now: datetime) -> ColumnElement[bool]:
    """Return what makes a check request due: its time has come, and nobody is at it."""
    free = or_(CheckRequestRow.claimed_until.is_(None), CheckRequestRow.claimed_until <= now)
    return (CheckRequestRow.due_at <= now) & free


@contextmanager
def claimed(runtime: Runtime) -> Iterator[Sequence[tuple[str, int]]]:
    """Claim due checks that ask the same connections, for one round; yields ids and versions.

    A thread renews the claims meanwhile, so that a CRM may take its time to answer.
    """
    taken = _take(runtime)
    if not taken:
        yield taken
        return
    done = threading.Event()
    renewer = threading.Thread(target=_keep, args=(runtime, taken, done), daemon=True)
    renewer.start()
    try:
        yield taken
    finally:
        done.set()
        renewer.join()
        _set(runtime, taken, None)


def forget(runtime: Runtime) -> None:
    """Give back every claim: the one process that serves has just started, so all are of dead ones.

    Where somebody is at a check after all, it is made twice, which does no harm.
    """
    with runtime.database.begin() as unit:
        unit.session.execute(update(CheckRequestRow).values(claimed_until=None))


def _take(runtime: Runtime) -> list[tuple[str, int]]:
    with runtime.database.begin() as unit:
        rows = unit.session.execute(
            select(CheckRequestRow, RegistrationRow.program)
            .join(RegistrationRow, RegistrationRow.id == CheckRequestRow.registration_id)
            .where(due(unit.now))
            .order_by(CheckRequestRow.due_at)
            .limit(BATCH)
            .with_for_update(skip_locked=True, of=CheckRequestRow)
        ).all()
        alike = [
            row for row, program in rows if _asks(runtime, program) == _asks(runtime, rows[0][1])
        ]
        for row in alike:
            row.claimed_until = unit.now + CLAIM
        return [(row.registration_id, row.version) for row in alike]


def _asks(runtime: Runtime, program: str) -> frozenset[str]:
    known = runtime.programs.get(program)
    return frozenset(known.connections) if known else frozenset()


def _keep(runtime: Runtime, taken: Sequence[tuple[str, int]], done: threading.Event) -> None:
    while not done.wait(CLAIM.total_seconds() / 3):
        with contextlib.suppress(StoreUnavailable):  # the store is away: the claims run out
            _set(runtime, taken, CLAIM)


def _set(runtime: Runtime, taken: Sequence[tuple[str, int]], lasts: timedelta | None) -> None:
    """Renew the claims, or give back what is still asked for: a repetition, or a newer request."""
    with runtime.database.begin() as unit:
        unit.session.execute(
            update(CheckRequestRow)
            .where(CheckRequestRow.registration_id.in_([key for key, _ in taken]))
            .values(claimed_until=unit.now + lasts if lasts else None)
        )
