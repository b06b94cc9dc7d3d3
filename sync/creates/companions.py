"""Companions of a registration's record: found, waited for, or made once; never updated.

What a record refers to is there before it is made: a user of the CRM, who is only looked up and
each time anew, its customer's account, its partner's own record, a contact. What refers to it, a
line item, is owed in the commit that says the record was made. A companion is made by the same road
as a record: a plan, a stored intent with its key, a create-only call, and a look-up by that key
where the answer was lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from connectors.port import CrmConnector
from mapping.schema import ACCOUNT, ADDRESS, CONTACT, PARTNER, RECORD, USER, Companion, Missing
from mapping.translate import computed, to_crm
from registration_core.model import Registration
from registration_core.store import audit, match_decisions, repository, work
from registration_core.store.database import UnitOfWork
from sync.creates.coinciding import once_each
from sync.creates.finding_companions import Seen, place, there, users
from sync.gates.ladder import Rung
from sync.ledger.tables import CompanionRow, DeadLetterRow
from sync.mappings import schema_watch
from sync.outcomes import settling
from sync.outcomes.settling import keep_companion
from sync.plans.carrying import keep_problem
from sync.plans.jobs import Job, Planned
from sync.plans.planning import Plan, is_declined
from sync.process.runtime import Runtime


def _own(registration: Registration) -> str:
    return registration.id


#: Whose id a companion's key carries; the registration's where nothing is said.
_KEYS: Mapping[str, Callable[[Registration], str]] = {
    ACCOUNT: lambda registration: registration.customer_id,
    PARTNER: lambda registration: registration.partner_id,
}


class Does(StrEnum):
    """What becomes of a companion."""

    MAKE = "make"
    FIND = "find"
    WAIT = "wait"
    #: It is gone without.
    LEAVE = "leave"


@dataclass(frozen=True)
class Step:
    """A registration's next companion, and what becomes of it."""

    #: The job it belongs to, and its own: what is planned for it.
    job: Job
    companion: Companion
    planned: Planned
    does: Does
    record_id: str = ""
    why: str = ""
    #: What was found carries our key: it was made here.
    ours: bool = False


def beside(session: Session, registration_id: str) -> list[dict[str, str]]:
    """Return the records beside a registration's own, for people; what is owed has no id yet."""
    rows = session.scalars(
        select(CompanionRow)
        .where(CompanionRow.registration_id == registration_id)
        .order_by(CompanionRow.connection, CompanionRow.name)
    )
    return [
        {
            "connection": row.connection, "object": row.object, "record_id": row.record_id or "",
            "state": row.name.replace("_", " "), "reason": "" if row.record_id else "owed",
        }
        for row in rows
    ]  # fmt: skip


def before(
    runtime: Runtime, crm: CrmConnector, jobs: Sequence[Job]
) -> tuple[list[Planned], list[Job]]:
    """Bring jobs whose record is to be made as far as their companions let them.

    Returns the companions to make first, and the jobs that have all they refer to. The others
    wait, or are due again with what was found.
    """
    creates: list[Planned] = []
    going = _moved(runtime, jobs, look_for_users(crm, jobs), creates)
    for nth in range(max((len(job.mapping.before) for job in jobs), default=0)):
        here = [job for job in going if nth < len(job.mapping.before)]
        steps = look(runtime, crm, [(job, job.mapping.before[nth]) for job in here])
        going = _moved(runtime, going, steps, creates)
    return once_each(creates), going


def _moved(
    runtime: Runtime, jobs: Sequence[Job], steps: Sequence[Step], creates: list[Planned]
) -> list[Job]:
    """Act on steps; returns the jobs that go on in this round."""
    after = {step.job.registration.id: _taken(runtime, step, creates) for step in steps}
    moved = [after.get(job.registration.id, job) for job in jobs]
    return [job for job in moved if job is not None]


def _taken(runtime: Runtime, step: Step, creates: list[Planned]) -> Job | None:
    """Act on a step; returns the job where it may go on in this round."""
    match step.does:
        case Does.LEAVE:
            return step.job
        case Does.FIND:
            return _keep(runtime, step)
        case Does.MAKE:
            creates.append(step.planned)
        case Does.WAIT:
            registration = step.job.registration.id
            settling.hold(runtime, registration, step.job.connection, step.why)
    return None


def after(
    runtime: Runtime, crm: CrmConnector, jobs: Sequence[Job], stands: Rung
) -> tuple[list[Planned], list[Job]]:
    """Return the owed companions to make now, and the jobs that go on without.

    What is held back stays owed.
    """
    owing = [job for job in jobs if job.owed and job.link and job.link.state == "active"]
    pairs = [(j, each) for j in owing for each in j.mapping.after if each.name in j.owed]
    steps = look(runtime, crm, pairs) if pairs else []
    creates: dict[str, Planned] = {}
    for step in steps:
        if step.does is Does.FIND:
            _keep(runtime, step)
        elif step.does is Does.MAKE and step.companion.made.object in stands.held_back:
            continue
        elif step.does is Does.MAKE:  # one a registration and round
            creates.setdefault(step.job.registration.id, step.planned)
        elif step.planned.plan.problems:
            _tell(runtime, step)
    return list(creates.values()), [j for j in jobs if j.registration.id not in creates]


def _tell(runtime: Runtime, step: Step) -> None:
    """Keep what cannot be translated of an owed companion where a person finds it."""
    assert step.job.link is not None
    with runtime.database.begin() as unit:
        for problem in step.planned.plan.problems:
            keep_problem(unit, step.job.link, problem)


def look(runtime: Runtime, crm: CrmConnector, pairs: Sequence[tuple[Job, Companion]]) -> list[Step]:
    """Say what becomes of companions that are not known yet. Reads the CRM and writes nothing to it."""
    wanted = [_wanted(job, each) for job, each in pairs if each.name not in job.companions]
    steps = [step for step in wanted if step.does is not Does.MAKE]
    open_ = [step for step in wanted if step.does is Does.MAKE]
    seen = there(runtime, crm, [step.planned for step in open_])
    with runtime.database.read() as session:
        still = schema_watch.standing_still(session, crm.name)
        for step in open_:
            stands = still.get(step.companion.made.object, "")
            if stands:
                steps.append(replace(step, does=Does.WAIT, why=stands))
            else:
                steps.append(_decided(session, step, seen.get(place(step.planned))))
    return steps


def look_for_users(crm: CrmConnector, jobs: Sequence[Job]) -> list[Step]:
    """Say of the jobs whose rows refer to a user whether there is one. Reads the CRM alone."""
    wanted = [_wanted(job, job.mapping.user) for job in jobs if job.mapping.user is not None]
    seen = users(crm, [step.planned for step in wanted if step.does is Does.MAKE])
    return [
        _user(step, seen[place(step.planned)].ids) if step.does is Does.MAKE else step
        for step in wanted
    ]


def _user(step: Step, ids: Sequence[str]) -> Step:
    """Say what becomes of a reference to the users with one address: exactly one is meant."""
    (row,) = step.companion.made.rows
    address, crm = step.planned.plan.write.get(ADDRESS), step.job.connection
    if len(ids) == 1:
        return replace(step, does=Does.FIND, record_id=ids[0])
    if len(ids) > 1:
        why = f"{' and '.join(ids)} of {crm} have the e-mail address {address}"
        why += f": leave it to one of them, or name another address at {row.where}"
        return replace(step, does=Does.WAIT, why=why)
    if address:
        why = f"{crm} has no active user with the e-mail address {address}"
        why += f": add one there, or correct the address at {row.where}"
    else:
        why = f"{row.ours.label or row.ours.name} is empty, and says which user of {crm} is meant"
        why += f": fill it, or name another field at {row.where}"
    does = Does.WAIT if step.companion.missing is Missing.WAIT else Does.LEAVE
    return replace(step, does=does, why=why)


def outlook(runtime: Runtime, crm: CrmConnector, job: Job) -> tuple[list[Step], Job]:
    """Say what would become of all companions of a registration that is not there yet.

    Returns the job with those that are there.
    """
    steps = look_for_users(crm, [job])
    for step in steps:
        if step.does is Does.FIND:
            job = replace(job, companions={**job.companions, USER: step.record_id})
    for each in (*job.mapping.before, *job.mapping.after):
        here = look(runtime, crm, [(job, each)])
        for step in here:
            if step.does is Does.FIND:
                job = replace(job, companions={**job.companions, each.name: step.record_id})
        steps += here
    return steps, job


def _wanted(job: Job, companion: Companion) -> Step:
    """Plan a companion as if it were missing; what cannot be made is left, or waits."""
    made, registration = companion.made, job.registration
    key = _KEYS.get(companion.name, _own)(registration)
    record = {RECORD: job.link.record_id} if job.link else {}
    whole = computed(made, {**job.store, **record})
    written = to_crm(made, whole.fields, creating=True)
    plan = Plan(
        (), written.fields, {}, written.fields, made.version, frozenset(), converts=False,
        problems=(*whole.problems, *written.problems),
    )  # fmt: skip
    own = replace(job, mapping=made, link=None)
    step = Step(
        job, companion, Planned(own, None, plan, companion=companion, own_key=key), Does.MAKE
    )
    if companion.name == CONTACT and not (registration.contact_email and registration.contact_name):
        return replace(step, does=Does.LEAVE, why="the registration names no contact")
    if plan.problems:
        return replace(step, does=Does.WAIT, why=str(plan.problems[0]))
    return step


def _decided(session: Session, step: Step, seen: Seen | None) -> Step:
    job, companion = step.job, step.companion
    if seen is not None and seen.ids:
        if len(seen.ids) == 1 and seen.sure:
            return replace(step, does=Does.FIND, record_id=seen.ids[0], ours=seen.ours)
        return replace(step, does=Does.WAIT, why=_ask(step, seen.ids))
    if companion.missing is not Missing.CREATE:
        name, crm = companion.name.replace("_", " "), job.connection
        why = f"{crm} has no {name} for it: make one there"
        does = Does.WAIT if companion.missing is Missing.WAIT else Does.LEAVE
        return replace(step, does=does, why=why)
    if is_declined(job.declined_beside.get(companion.made.object, ()), step.planned.plan.pushes):
        return replace(step, does=Does.LEAVE, why="a person has declined to create it")
    letter = _refused(session, step)
    if letter is None:
        return step
    if letter.state == "discarded" or companion.after:
        return replace(step, does=Does.LEAVE, why="the CRM refused to make it")
    name = companion.name.replace("_", " ")
    why = f"the CRM refused to make its {name}: type dealreg deadletter show {letter.id}"
    return replace(step, does=Does.WAIT, why=why)


def _ask(step: Step, ids: Sequence[str]) -> str:
    number, crm, where = step.job.registration.number, step.job.connection, step.companion.made
    if step.companion.name == ACCOUNT:
        return (
            f"{' or '.join(ids)} of {crm} may be its customer's {where.object}: "
            f"type dealreg match confirm {number} {crm}:{ids[0]} --reason TEXT, or match deny"
        )
    if step.companion.name == PARTNER:
        return (
            f"{' and '.join(ids)} of {crm} have its partner's code or name: leave it to one of them"
        )
    return f"{' and '.join(ids)} of {crm} have its contact's e-mail address: merge them there"


def _refused(session: Session, step: Step) -> DeadLetterRow | None:
    """Return the dead letter of the same create that is open, or was put aside for good."""
    rows = session.scalars(
        select(DeadLetterRow)
        .where(
            DeadLetterRow.registration_id == step.job.registration.id,
            DeadLetterRow.connection == step.job.connection,
            DeadLetterRow.object == step.companion.made.object,
            DeadLetterRow.state.in_(("open", "discarded")),
        )
        .order_by(DeadLetterRow.created_at.desc())
    )
    return next((row for row in rows if row.payload == step.planned.plan.write), None)


# Keeping ----------------------------------------------------------------------------------------


def _keep(runtime: Runtime, step: Step) -> Job | None:
    """Remember a companion that is there; with another account the job is read anew."""
    job, name = step.job, step.companion.name
    if name == ACCOUNT:
        _choose_account(runtime, step)
        return None
    there = replace(job, companions={**job.companions, name: step.record_id})
    if name == USER:  # who has left since must not be named by a later try
        return there
    with runtime.database.begin() as unit:
        where = step.companion.made.object
        keep_companion(unit, job.registration.id, job.connection, name, where, step.record_id)
        _note(unit, step)
    return there


def _choose_account(runtime: Runtime, step: Step) -> None:
    """Make it the registration's."""
    connection, record_id = step.job.connection, step.record_id
    with runtime.database.begin() as unit:
        registration = repository.registration(unit.session, step.job.registration.id, lock=True)
        if connection in registration.accounts:
            return
        accounts = {**registration.accounts, connection: record_id}
        repository.save(unit.session, replace(registration, accounts=accounts), unit.now)
        if step.ours:
            match_decisions.made_for(unit, registration.customer_id, connection, record_id)
        _note(unit, step)
        work.request_check(unit, registration.id, f"its account was found in {connection}")


def _note(unit: UnitOfWork, step: Step) -> None:
    audit.record(
        unit,
        f"registration:{step.job.registration.id}",
        f"find {step.companion.name.replace('_', ' ')}",
        {"connection": step.job.connection, "record": step.record_id},
    )
