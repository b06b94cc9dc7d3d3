"""What a push or pull would do now, field by field; reads the CRM and writes nothing.

The plans are the very ones that a real run makes: same reading, same `plan()`, same search for
a record to link before a create, same lifecycle that may refuse what a CRM changed. What a taken
change brings with it here (a won deal frees its protection) is planned as well.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from sqlalchemy import select

from connectors.port import CrmConnector, Gone, RemoteRecord
from mapping.schema import Row
from mapping.translate import ValueProblem
from reconciler.merge import Verdict
from registration_core import crm_changes
from registration_core.contracts import ConnectionName, Fields, Mode, Value
from registration_core.errors import DomainRefusal
from registration_core.fields import FieldGroup
from registration_core.store import protection, repository
from registration_core.store.tables import OutboxRow
from sync.creates import companions
from sync.gates import ladder
from sync.mappings import schema_watch
from sync.plans.jobs import Job, Planned, job_of, plan_job
from sync.plans.planning import GroupPlan
from sync.process.runtime import Runtime
from sync.proposals import proposing


class Does(StrEnum):
    """What happens to a field, or to a registration in all."""

    CREATE = "create"
    PUSH = "push"
    #: Our value goes back where the CRM changed what it may not.
    RESTORE = "restore"
    PULL = "pull"
    CONFLICT = "conflict"
    #: A value without counterpart, or a change that the lifecycle does not take.
    REFUSED = "refused"
    #: Nothing, until a person or the CRM has done something first.
    WAIT = "wait"
    AGREE = "agree"


#: What a registration does is the gravest of what its fields do.
_GRAVEST = (Does.REFUSED, Does.CONFLICT, Does.CREATE, Does.RESTORE, Does.PUSH, Does.PULL)


#: What changes the CRM's record.
_WRITES = frozenset({Does.CREATE, Does.PUSH, Does.RESTORE})
#: Groups whose base moves only when the CRM has confirmed a write.
_LATER = frozenset({Verdict.PUSH, Verdict.RESTORE})


@dataclass(frozen=True)
class FieldPreview:
    """One field of one registration, both sides beside each other."""

    group: str
    ours: str
    theirs: tuple[str, ...]
    our_value: Value
    #: In the CRM's own names; empty for a new record.
    their_values: Fields
    does: Does
    #: What the side that changes will hold: ours for a pull, theirs in their names otherwise.
    then: Value | Fields
    why: str = ""


@dataclass(frozen=True)
class Preview:
    """One registration on one connection."""

    job: Job
    does: Does
    fields: tuple[FieldPreview, ...]
    #: What would be written, in the CRM's own names.
    write: Fields
    why: str = ""


@dataclass(frozen=True)
class Previews:
    """What a run over a connection would do."""

    connection: ConnectionName
    mapping_version: str
    #: Nothing is written unless this is `push`.
    mode: Mode
    #: Objects of which nothing is written either, and where each is held back.
    held_back: Mapping[str, Mode]
    registrations: tuple[Preview, ...]

    @property
    def rebased(self) -> int:
        """Return how many values are agreed on anew, because their rows mean something else now."""
        return sum(len(preview.job.rebased) for preview in self.registrations)

    def counts(self) -> Mapping[Does, int]:
        """Return how many registrations would come out how."""
        found = Counter(preview.does for preview in self.registrations)
        return {does: found[does] for does in Does if found[does]}


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


def preview_many(
    runtime: Runtime,
    connection: str,
    *,
    number: str = "",
    sample: int | None = None,
    due: bool = False,
) -> Previews:
    """Plan one registration, a sample, those with changes to push, or all that are mirrored.

    A sample is the same every time it is drawn from the same registrations.

    Raises:
        DomainRefusal: The one registration is not mirrored there.
        ConnectorError: The CRM could not be read.
    """
    crm = runtime.connector(connection)
    jobs = [_job(runtime, number, crm.name)] if number else _jobs(runtime, crm.name, due=due)
    if sample is not None:
        drawn = sorted(jobs, key=lambda job: hashlib.sha256(job.registration.id.encode()).digest())
        jobs = sorted(drawn[:sample], key=lambda job: job.registration.id)
    found = {each.job.registration.id: each for each in _previews(runtime, crm, jobs)}
    stands = ladder.rung(runtime, crm.name)
    return Previews(
        crm.name,
        runtime.mappings[crm.name].version,
        stands.mode,
        stands.held_back,
        tuple(found[job.registration.id] for job in jobs),
    )


def _job(runtime: Runtime, number: str, connection: ConnectionName) -> Job:
    with runtime.database.read() as session:
        job = job_of(runtime, session, number, connection)
    if job is None:
        raise DomainRefusal(f"{connection} is read for checks only: nothing is written there.")
    return job


def _jobs(runtime: Runtime, connection: ConnectionName, *, due: bool) -> list[Job]:
    waiting = (OutboxRow.state == "open", OutboxRow.done < OutboxRow.wanted) if due else ()
    with runtime.database.read() as session:
        ids = session.scalars(
            select(OutboxRow.registration_id)
            .where(OutboxRow.connection == connection, *waiting)
            .order_by(OutboxRow.registration_id)
        ).all()
        jobs = [job_of(runtime, session, key, connection) for key in ids]
    return [job for job in jobs if job is not None]


def _previews(runtime: Runtime, crm: CrmConnector, jobs: Sequence[Job]) -> Iterator[Preview]:
    size = max(1, crm.capabilities.read_batch)
    for name in sorted({job.mapping.object for job in jobs}):
        same = [job for job in jobs if job.mapping.object == name]
        for start in range(0, len(same), size):
            yield from _batch(runtime, crm, name, same[start : start + size])


def _batch(
    runtime: Runtime, crm: CrmConnector, object_name: str, jobs: Sequence[Job]
) -> Iterator[Preview]:
    with runtime.database.read() as session:
        still = schema_watch.standing_still(session, crm.name)
    if object_name in still:
        why = f"{object_name} stands still: {still[object_name]}"
        yield from (Preview(job, Does.WAIT, (), {}, why) for job in jobs)
        return
    reads = sorted({name for job in jobs for name in job.mapping.reads()})
    linked = [job.link.record_id for job in jobs if job.link and job.link.state == "active"]
    records = crm.read(object_name, linked, reads) if linked else {}
    unlinked = [job.registration.id for job in jobs if job.link is None]
    ours = crm.find(object_name, jobs[0].mapping.key, unlinked, reads) if unlinked else {}
    new = [job for job in jobs if job.link is None and job.registration.id not in ours]
    fitting = {j.registration.id: r for j, r in proposing.fitting_records(runtime, crm, new)}
    for job in jobs:
        if job.link is None:
            found = fitting.get(job.registration.id, [])
            yield _unlinked(runtime, crm, job, ours.get(job.registration.id), found)
            continue
        record = records.get(job.link.record_id)
        if record is None or isinstance(record, Gone):
            why = f"its record is {record.absence.value if record else job.link.state}"
            yield Preview(job, Does.WAIT, (), {}, f"{why}; see: dealreg link list")
        else:
            yield previewed(runtime, Planned(job, record, plan_job(runtime, job, record)))


def _unlinked(
    runtime: Runtime,
    crm: CrmConnector,
    job: Job,
    record: RemoteRecord | None,
    fitting: list[RemoteRecord],
) -> Preview:
    """Our key, then an open opportunity that fits, then a create: in the order of a push."""
    if record is None:
        with runtime.database.read() as session:
            if proposing.asks_a_person(session, job.registration, crm, fitting):
                why = "an existing record may be this deal; see: dealreg link list"
                return Preview(job, Does.WAIT, (), {}, why)
        steps, job = companions.outlook(runtime, crm, job)
        waits = [s for s in steps if s.does is companions.Does.WAIT and not s.companion.after]
        if waits:
            return Preview(job, Does.WAIT, (), {}, waits[0].why)
        return _with_companions(
            previewed(runtime, Planned(job, None, plan_job(runtime, job, None))), steps
        )
    return previewed(runtime, Planned(job, record, plan_job(runtime, job, record)))


def _with_companions(made: Preview, steps: Sequence[companions.Step]) -> Preview:
    """Add what is made beside a new record, and where the record will refer to it."""
    beside: list[FieldPreview] = []
    for step in steps:
        if step.does is companions.Does.MAKE:
            name = step.companion.name.replace("_", " ")
            why = f"its {name}, made once"
            beside += [replace(field, why=why) for field in _created(step.planned)]
            beside += [
                FieldPreview(
                    group.name, row.ours.name, row.theirs, None, {}, Does.CREATE, {},
                    f"the {name} that is made before",
                )
                for group in made.job.mapping.groups.values()
                for row in group.rows
                if row.creates and row.ours.name == step.companion.name
            ]  # fmt: skip
    return replace(made, fields=(*beside, *made.fields))


def previewed(runtime: Runtime, planned: Planned) -> Preview:
    """Return what carrying a plan out would do, field by field; keeps nothing."""
    fields = [_problem(planned, problem) for problem in planned.plan.problems]
    if planned.record is None:
        fields += _created(planned)
        return Preview(planned.job, Does.CREATE, tuple(fields), planned.plan.write)
    taken = _taken(runtime, planned)
    fields += [f for f in _fields(planned, taken.refused) if f.does not in _WRITES]
    after = (
        planned
        if taken.registration is planned.job.registration
        else _after(runtime, planned, taken)
    )
    fields += [f for f in _fields(after, {}) if f.does in _WRITES]
    does = {field.does for field in fields}
    gravest = next((each for each in _GRAVEST if each in does), Does.AGREE)
    why = f"{planned.job.connection} takes the deal over" if planned.plan.converts else ""
    return Preview(planned.job, gravest, tuple(fields), after.plan.write, why)


def _after(runtime: Runtime, planned: Planned, taken: crm_changes.Applied) -> Planned:
    """Plan once more, as the push does that follows a pull."""
    assert planned.job.link is not None
    base = dict(planned.job.link.base)
    for each in planned.plan.groups:
        if each.merge.verdict not in _LATER and each.group not in taken.refused:
            base |= each.merge.base
    job = replace(planned.job, registration=taken.registration)
    return Planned(job, planned.record, plan_job(runtime, job, planned.record, base))


def _problem(planned: Planned, p: ValueProblem) -> FieldPreview:
    ours, theirs = _store(planned).get(p.ours), _only(planned, p.theirs)
    return FieldPreview(p.group, p.ours, p.theirs, ours, theirs, Does.REFUSED, None, p.reason)


def _created(planned: Planned) -> Iterator[FieldPreview]:
    write, store = planned.plan.write, _store(planned)
    for group in planned.job.mapping.groups.values():
        for row in group.rows:
            then = {name: write[name] for name in row.theirs if name in write}
            if then:
                value = store.get(row.ours.name)
                yield FieldPreview(
                    group.name, row.ours.name, row.theirs, value, {}, Does.CREATE, then
                )


def _fields(planned: Planned, refused: Mapping[FieldGroup, str]) -> Iterator[FieldPreview]:
    store, mapping = _store(planned), planned.job.mapping
    for each in planned.plan.groups:
        for row in mapping.groups[each.group.value].rows:
            made = _field(planned, each, row, store.get(row.ours.name), refused.get(each.group))
            if made is not None:
                yield made


def _store(planned: Planned) -> Fields:
    return planned.job.store


def _field(
    planned: Planned, group: GroupPlan, row: Row, ours: Value, refused: str | None
) -> FieldPreview | None:
    name, merge = row.ours.name, group.merge
    conflict, theirs = merge.conflict, _only(planned, row.theirs)
    why = conflict.reason if conflict else ""
    does, then = Does.AGREE, None
    if name in merge.store_changes:
        does, then = Does.PULL, merge.store_changes[name]
        if refused is not None:
            does, then, why = Does.REFUSED, None, refused
    elif name in merge.remote_changes and row.pushes:
        does = Does.RESTORE if merge.verdict is Verdict.RESTORE else Does.PUSH
        link = planned.job.link
        if name in planned.job.rebased or (link is not None and name not in link.base):
            does, why = Does.PUSH, "Nothing is agreed on by this row yet, and ours stands."
        written: Fields = {n: planned.plan.write[n] for n in row.theirs if n in planned.plan.write}
        return FieldPreview(group.group, name, row.theirs, ours, theirs, does, written, why)
    elif conflict and conflict.settled is None and name in conflict.remote and row.merges:
        does = Does.CONFLICT
    if does is Does.AGREE:
        return None
    return FieldPreview(group.group, name, row.theirs, ours, theirs, does, then, why)


def _only(planned: Planned, names: Sequence[str]) -> Fields:
    held = planned.record.fields if planned.record else {}
    return {name: held[name] for name in names if name in held}


class _Undone(Exception):
    """Ends a transaction without keeping anything."""


def _taken(runtime: Runtime, planned: Planned) -> crm_changes.Applied:
    """Let the lifecycle take what the CRM changed, in a transaction that is rolled back."""
    job, takes = planned.job, planned.plan.takes
    taken = crm_changes.Applied(job.registration, {})
    if not takes:
        return taken
    try:
        with runtime.database.begin() as unit:
            if FieldGroup.STAGE in takes:
                protection.hold_lock(unit)
            held = repository.registration(unit.session, job.registration.id, lock=True)
            program = runtime.program(held.program)
            taken = crm_changes.apply(unit, held, job.connection, takes, program)
            raise _Undone
    except _Undone:
        return taken
