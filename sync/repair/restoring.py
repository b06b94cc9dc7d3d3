"""A store restored from a backup never pushes old values: what it would write waits for a person.

What both sides agreed on after the backup is unknown to it, so that a newer value in a CRM looks
like a user's change, and where the CRM may not change it, the older one would be put back.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import select

from connectors.port import RemoteRecord
from registration_core.contracts import ConnectionName
from registration_core.model import Actor
from registration_core.store import audit
from sync.gates.holding import hold
from sync.ledger.tables import LinkRow
from sync.plans.jobs import Job, Planned, jobs_of, plan_job, read_linked
from sync.process.runtime import Runtime

#: Links planned and held in one go.
PAGE = 200


def hold_pushes(runtime: Runtime, connection: ConnectionName, actor: Actor) -> int:
    """Hold everything that linked records would be sent now; returns how many records.

    Reads the CRM in pages and writes nothing to it. Idempotent: held changes are held once.
    """
    crm, held = runtime.connector(connection), 0
    for jobs in _pages(runtime, connection):
        planned = [
            Planned(job, record, plan_job(runtime, job, record))
            for job, record in read_linked(crm, jobs)
            if isinstance(record, RemoteRecord)
        ]
        pushing = [p for p in planned if p.plan.write]
        if pushing:
            with runtime.database.begin(actor) as unit:
                why = "the store was restored, and would write over what is newer"
                hold(unit, connection, "push", "restored", "", why, pushing)
        held += len(pushing)
    with runtime.database.begin(actor) as unit:
        audit.record(unit, f"connection:{connection}", "hold after restore", {"records": held})
    return held


def _pages(runtime: Runtime, connection: ConnectionName) -> Iterator[list[Job]]:
    """Yield the linked registrations of a connection, a page at a time, in the order of their ids."""
    after = ""
    while True:
        with runtime.database.read() as session:
            ids = session.scalars(
                select(LinkRow.registration_id)
                .where(
                    LinkRow.connection == connection, LinkRow.state == "active",
                    LinkRow.registration_id > after,
                )
                .order_by(LinkRow.registration_id)
                .limit(PAGE)
            ).all()  # fmt: skip
            if not ids:
                return
            jobs = jobs_of(runtime, session, connection, dict.fromkeys(ids, 0))
        yield [job for job in jobs if job.registration.program in runtime.programs]
        after = ids[-1]
