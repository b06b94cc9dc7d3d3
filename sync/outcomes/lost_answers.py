"""Writes whose answer was lost: a time-out, a cut connection, a worker that died.

Their intents are still pending. Each is looked up, a create by our key and an update by its
values, before anything else touches its record; nothing is sent again. Only reads.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.orm import Session

from connectors.port import Gone, Outcome, Refused, RemoteRecord, Stale, Written
from mapping.schema import ObjectMapping
from mapping.translate import to_store
from reconciler.merge import same
from registration_core.contracts import ConnectionName
from registration_core.store import repository
from sync.ledger.tables import IntentRow
from sync.mappings import schema_watch
from sync.outcomes import stamps
from sync.outcomes.settling import PartlyThere, settle_batch
from sync.plans.jobs import Job
from sync.process.runtime import Runtime


def are_pending(connection: ConnectionName) -> ColumnElement[bool]:
    """Return the condition that a connection has writes without an answer."""
    return exists().where(IntentRow.connection == connection, IntentRow.state == "pending")


def settle_pending(runtime: Runtime, connection: ConnectionName) -> None:
    """Look up every write whose answer was lost, before anything else touches its record."""
    with runtime.database.read() as session:
        pending = session.scalars(
            select(IntentRow)
            .where(IntentRow.connection == connection, IntentRow.state == "pending")
            .order_by(IntentRow.id)
        ).all()
        still = schema_watch.standing_still(session, connection)
    pending = [intent for intent in pending if intent.object not in still]
    for object_name in sorted({intent.object for intent in pending}):
        intents = [intent for intent in pending if intent.object == object_name]
        records = _look_up(runtime, connection, object_name, intents)
        settle_batch(runtime.database, {intent.id: records[intent.id] for intent in intents})


def _look_up(
    runtime: Runtime, connection: ConnectionName, object_name: str, intents: Sequence[IntentRow]
) -> dict[str, Outcome]:
    crm = runtime.connector(connection)
    with runtime.database.read() as session:
        registrations = [repository.registration(session, i.registration_id) for i in intents]
        earlier = given_up(session, connection, {i.registration_id for i in intents})
    mappings = {
        i.id: stamps.mapping_of(runtime, i, registration)
        for i, registration in zip(intents, registrations, strict=True)
    }
    beside = runtime.mappings[connection].companion_on(object_name)
    if beside is not None:
        mappings = dict.fromkeys(mappings, beside.made)
    known = [m for m in mappings.values() if m is not None and m.object == object_name]
    if not known:
        return {
            i.id: Refused("no_mapping", f"{object_name} is not mapped any more") for i in intents
        }
    reads = sorted({known[0].key, *(name for mapping in known for name in mapping.reads())})
    keys = [_key(i) for i in intents if i.operation == "create"]
    # What is there is asked last: a create that was held up may take effect in between.
    gone = crm.find_gone(object_name, known[0].key, keys)
    found = crm.find(object_name, known[0].key, keys, reads)
    read = crm.read(object_name, [i.record_id for i in intents if i.record_id], reads)
    outcomes: dict[str, Outcome] = {}
    for intent in intents:
        mapping = mappings[intent.id]
        if intent.operation == "create":
            made = found.get(_key(intent))
            if made is None:
                outcomes[intent.id] = _lost(intent, gone.get(_key(intent)))
            elif _is_anothers(mapping, intent, made, earlier):
                outcomes[intent.id] = Stale("")  # planned again, it adopts the record
            else:
                outcomes[intent.id] = Written(made.record_id)
        else:
            outcomes[intent.id] = _looked_up(mapping, intent, read[str(intent.record_id)])
    return outcomes


def _is_anothers(
    mapping: ObjectMapping | None,
    intent: IntentRow,
    record: RemoteRecord,
    earlier: Sequence[IntentRow],
) -> bool:
    """Whether a record with our key is what a create made that had been given up before this one.

    With this one's values for its base, the older ones that it holds would look like a user's.
    """
    if intent.companion or isinstance(_looked_up(mapping, intent, record), Written):
        return False
    mine = _held(mapping, intent, record)
    before = (i for i in earlier if i.registration_id == intent.registration_id)
    return any(_held(mapping, i, record) >= mine for i in before if i.base != intent.base)


def _held(mapping: ObjectMapping | None, intent: IntentRow, record: RemoteRecord) -> int:
    """How much of a create a record holds: of several, the one it holds most of has made it."""
    if mapping is None:
        return 0
    wrote, holds = (to_store(mapping, f).fields for f in (intent.payload, record.fields))
    return sum(n in holds and same(holds[n], v) for n, v in wrote.items())


def late_create(runtime: Runtime, job: Job, record: RemoteRecord) -> str | None:
    """Return the intent that made a record after it was given up; None if that cannot be told.

    Of several, it is the one that the record holds most of: a user may have changed the rest since.
    """
    with runtime.database.read() as session:
        creates = given_up(session, job.connection, [job.registration.id])
    most = max((_held(job.mapping, i, record) for i in creates), default=0)
    made = [i for i in creates if most and _held(job.mapping, i, record) == most]
    alike = made and all(i.base == made[0].base for i in made)
    return made[0].id if alike else None


def given_up(
    session: Session, connection: ConnectionName, registration_ids: Collection[str]
) -> Sequence[IntentRow]:
    """Return creates that had not taken effect when they were looked up, the newest first."""
    return session.scalars(
        select(IntentRow)
        .where(
            IntentRow.registration_id.in_(registration_ids),
            IntentRow.connection == connection,
            IntentRow.operation == "create",
            IntentRow.companion == "",
            IntentRow.state.in_(("not_done", "set_aside")),
        )
        .order_by(IntentRow.id.desc())
    ).all()


def _key(intent: IntentRow) -> str:
    return intent.key or intent.registration_id


def _lost(intent: IntentRow, gone: Gone | None) -> Outcome:
    """What to make of a create whose record is not there."""
    if gone is None:  # it never happened, and the create is planned again
        return Stale("")
    if not intent.companion:
        return gone
    # What refers to a companion needs one that is there.
    return Written(gone.merged_into) if gone.merged_into else Stale("")


def _looked_up(
    mapping: ObjectMapping | None, intent: IntentRow, record: RemoteRecord | Gone
) -> Outcome:
    """Whether a lost update took effect; if anything differs it is planned again.

    What the record holds of it is agreed on all the same: whoever changed the rest saw that.
    """
    if isinstance(record, Gone):
        return record
    if mapping is None:
        return PartlyThere(record.record_id, {})
    wrote = to_store(mapping, intent.payload).fields
    holds = to_store(mapping, record.fields).fields
    # A payload that the mapping of today cannot read proves nothing.
    there = {n: v for n, v in wrote.items() if n in holds and same(holds[n], v)}
    if wrote and len(there) == len(wrote):
        return Written(record.record_id, record.version)
    return PartlyThere(record.record_id, there)
