"""What runs when: the schedule, and the sweep that makes a lost nudge cost seconds.

Any number of clocks may run: a slot is claimed by compare-and-set, so it fires once.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog
from sqlalchemy import select

from registration_core import use_cases
from registration_core.contracts import Mode
from registration_core.store import audit, match_index
from registration_core.store.tables import CheckRequestRow, OutboxRow
from sync import schedule
from sync.ledger.tables import ConnectionStateRow, InboxRow, IntentRow
from sync.runtime import Runtime

log = structlog.get_logger()

#: How often due work is looked for, in seconds.
SWEEP_SECONDS = 1.0


def tick(runtime: Runtime, nudge: Callable[[set[str]], None]) -> set[str]:
    """Do one round: nudge for due work, and fire the slots that are due; returns the nudges."""
    kinds = due_work(runtime)
    for name in runtime.connectors:
        if runtime.modes[name] is not Mode.OFF and schedule.claim(
            runtime, f"poll:{name}", runtime.poll_seconds
        ):
            kinds.add(f"poll:{name}")
    if schedule.claim(runtime, "expire", 3600):
        with runtime.database.begin() as unit:
            expired = use_cases.expire_due(unit)
        if expired:
            log.info("protections moved", registrations=[r.number for r in expired])
    if schedule.claim(runtime, "checkpoint", 3600):
        with runtime.database.begin() as unit:
            audit.checkpoint(unit)
    if schedule.claim(runtime, "match_keys", 86400):
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
            select(IntentRow.connection)
            .where(IntentRow.audit_since.is_not(None), IntentRow.state != "set_aside")
            .distinct()
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
