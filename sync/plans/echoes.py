"""Records that hold what both sides agreed on: most of what a CRM tells of are our own writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import select

from connectors.port import CrmConnector, Gone, RemoteRecord
from registration_core.contracts import ConnectionName
from sync.ledger.tables import IntentRow, LinkRow, SyncConflictRow
from sync.plans import seen
from sync.plans.jobs import Job, jobs_of, plan_job
from sync.process.runtime import Runtime


def jobs_by_record(
    runtime: Runtime, connection: ConnectionName, object_name: str, record_ids: Sequence[str]
) -> dict[str, Job]:
    """Read the registrations that these records are linked to, by record id."""
    with runtime.database.read() as session:
        linked = session.scalars(
            select(LinkRow.registration_id).where(
                LinkRow.connection == connection,
                LinkRow.object == object_name,
                LinkRow.record_id.in_(record_ids),
            )
        )
        jobs = jobs_of(runtime, session, connection, dict.fromkeys(linked, 0))
    return {job.link.record_id: job for job in jobs if job.link is not None}


def without_news(
    runtime: Runtime,
    crm: CrmConnector,
    records: Mapping[str, RemoteRecord | Gone],
    jobs: Mapping[str, Job],
) -> set[str]:
    """Return the records that hold what both sides agreed on, and remember what they hold.

    There is nothing to take and nothing to tell of them: no conflict is open that agreeing
    closes, and no write is in flight whose answer will move the base.
    """
    agreed: dict[str, tuple[LinkRow, RemoteRecord]] = {}
    for record_id, record in records.items():
        job = jobs.get(record_id)
        if job is None or job.link is None or isinstance(record, Gone):
            continue
        if job.link.state != "active" or record.record_id != job.link.record_id:
            continue
        if job.registration.program not in runtime.programs or job.link.restore:
            continue
        planned = plan_job(runtime, job, record)
        if planned.is_empty and planned.base == job.link.base:
            agreed[record_id] = job.link, record
    if not agreed:
        return set()
    loud = _contested_or_in_flight(runtime, crm.name, [link for link, _ in agreed.values()])
    quiet = {i: found for i, found in agreed.items() if found[0].id not in loud}
    if quiet and crm.capabilities.precondition:
        with runtime.database.begin() as unit:
            seen.remember_all(unit, quiet.values())
    return set(quiet)


def _contested_or_in_flight(
    runtime: Runtime, connection: ConnectionName, links: Sequence[LinkRow]
) -> set[str]:
    with runtime.database.read() as session:
        contested = session.scalars(
            select(SyncConflictRow.link_id).where(
                SyncConflictRow.link_id.in_([link.id for link in links]),
                SyncConflictRow.state == "open",
            )
        ).all()
        in_flight = set(
            session.scalars(
                select(IntentRow.record_id).where(
                    IntentRow.connection == connection, IntentRow.state == "pending"
                )
            )
        )
    return {*contested, *(link.id for link in links if link.record_id in in_flight)}
