"""What a promotion is decided on: what would have been written, and what people did since."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from connectors.port import RemoteRecord
from registration_core.contracts import ConnectionName
from sync.gates.ladder import ObjectReport, Report, objects, rungs
from sync.ledger.gates import HeldRow
from sync.ledger.tables import (
    CompanionRow,
    DeadLetterRow,
    IntentRow,
    LinkProposalRow,
    LinkRow,
    SyncConflictRow,
)
from sync.plans.jobs import jobs_of, read_linked
from sync.process.runtime import Runtime


def report(runtime: Runtime, connection: str) -> Report:
    """Hold what would have been written against what people did since. Reads the CRM."""
    crm = runtime.connector(connection)
    with runtime.database.read() as session:
        stands = rungs(runtime, session, [crm.name])[crm.name]
        newest = _observed(session, crm.name)
        ids = dict.fromkeys([registration_id for registration_id, _ in newest], 0)
        jobs = jobs_of(runtime, session, crm.name, ids)
        owed = session.scalars(
            select(CompanionRow.object).where(
                CompanionRow.connection == crm.name, CompanionRow.record_id.is_(None)
            )
        ).all()
        counts = _waiting(session, crm.name)
    found = {name: Counter[str]() for name in objects(runtime, crm.name)}
    for name in owed:
        found.setdefault(name, Counter())["would_create"] += 1
    made: set[tuple[str, str]] = set()
    for job in jobs:
        own, linked = job.mapping.object, job.link is not None
        found[own]["would_update"] += linked and (job.registration.id, own) in newest
        found[own]["would_create"] += not linked
        made |= {
            (each.made.object, intent.key)
            for each in job.mapping.before
            if each.name not in job.companions
            and (intent := newest.get((job.registration.id, each.made.object))) is not None
            and intent.companion == each.name
        }
    for name, _ in made:
        found[name]["would_create"] += 1
    for job, record in read_linked(crm, jobs):
        intent = newest.get((job.registration.id, job.mapping.object))
        if intent is not None and isinstance(record, RemoteRecord):
            found[job.mapping.object] += _graded(intent, record)
    return Report(
        objects=tuple(
            ObjectReport(name, stands.at(name), **tally) for name, tally in sorted(found.items())
        ),
        **counts,
    )


def _graded(intent: IntentRow, record: RemoteRecord) -> Counter[str]:
    """Count the fields of a write that was only recorded by what people did with them since."""
    tally = Counter[str]()
    for name, value in intent.payload.items():
        now, before = record.fields.get(name), intent.before.get(name)
        tally["people_did_the_same"] += now == value
        tally["nobody_touched"] += now != value and now == before
        tally["people_did_otherwise"] += now not in (value, before)
    return tally


def _observed(session: Session, connection: ConnectionName) -> dict[tuple[str, str], IntentRow]:
    """Return the newest write that was only recorded, by registration and object."""
    rows = session.scalars(
        select(IntentRow)
        .where(IntentRow.connection == connection, IntentRow.state == "observed")
        .order_by(IntentRow.created_at, IntentRow.id)
    )
    return {(row.registration_id, row.object): row for row in rows}


def _waiting(session: Session, connection: ConnectionName) -> dict[str, int]:
    def count(table: type[LinkRow | LinkProposalRow | SyncConflictRow | HeldRow | DeadLetterRow],
              state: str) -> int:  # fmt: skip
        where = (table.connection == connection, table.state == state)
        return session.scalar(select(func.count()).select_from(table).where(*where)) or 0

    return {
        "linked": count(LinkRow, "active"),
        "proposals_waiting": count(LinkProposalRow, "proposed"),
        "open_conflicts": count(SyncConflictRow, "open"),
        "held_items": count(HeldRow, "held"),
        "dead_letters": count(DeadLetterRow, "open"),
    }
