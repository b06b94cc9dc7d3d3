"""What a push of one registration would do now; reads the CRM and writes nothing."""

from __future__ import annotations

from connectors.port import Gone
from registration_core.contracts import ConnectionName
from registration_core.errors import DomainRefusal
from sync.jobs import Planned, job_of, plan_job
from sync.runtime import Runtime


def preview(runtime: Runtime, number: str, connection: str) -> Planned:
    """Return the very plan that a push would carry out; `DomainRefusal` if there is none to make."""
    crm = runtime.connector(connection)
    with runtime.database.read() as session:
        job = job_of(runtime, session, number, ConnectionName(connection))
    if job is None:
        raise DomainRefusal(f"{connection} is read for checks only: nothing is written there.")
    if job.link is None:
        return Planned(job, None, plan_job(runtime, job, None))
    record = crm.read(job.mapping.object, [job.link.record_id], job.mapping.reads())[
        job.link.record_id
    ]
    if isinstance(record, Gone):
        raise DomainRefusal(
            f"The record of {job.registration.number} in {connection} is {record.absence.value}.",
            hint="Type: dealreg link list",
        )
    return Planned(job, record, plan_job(runtime, job, record))
