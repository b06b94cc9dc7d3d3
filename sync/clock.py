"""What runs when: the schedule, and the sweep that makes a lost nudge cost seconds.

Any number of clocks may run: a slot is claimed by compare-and-set, so it fires once.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import structlog
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from registration_core import use_cases
from registration_core.contracts import Mode
from registration_core.store import audit, match_index
from registration_core.store.tables import CheckRequestRow, OutboxRow
from sync.ledger.tables import ConnectionStateRow, InboxRow, IntentRow, ScheduleRow
from sync.runtime import Runtime

log = structlog.get_logger()

#: How often due work is looked for, in seconds.
SWEEP_SECONDS = 1.0


def tick(runtime: Runtime, nudge: Callable[[set[str]], None]) -> set[str]:
    """Do one round: nudge for due work, and fire the slots that are due; returns the nudges."""
    kinds = due_work(runtime)
    for name in runtime.connectors:
        if runtime.modes[name] is not Mode.OFF and _claim(
            runtime, f"poll:{name}", runtime.poll_seconds
        ):
            kinds.add(f"poll:{name}")
    if _claim(runtime, "expire", 3600):
        with runtime.database.begin() as unit:
            expired = use_cases.expire_due(unit)
        if expired:
            log.info("protections moved", registrations=[r.number for r in expired])
    if _claim(runtime, "checkpoint", 3600):
        with runtime.database.begin() as unit:
            audit.checkpoint(unit)
    if _claim(runtime, "match_keys", 86400):
        with runtime.database.begin() as unit:
            match_index.recount(unit.session)
    if kinds:
        nudge(kinds)
    return kinds


def due_work(runtime: Runtime) -> set[str]:
    """Return the kinds of work that the store says are due now; paused connections rest."""
    now = runtime.database.clock()
    with runtime.database.read() as session:
        paused = set(
            session.scalars(
                select(ConnectionStateRow.connection).where(ConnectionStateRow.paused_until > now)
            )
        )
        pushes = session.scalars(
            select(OutboxRow.connection)
            .where(
                OutboxRow.state == "open",
                OutboxRow.done < OutboxRow.wanted,
                OutboxRow.due_at <= now,
            )
            .distinct()
        ).all()
        audits = session.scalars(
            select(IntentRow.connection).where(IntentRow.audit_since.is_not(None)).distinct()
        ).all()
        pulls = session.scalars(
            select(InboxRow.connection)
            .where(InboxRow.read < InboxRow.noticed, InboxRow.due_at <= now)
            .distinct()
        ).all()
        check = session.scalars(
            select(CheckRequestRow.registration_id).where(CheckRequestRow.due_at <= now).limit(1)
        ).first()
    kinds = {f"push:{name}" for name in (*pushes, *audits) if name not in paused}
    kinds |= {f"pull:{name}" for name in pulls if name not in paused}
    return kinds | ({"check"} if check else set())


def _claim(runtime: Runtime, name: str, every_seconds: int) -> bool:
    """Claim a slot if it is due; one that was missed while nobody ran fires once."""
    now = runtime.database.clock()
    with runtime.database.read() as session:
        row = session.get(ScheduleRow, name)
        seen = row.next_at if row else None
    if seen is not None and seen > now:
        return False
    following = now + timedelta(seconds=every_seconds)
    try:
        with runtime.database.begin() as unit:
            if seen is None:
                unit.session.add(ScheduleRow(name=name, next_at=following))
                unit.session.flush()
                return True
            moved = unit.session.execute(
                update(ScheduleRow)
                .where(ScheduleRow.name == name, ScheduleRow.next_at == seen)
                .values(next_at=following)
                .returning(ScheduleRow.name)
            ).first()
            return moved is not None
    except IntegrityError:  # another clock made the row first
        return False
