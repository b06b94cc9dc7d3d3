"""One registration on one connection, read together with what a plan needs of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from connectors.port import CrmConnector, Gone, RemoteRecord
from mapping.schema import ACCOUNT, Companion, ObjectMapping
from reconciler.merge import same
from registration_core.contracts import ConnectionName, Fields
from registration_core.crm_changes import canonical
from registration_core.model import Partner, Registration
from registration_core.program import Program, Role
from registration_core.store import repository
from sync.ledger.gates import HeldChangeRow, HeldRow
from sync.ledger.tables import CompanionRow, LinkRow
from sync.mappings.mapping_versions import changed_fields
from sync.plans import breaker, late
from sync.plans.late import Delayed
from sync.plans.planning import Plan, Situation, plan
from sync.process.runtime import Runtime


@dataclass(frozen=True)
class Job:
    """One registration of one connection, as it was read."""

    registration: Registration
    partner: Partner
    #: None where it is not configured any more.
    program: Program | None
    connection: ConnectionName
    mapping: ObjectMapping
    role: Role
    link: LinkRow | None
    #: The outbox row's `wanted`, read before the registration.
    wanted: int
    #: Writes of ours that may yet take effect and, where there are any, the fields that a person is
    #: asked about.
    delayed: tuple[Delayed, ...] = ()
    asked: frozenset[str] = frozenset()
    #: Changes that a person has discarded, in our terms, and by their object creates of
    #: companions, in the CRM's own names.
    declined: tuple[Fields, ...] = ()
    declined_beside: Mapping[str, Sequence[Fields]] = field(default_factory=dict)
    #: Fields whose row means something else since they were agreed on.
    rebased: frozenset[str] = frozenset()
    #: The companions that are there, by name with their record ids, and those that are owed.
    companions: Mapping[str, str] = field(default_factory=dict)
    owed: frozenset[str] = frozenset()

    @property
    def store(self) -> Fields:
        """Our fields as this connection should hold them, with what they refer to."""
        ours = canonical(self.registration, self.connection, self.program, self.partner)
        return {**ours, **self.companions}


@dataclass(frozen=True)
class Planned:
    """A job with the CRM's record and what to do about both."""

    job: Job
    record: RemoteRecord | None
    plan: Plan
    #: The record was not read for this plan: it is what was last seen (`sync/plans/seen.py`).
    remembered: bool = False
    #: What it makes instead of the registration's own record, under this key.
    companion: Companion | None = None
    own_key: str = ""

    @property
    def key(self) -> str:
        """The value of the unique field that a record made by this plan carries."""
        return self.own_key or self.job.registration.id

    @property
    def owes(self) -> tuple[Companion, ...]:
        """What is to be made once this plan has made the registration's own record."""
        creates = self.record is None and self.companion is None
        return self.job.mapping.after if creates else ()


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
    partners = {partner.id: partner for partner in repository.partners(session)}
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
    standing = {i: name for (i, name), link in links.items() if link.converted_at is not None}
    delayed = late.delayed(session, connection, wanted, runtime.database.clock())
    asked = late.asked(session, [link for (i, _), link in links.items() if i in delayed])
    declined = _declined(session, connection, wanted)
    jobs = []
    for registration_id, number in wanted.items():
        registration = registrations[registration_id]
        stands_on = standing.get(registration_id, "")
        mapping = runtime.mapping_of(registration, connection, stands_on)
        if mapping is not None:
            link = links.get((registration_id, mapping.object))
            partner, role = partners[registration.partner_id], registration.roles[connection]
            program = runtime.programs.get(registration.program)
            writes = tuple(delayed.get(registration_id, ()))
            asked_about = asked.get(link.id, frozenset()) if link else frozenset()
            no, beside = _apart(mapping, declined.get(registration_id, ()), link)
            jobs.append(
                Job(
                    registration, partner, program, connection, mapping, role, link, number, writes,
                    asked_about, no, beside,
                )
            )  # fmt: skip
    jobs = _with_companions(session, connection, jobs)
    changed = changed_fields(session, [(j.link, j.mapping) for j in jobs if j.link is not None])
    return [
        replace(job, rebased=changed[job.link.id])
        if job.link is not None and job.link.id in changed
        else job
        for job in jobs
    ]


def read_linked(
    crm: CrmConnector, jobs: Iterable[Job]
) -> Iterator[tuple[Job, RemoteRecord | Gone]]:
    """Read the records that jobs are linked with, object by object and in the CRM's batches.

    Jobs without a link are left out.
    """
    linked = [(job, job.link.record_id) for job in jobs if job.link is not None]
    for object_name in sorted({job.mapping.object for job, _ in linked}):
        alike = [(job, key) for job, key in linked if job.mapping.object == object_name]
        fields = sorted({name for job, _ in alike for name in job.mapping.reads()})
        for start in range(0, len(alike), crm.capabilities.read_batch):
            batch = alike[start : start + crm.capabilities.read_batch]
            records = crm.read(object_name, [key for _, key in batch], fields)
            yield from ((job, records[key]) for job, key in batch)


def _with_companions(
    session: Session, connection: ConnectionName, jobs: Sequence[Job]
) -> list[Job]:
    """Add which companions are there, and which are owed."""
    ids = [job.registration.id for job in jobs if job.mapping.companions]
    if not ids:
        return list(jobs)
    rows = session.scalars(
        select(CompanionRow).where(
            CompanionRow.registration_id.in_(ids), CompanionRow.connection == connection
        )
    )
    by_registration: defaultdict[str, list[CompanionRow]] = defaultdict(list)
    for row in rows:
        by_registration[row.registration_id].append(row)
    with_companions = []
    for job in jobs:
        mine = by_registration[job.registration.id]
        there = {row.name: row.record_id for row in mine if row.record_id is not None}
        if connection in job.registration.accounts:
            there[ACCOUNT] = job.registration.accounts[connection]
        owed = frozenset(row.name for row in mine if row.record_id is None)
        with_companions.append(replace(job, companions=there, owed=owed))
    return with_companions


def reads_of(crm: CrmConnector, jobs: Sequence[Job]) -> list[str]:
    """Return the CRM fields to read before these jobs may write.

    What costs a call of its own is read only where a write may touch its group.
    """
    names = {name for job in jobs for name in job.mapping.reads()}
    costly = names & crm.capabilities.costly
    needed = {name for name in costly if any(_may_write(job, name) for job in jobs)}
    return sorted(names - costly | needed)


def _may_write(job: Job, name: str) -> bool:
    """Whether our side of the group that a CRM field is in has changed since both agreed."""
    link = job.link
    if link is None or not link.base or link.restore or job.rebased:
        return True
    ours = job.store
    groups = [g for g in job.mapping.groups.values() if any(name in row.theirs for row in g.rows)]
    fields = [row.ours.name for group in groups for row in group.rows if row.merges]
    return any(n not in link.base or not same(ours.get(n), link.base[n]) for n in fields)


def _declined(
    session: Session, connection: ConnectionName, wanted: Iterable[str]
) -> Mapping[str, list[tuple[str, Fields, Fields | None]]]:
    """Return by registration what a person has discarded, with the object and what was agreed on."""
    rows = session.execute(
        select(
            HeldChangeRow.registration_id,
            HeldChangeRow.object,
            HeldChangeRow.values,
            HeldChangeRow.agreed,
        )
        .join(HeldRow, HeldRow.id == HeldChangeRow.held_id)
        .where(
            HeldChangeRow.registration_id.in_(list(wanted)),
            HeldChangeRow.connection == connection,
            HeldRow.state == "discarded",
        )
    )
    declined: defaultdict[str, list[tuple[str, Fields, Fields | None]]] = defaultdict(list)
    for registration_id, object_name, values, agreed in rows:
        declined[registration_id].append((object_name, values, agreed))
    return declined


def _apart(
    mapping: ObjectMapping,
    declined: Iterable[tuple[str, Fields, Fields | None]],
    link: LinkRow | None,
) -> tuple[tuple[Fields, ...], dict[str, list[Fields]]]:
    """Part what was discarded of the record itself from what was of its companions.

    What both sides have agreed on since ends a discard: the same value is a new change then.
    """
    base = link.base if link else {}
    beside: dict[str, list[Fields]] = {each.made.object: [] for each in mapping.companions.values()}
    own: list[Fields] = []
    for object_name, values, agreed in declined:
        if all(same(base.get(name), value) for name, value in (agreed or {}).items()):
            beside.get(object_name, own).append(values)
    return tuple(own), beside


def plan_job(
    runtime: Runtime, job: Job, record: RemoteRecord | None, base: Fields | None = None
) -> Plan:
    """Plan a job against the CRM's record, or its create where there is none.

    `base` stands for the link's where one is given.
    """
    link = job.link
    base = base or ((link.base or None) if link else None)
    writes: Sequence[Fields] = ()
    if base and record is not None and link is not None:
        writes = late.late(job.mapping, job.delayed, job.asked, link, record.fields)
    return plan(
        Situation(
            mapping=job.mapping,
            program=runtime.program(job.registration.program),
            connection=job.connection,
            role=job.role,
            rebased=job.rebased,
            phase=job.registration.phase,
            store=job.store,
            base=base and late.explained(base, writes),
            remote=None if record is None else record.fields,
            restore=(link.restore or {}) if link else {},
            undone=(link.undone or {}) if link else {},
            repeats=breaker.read(link.repeats) if link else {},
            late_writes=len(writes),
            declined=job.declined,
            remote_by_us=None if record is None else record.modified_by_us,
        )
    )
