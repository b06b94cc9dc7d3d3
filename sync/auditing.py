"""The overwrite audit (law 4): what a write replaced that we had not read.

Only for CRMs without a precondition. Between our read and our write a person may have saved a
value; the CRM's own field history shows it afterwards, and it is kept as a settled conflict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import structlog
from sqlalchemy import select

from connectors.errors import ConnectorError
from connectors.port import CrmConnector, FieldChange
from mapping.schema import ObjectMapping
from mapping.translate import to_store
from reconciler.merge import SyncConflict, same
from registration_core.fields import FIELDS, FieldGroup
from sync.carrying import keep_conflict
from sync.ledger.tables import IntentRow, LinkRow
from sync.runtime import Runtime

log = structlog.get_logger()


def audit_overwrites(
    runtime: Runtime,
    crm: CrmConnector,
    mappings: Mapping[str, ObjectMapping],
    intents: Sequence[IntentRow],
    since: datetime,
) -> int:
    """Keep every overwritten unseen value as a conflict; returns how many were found.

    `intents` are writes to one object, `mappings` theirs by registration. A history that cannot be read is logged: the write stands, and the next read of the record
    still shows what it holds.
    """
    by_record = {str(intent.record_id): intent for intent in intents}
    names = sorted({name for intent in intents for name in intent.payload})
    try:
        changes = crm.history(intents[0].object, list(by_record), names, since)
    except ConnectorError as error:
        log.warning("overwrite audit failed", connection=crm.name, reason=error.message)
        return 0
    found = [
        (by_record[change.record_id], change)
        for change in changes
        if change.record_id in by_record and _unseen(by_record[change.record_id], change)
    ]
    for intent, change in found:
        _keep(runtime, crm, mappings[intent.registration_id], intent, change)
    return len(found)


def _unseen(intent: IntentRow, change: FieldChange) -> bool:
    if change.by_us or change.field not in intent.payload:
        return False
    known = (intent.before.get(change.field), intent.payload[change.field])
    return not any(same(change.value, value) for value in known)


def _keep(
    runtime: Runtime,
    crm: CrmConnector,
    mapping: ObjectMapping,
    intent: IntentRow,
    change: FieldChange,
) -> None:
    before = {**intent.before, **intent.payload}
    theirs = to_store(mapping, {**before, change.field: change.value}).fields
    ours = to_store(mapping, before).fields
    rows = [row for row in mapping.rows if change.field in row.theirs]
    names = [row.ours.name for row in rows if row.ours.name in theirs]
    if not names or names[0] not in FIELDS:
        return
    conflict = SyncConflict(
        base=to_store(mapping, intent.before).fields,
        store={name: ours.get(name) for name in names},
        remote={name: theirs[name] for name in names},
        settled="store",
        reason=f"Our write replaced a value that {crm.name} was given after we had read it.",
    )
    group: FieldGroup = FIELDS[names[0]].group
    with runtime.database.begin() as unit:
        link = unit.session.scalars(
            select(LinkRow).where(
                LinkRow.connection == crm.name,
                LinkRow.object == intent.object,
                LinkRow.record_id == intent.record_id,
            )
        ).first()
        if link is not None:
            keep_conflict(unit, link, group, conflict, None)
