"""A contact or partner that is gone from its CRM: what refers to it is refused, so it is forgotten.

Nothing tells of those that vanish. It shows when a write is refused: they are read then. One that was
merged away is followed; else the next plan of a record that is not there yet looks for one anew, and
that of one that is there goes on without.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import select

from connectors.errors import ConnectorError
from connectors.port import Gone, Outcome, Refused, RemoteRecord, Stale
from mapping.schema import CONTACT, PARTNER
from registration_core.contracts import ConnectionName
from registration_core.errors import SyncError
from registration_core.store import audit
from registration_core.store.database import UnitOfWork
from sync.ledger.tables import CompanionRow, IntentRow
from sync.process.runtime import Runtime

log = structlog.get_logger()


def excused(
    runtime: Runtime, intents: Sequence[IntentRow], outcomes: Sequence[Outcome]
) -> list[Outcome]:
    """Let refused writes be planned again where what stands beside them turns out to be gone."""
    refused = [
        intent.registration_id
        for intent, outcome in zip(intents, outcomes, strict=True)
        if isinstance(outcome, Refused)
    ]
    gone = _gone(runtime, ConnectionName(intents[0].connection), refused) if refused else {}
    if gone:
        with runtime.database.begin() as unit:
            for registration_id in sorted(gone):
                _forget(unit, gone[registration_id])
    return [
        Stale(intent.record_id or "")
        if isinstance(outcome, Refused) and intent.registration_id in gone
        else outcome
        for intent, outcome in zip(intents, outcomes, strict=True)
    ]


@dataclass(frozen=True)
class _Lost:
    """A kept contact or partner, and what the CRM says of it."""

    row: CompanionRow
    gone: Gone


def _gone(
    runtime: Runtime, connection: ConnectionName, registration_ids: Sequence[str]
) -> dict[str, _Lost]:
    """Return by registration the kept contacts and partners that are gone; none where they cannot be read."""
    with runtime.database.read() as session:
        rows = session.scalars(
            select(CompanionRow).where(
                CompanionRow.connection == connection,
                CompanionRow.registration_id.in_(registration_ids),
                CompanionRow.name.in_((CONTACT, PARTNER)),
                CompanionRow.record_id.is_not(None),
            )
        ).all()
    records: dict[tuple[str, str], RemoteRecord | Gone] = {}
    for object_name in sorted({row.object for row in rows}):
        ids = sorted({str(row.record_id) for row in rows if row.object == object_name})
        try:
            read = runtime.connector(connection).read(object_name, ids, [])
        except (ConnectorError, SyncError) as error:
            # The writes were answered: they stay refused, and a person may try them again.
            log.warning("contacts not read", connection=connection, reason=error.message)
            return {}
        records |= {(object_name, record_id): record for record_id, record in read.items()}
    found = ((row, records[row.object, str(row.record_id)]) for row in rows)
    return {
        row.registration_id: _Lost(row, record) for row, record in found if isinstance(record, Gone)
    }


def _forget(unit: UnitOfWork, lost: _Lost) -> None:
    """Keep what it was merged into, else nothing; audited."""
    place = (lost.row.registration_id, lost.row.connection, lost.row.name)
    row = unit.lock(CompanionRow, place)
    if row is None or row.record_id != lost.row.record_id:
        return  # somebody was faster
    told = {"connection": row.connection, "record": row.record_id}
    subject, winner = f"registration:{row.registration_id}", lost.gone.merged_into
    if winner:
        row.record_id, row.changed_at = winner, unit.now
        audit.record(unit, subject, f"follow merged {row.name}", {**told, "to": winner})
    else:
        unit.session.delete(row)
        audit.record(
            unit, subject, f"forget {row.name}", {**told, "because": lost.gone.absence.value}
        )
