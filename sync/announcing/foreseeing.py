"""What is announced because time has passed, not because somebody did something."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from registration_core.announcing import Topic, facts
from registration_core.model import Registration
from registration_core.store import audit, ending
from registration_core.store.announcements import announce
from registration_core.store.database import UnitOfWork
from sync.ledger.tables import ConnectionStateRow
from sync.process.runtime import Runtime

#: So many failures of a connection in a row are told of; that is after about a minute.
FAILURES = 6


def foresee_ends(runtime: Runtime, days: Sequence[int]) -> int:
    """Announce protections that end in so many days or fewer, once for each; returns how many.

    A few in each commit. What is extended is announced again before its new end.
    """
    told, after = 0, None
    while days:
        with runtime.database.begin() as unit:
            few = ending.running(unit.session, unit.now.date(), max(days), after)
            # By id, as everybody else holds the trails of several registrations.
            told += sum(_foresee(unit, each, days) for each in sorted(few, key=lambda one: one.id))
        if len(few) < ending.FEW:
            break
        assert few[-1].protection_ends_on is not None
        after = (few[-1].protection_ends_on, few[-1].id)
    return told


def _foresee(unit: UnitOfWork, each: Registration, days: Sequence[int]) -> bool:
    assert each.protection_ends_on is not None
    left = (each.protection_ends_on - unit.now.date()).days
    within = min(n for n in days if left <= n)
    about = f"expiring:{each.id}:{each.protection_ends_on}:{within}"
    if not announce(unit, Topic.EXPIRING, about, facts(each), each.id):
        return False
    what = {"protected_until": str(each.protection_ends_on), "days": left}
    audit.record(unit, f"registration:{each.id}", "announce the end", what)
    return True


def note_trouble(runtime: Runtime) -> int:
    """Announce connections that fail again and again, each once a day; returns how many."""
    with runtime.database.read() as session:
        failing = session.scalars(
            select(ConnectionStateRow)
            .where(
                ConnectionStateRow.failures >= FAILURES,
                ConnectionStateRow.paused_until > runtime.database.clock(),
            )
            .order_by(ConnectionStateRow.connection)  # two at once never wait in a ring
        ).all()
    if not failing:
        return 0
    with runtime.database.begin() as unit:
        return sum(
            announce(
                unit, Topic.TROUBLE, f"trouble:{row.connection}:{unit.now.date()}",
                {"connection": row.connection, "reason": row.reason},
            )
            for row in failing
        )  # fmt: skip
