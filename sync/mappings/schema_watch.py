"""Live schemas that drift away from the mapping: the object stands still, and goes on when mended.

Every object that a mapping names is described anew from time to time, and at once when the CRM
refuses a write. Where a field is gone, of another type, without a value that we write, or newly
required, nothing of that object is pushed or pulled; its work waits, everything else runs on. The
next look that finds it mended makes the work due again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from connectors.errors import ConnectorError
from connectors.port import Deferred, Outcome, Refused
from mapping.check import misfits, objects_of, required_unfilled
from registration_core.contracts import ConnectionName
from registration_core.errors import SyncError
from registration_core.store.database import UnitOfWork
from registration_core.store.tables import OutboxRow
from sync.ledger.mappings import SchemaWatchRow
from sync.ledger.tables import CompanionRow, InboxRow, IntentRow
from sync.mappings.connecting import describe_all
from sync.process import schedule
from sync.process.runtime import Runtime

log = structlog.get_logger()

#: How often schemas are looked at, in seconds: while they fit, while one does not, and at most
#: after refusals.
LOOK_SECONDS, MENDING_SECONDS, REFUSED_SECONDS = 900, 60, 30
#: Most problems that a reason names.
_TOLD = 3


def standing_still(session: Session, connection: ConnectionName) -> dict[str, str]:
    """Return the objects of a connection that stand still, each with the reason."""
    rows = session.scalars(
        select(SchemaWatchRow).where(
            SchemaWatchRow.connection == connection, SchemaWatchRow.reason != ""
        )
    )
    return {row.object: row.reason for row in rows}


def due(runtime: Runtime, connection: ConnectionName) -> bool:
    """Claim the next regular look, if it is due."""
    with runtime.database.read() as session:
        still = standing_still(session, connection)
    if still and schedule.claim(runtime, f"mended:{connection}", MENDING_SECONDS):
        return True
    return schedule.claim(runtime, f"schema:{connection}", LOOK_SECONDS)


def look(runtime: Runtime, connection: str) -> dict[str, str]:
    """Hold the mapping against the live schemas now; returns what stands still from here on.

    A CRM that cannot be asked changes nothing. Idempotent.
    """
    name = ConnectionName(connection)
    mapping = runtime.mappings[name]
    try:
        schemas = describe_all(runtime.connector(name), mapping)
    except (ConnectorError, SyncError) as error:
        log.warning("schema not looked at", connection=name, reason=error.message)
        with runtime.database.read() as session:
            return standing_still(session, name)
    reasons = {
        object_name: "; ".join(str(problem) for problem in problems[:_TOLD])
        for object_name, problems in misfits(mapping, schemas).items()
    }
    with runtime.database.begin() as unit:
        for object_name in objects_of(mapping):
            required = required_unfilled(mapping, schemas, object_name)
            _note(unit, name, object_name, reasons.get(object_name, ""), required)
        return standing_still(unit.session, name)


def after_refusal(runtime: Runtime, connection: ConnectionName) -> Mapping[str, str]:
    """Look at once, because the CRM refused something; not more often than every half minute."""
    if schedule.claim(runtime, f"refused:{connection}", REFUSED_SECONDS):
        return look(runtime, connection)
    with runtime.database.read() as session:
        return standing_still(session, connection)


def _note(
    unit: UnitOfWork,
    connection: ConnectionName,
    object_name: str,
    reason: str,
    required: frozenset[str],
) -> None:
    row = unit.lock(SchemaWatchRow, (connection, object_name))
    if row is None:
        # What was required before we came was lived with: some CRMs fill such fields themselves.
        row = SchemaWatchRow(
            connection=connection, object=object_name, required=sorted(required), reason="",
            changed_at=unit.now, looked_at=unit.now,
        )  # fmt: skip
        unit.session.add(row)
    fresh = sorted(required - set(row.required))
    if fresh:
        told = f"{object_name} now requires {', '.join(fresh)}, which no row fills"
        remedy = "map it, or name a constant under on_create"
        reason = "; ".join([*([reason] if reason else []), f"{told} ({remedy})"])
    row.required = sorted(required & set(row.required))
    row.looked_at = unit.now
    if reason == row.reason:
        return
    log.warning("schema", connection=connection, object=object_name, reason=reason or "mended")
    if not reason:
        go_on(unit, connection, object_name)
    row.reason, row.changed_at = reason, unit.now


def go_on(unit: UnitOfWork, connection: ConnectionName, object_name: str) -> None:
    """Make what waited for an object due at once, what is owed of it too."""
    soon = unit.now + timedelta(seconds=1)
    unit.session.execute(
        update(InboxRow)
        .where(InboxRow.connection == connection, InboxRow.object == object_name)
        .where(InboxRow.read < InboxRow.noticed, InboxRow.due_at > soon)
        .values(due_at=unit.now)
    )
    held = (
        update(OutboxRow)
        .where(OutboxRow.connection == connection, OutboxRow.state == "open")
        .where(OutboxRow.done < OutboxRow.wanted, OutboxRow.due_at > soon)
    )
    unit.session.execute(held.values(due_at=unit.now))
    # What is owed held nobody up: its row may have ended without it, and is due anew.
    owing = select(CompanionRow.registration_id).where(
        CompanionRow.connection == connection,
        CompanionRow.object == object_name,
        CompanionRow.record_id.is_(None),
    )
    owed = (
        update(OutboxRow)
        .where(OutboxRow.connection == connection, OutboxRow.registration_id.in_(owing))
        .values(wanted=OutboxRow.wanted + 1, due_at=unit.now)
    )
    unit.session.execute(owed)
    unit.nudges |= {f"push:{connection}", f"pull:{connection}"}


def excused(
    runtime: Runtime, intents: Sequence[IntentRow], outcomes: Sequence[Outcome]
) -> list[Outcome]:
    """Let refused writes wait where the object's schema turns out to have drifted."""
    if not any(isinstance(outcome, Refused) for outcome in outcomes):
        return list(outcomes)
    still = after_refusal(runtime, ConnectionName(intents[0].connection))
    return [
        Deferred(still[intent.object])
        if isinstance(outcome, Refused) and intent.object in still
        else outcome
        for intent, outcome in zip(intents, outcomes, strict=True)
    ]
