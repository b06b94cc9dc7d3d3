"""One registration on one connection, read together with what a plan needs of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from connectors.port import RemoteRecord
from mapping.schema import ObjectMapping
from registration_core.contracts import ConnectionName, Fields
from registration_core.crm_changes import canonical
from registration_core.model import Registration
from registration_core.program import Role
from registration_core.store import repository
from sync import breaker
from sync.ledger.tables import LinkRow
from sync.planning import Plan, Situation, plan
from sync.runtime import Runtime


@dataclass(frozen=True)
class Job:
    """One registration of one connection, as it was read."""

    registration: Registration
    partner_name: str
    connection: ConnectionName
    mapping: ObjectMapping
    role: Role
    link: LinkRow | None
    #: The outbox row's `wanted`, read before the registration.
    wanted: int


@dataclass(frozen=True)
class Planned:
    """A job with the CRM's record and what to do about both."""

    job: Job
    record: RemoteRecord | None
    plan: Plan


def job_of(runtime: Runtime, session: Session, key: str, connection: ConnectionName) -> Job | None:
    """Read a registration by id or number; None where the connection is not written to."""
    registration = repository.registration(session, key)
    found = jobs_of(runtime, session, connection, {registration.id: 0})
    return found[0] if found else None


def jobs_of(
    runtime: Runtime, session: Session, connection: ConnectionName, wanted: Mapping[str, int]
) -> list[Job]:
    """Read several registrations with their links, in the order of `wanted`.

    `wanted` holds each outbox row's number, read before. Registrations that the connection is
    only read for are left out.
    """
    registrations = repository.registrations_by_id(session, list(wanted))
    partners = {partner.id: partner.name for partner in repository.partners(session)}
    links = {
        (link.registration_id, link.object): link
        for link in session.scalars(
            select(LinkRow).where(
                LinkRow.registration_id.in_(list(wanted)),
                LinkRow.connection == connection,
                LinkRow.role == "primary",
            )
        )
    }
    jobs = []
    for registration_id, number in wanted.items():
        registration = registrations[registration_id]
        mapping = runtime.mapping_of(registration, connection)
        if mapping is not None:
            link = links.get((registration_id, mapping.object))
            partner, role = partners[registration.partner_id], registration.roles[connection]
            jobs.append(Job(registration, partner, connection, mapping, role, link, number))
    return jobs


def plan_job(
    runtime: Runtime, job: Job, record: RemoteRecord | None, base: Fields | None = None
) -> Plan:
    """Plan a job against the CRM's record, or its create where there is none.

    `base` stands for the link's where one is given.
    """
    link = job.link
    return plan(
        Situation(
            mapping=job.mapping,
            program=runtime.program(job.registration.program),
            connection=job.connection,
            role=job.role,
            phase=job.registration.phase,
            store=canonical(job.registration, job.connection, job.partner_name),
            base=base or ((link.base or None) if link else None),
            remote=None if record is None else record.fields,
            restore=(link.restore or {}) if link else {},
            repeats=breaker.read(link.repeats) if link else {},
            remote_by_us=None if record is None else record.modified_by_us,
        )
    )
