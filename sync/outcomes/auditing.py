"""The overwrite audit (law 4): what a write replaced that we had not read.

Only for CRMs without a precondition. Between our read and our write a person may have saved a
value; the CRM's own field history shows it afterwards, and it is kept as a settled conflict. An
audit is owed from the commit of the intent until it is done, so that a lost answer, a killed
worker or a history that cannot be read right now only delay it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime

import structlog
from sqlalchemy import ColumnElement, exists, select

from connectors.errors import CallRejected
from connectors.port import CrmConnector, FieldChange
from mapping.schema import ObjectMapping
from mapping.translate import to_store
from reconciler.merge import SyncConflict, same
from registration_core.contracts import ConnectionName
from registration_core.fields import group_of
from registration_core.store import audit, repository
from registration_core.store.database import UnitOfWork
from sync.ledger.tables import IntentRow, LinkRow
from sync.mappings import schema_watch
from sync.outcomes import stamps
from sync.plans.carrying import keep_conflict
from sync.process.runtime import Runtime

log = structlog.get_logger()

#: Most writes that one call for history is about.
AUDITS_MAX = 200


def are_owed(connection: ConnectionName) -> ColumnElement[bool]:
    """Return the condition that audits of a connection's writes are owed."""
    return exists().where(*_owed(connection))


def _owed(connection: ConnectionName) -> tuple[ColumnElement[bool], ...]:
    return (
        IntentRow.connection == connection,
        IntentRow.audit_since.is_not(None),
        IntentRow.state.in_(("done", "not_done")),
    )


def audit_overwrites(runtime: Runtime, crm: CrmConnector) -> None:
    """Keep every overwritten unseen value of the writes whose audit is owed as a conflict.

    Idempotent. Raises `ConnectorError` when the history cannot be read; the audits stay owed. A
    history that the CRM refuses for good is logged and the audits are given up.
    """
    with runtime.database.read() as session:
        still = schema_watch.standing_still(session, crm.name)
        owed = session.scalars(
            select(IntentRow)
            .where(*_owed(crm.name), IntentRow.object.not_in(still))
            .order_by(IntentRow.id)
            .limit(AUDITS_MAX)
        ).all()
    for object_name in sorted({intent.object for intent in owed}):
        intents = [intent for intent in owed if intent.object == object_name]
        changes = _history(crm, object_name, intents)
        with runtime.database.begin() as unit:
            unit.lock_all(IntentRow, [intent.id for intent in intents])
            for known in intents:
                intent = unit.lock(IntentRow, known.id)
                if intent is None or intent.audit_since is None or intent.state != known.state:
                    continue  # another worker audited it meanwhile
                for change in _overwritten(intent, changes.get(str(intent.record_id), [])):
                    _keep(runtime, unit, intent, change)
                _note_audited(intent)


def _note_audited(intent: IntentRow) -> None:
    """End an audit; a write that had not taken effect when it was looked up may do so yet."""
    if intent.state == "not_done":
        intent.state = "set_aside"
    else:
        intent.audit_since = None


def _history(
    crm: CrmConnector, object_name: str, intents: Sequence[IntentRow]
) -> dict[str, list[FieldChange]]:
    records = sorted({str(intent.record_id) for intent in intents})
    names = sorted({name for intent in intents for name in intent.payload})
    since = min(intent.audit_since for intent in intents if intent.audit_since is not None)
    changes: dict[str, list[FieldChange]] = defaultdict(list)
    try:
        for change in crm.history(object_name, records, names, since):
            changes[change.record_id].append(change)
    except CallRejected as error:
        log.warning("overwrite audit refused", connection=crm.name, reason=error.message)
    return changes


def _overwritten(intent: IntentRow, changes: Sequence[FieldChange]) -> Iterator[FieldChange]:
    """Yield what others wrote after our read and this write itself replaced.

    A write's own entry says what it replaced; whatever stood there still earlier was seen by
    whoever wrote over it. Stamps may be whole seconds, so they cannot tell.
    """
    for name, value in intent.payload.items():
        since = [c for c in changes if c.field == name and c.changed_at >= _since(intent)]
        known = (intent.before.get(name), value)
        for ours in (c for c in since if c.by_us and same(c.value, value)):
            replaced = [c for c in since if _may_precede(c, ours)]
            unseen = not any(same(ours.old_value, each) for each in known)
            if unseen and replaced and not replaced[-1].by_us:
                yield replaced[-1]


def _may_precede(change: FieldChange, ours: FieldChange) -> bool:
    """Whether a change may be the one that our write replaced."""
    earlier = change is not ours and change.changed_at <= ours.changed_at
    return earlier and same(change.value, ours.old_value)


def _since(intent: IntentRow) -> datetime:
    assert intent.audit_since is not None
    return intent.audit_since


def _keep(runtime: Runtime, unit: UnitOfWork, intent: IntentRow, change: FieldChange) -> None:
    registration = repository.registration(unit.session, intent.registration_id)
    if intent.operation == stamps.STAMP:
        stamps.keep_overwritten(unit, intent, change.field, change.value)
        return
    mapping = runtime.mapping_of(registration, ConnectionName(intent.connection), intent.object)
    conflict = None if mapping is None else _conflict(mapping, intent, change)
    link = unit.session.scalars(  # it may have followed a merge to another record since
        select(LinkRow)
        .where(
            LinkRow.registration_id == intent.registration_id,
            LinkRow.connection == intent.connection,
        )
        .order_by((LinkRow.record_id == intent.record_id).desc())
    ).first()
    if link is None or conflict is None:
        _note_overwritten(unit, intent, change)
        return
    keep_conflict(unit, link, group_of(next(iter(conflict.remote))), conflict, None)


def _note_overwritten(unit: UnitOfWork, intent: IntentRow, change: FieldChange) -> None:
    """Keep in the trail what no conflict can hold: the record is not linked or mapped any more."""
    audit.record(
        unit,
        f"registration:{intent.registration_id}",
        "overwrote unread",
        {
            "connection": intent.connection,
            "record": intent.record_id,
            "field": change.field,
            "value": str(change.value),
        },
    )


def _conflict(
    mapping: ObjectMapping, intent: IntentRow, change: FieldChange
) -> SyncConflict | None:
    before = {**intent.before, **intent.payload}
    theirs = to_store(mapping, {**before, change.field: change.value}).fields
    ours = to_store(mapping, before).fields
    rows = [row for row in mapping.rows if change.field in row.theirs]
    names = [row.ours.name for row in rows if row.ours.name in theirs]
    if not names:
        return None
    return SyncConflict(
        base=to_store(mapping, intent.before).fields,
        store={name: ours.get(name) for name in names},
        remote={name: theirs[name] for name in names},
        settled="store",
        reason=f"Our write replaced a value that {intent.connection} was given after we had read it.",
    )
