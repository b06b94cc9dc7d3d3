"""What is announced because time has passed, not because somebody did something."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import select

from registration_core.announcing import Topic, facts
from registration_core.model import ProtectionState
from registration_core.store import audit, repository
from registration_core.store.announcements import announce
from registration_core.store.tables import RegistrationRow
from sync.ledger.tables import ConnectionStateRow
from sync.runtime import Runtime

#: So many failures of a connection in a row are told of; that is after about a minute.
FAILURES = 6
_RUNNING = (ProtectionState.ACTIVE.value, ProtectionState.EXPIRING.value)


def foresee_ends(runtime: Runtime, days: Sequence[int]) -> int:
    """Announce protections that end in so many days or fewer, once for each; returns how many.

    What is extended is announced again before its new end.
    """
    if not days:
        return 0
    told = 0
    with runtime.database.begin() as unit:
        today = unit.now.date()
        ending = repository.registrations(
            unit.session,
            RegistrationRow.protection_state.in_(_RUNNING),
            RegistrationRow.protection_ends_on.between(today, today + timedelta(days=max(days))),
        )
        for each in ending:
            assert each.protection_ends_on is not None
            left = (each.protection_ends_on - today).days
            within = min(n for n in days if left <= n)
            about = f"expiring:{each.id}:{each.protection_ends_on}:{within}"
            if announce(unit, Topic.EXPIRING, about, facts(each), each.id):
                what = {"protected_until": str(each.protection_ends_on), "days": left}
                audit.record(unit, f"registration:{each.id}", "announce the end", what)
                told += 1
    return told


def note_trouble(runtime: Runtime) -> int:
    """Announce connections that fail again and again, each once a day; returns how many."""
    with runtime.database.read() as session:
        failing = session.scalars(
            select(ConnectionStateRow).where(
                ConnectionStateRow.failures >= FAILURES,
                ConnectionStateRow.paused_until > runtime.database.clock(),
            )
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
