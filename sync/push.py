"""Store → CRM, in batches per connection: the transaction boundaries T2 to T4 of a push.

T2 reads due outbox rows and the CRM's records and plans. T3 commits what the store takes, the
conflicts, and an intent for every write, payload and before-image included. Then the call, with
no transaction open. T4 commits each record's own outcome. A crash anywhere leaves intents that
the next drain looks up before it touches the record; nothing is ever sent twice blindly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy import select

from connectors.errors import (
    AuthenticationFailed,
    CallRejected,
    ConnectorError,
    CrmUnavailable,
    RateLimited,
)
from connectors.port import (
    CreateItem,
    CrmConnector,
    Gone,
    Outcome,
    RemoteRecord,
)
from registration_core.contracts import ConnectionName, Fields, Mode
from registration_core.errors import DomainRefusal, SyncError
from registration_core.fields import FieldGroup
from registration_core.model import RegistrationState
from registration_core.store import audit, protection
from registration_core.store.database import UnitOfWork
from registration_core.store.tables import OutboxRow, RegistrationRow
from sync import looking, runs, stamping
from sync.accounts import emptiness
from sync.creates import companions
from sync.gates import ladder
from sync.gates.holding import Gate
from sync.ledger.tables import IntentRow, LinkRow, SyncConflictRow
from sync.links import linking
from sync.mappings import schema_watch
from sync.outcomes import auditing, forgetting, losing, lost_answers, observing, settling
from sync.plans import contention, seen
from sync.plans.carrying import Outdated, carry_out, open_conflicts
from sync.plans.jobs import Job, Planned, jobs_of, plan_job, reads_of
from sync.process import leases
from sync.process.apart import sent, together_or_apart
from sync.process.runtime import Runtime
from sync.proposals import proposing
from sync.traffic.budget import BudgetSpent
from sync.traffic.guard import ConnectionPaused
from sync.traffic.switch import Stopped

log = structlog.get_logger()

#: Most rounds of one drain; what is left is due at once and the next nudge goes on.
ROUNDS_MAX = 50
#: How often one drain takes the lease again because work came in meanwhile.
LOOKS_MAX = 3
#: What ends by itself or by a person's word, and is no fault of the rows that waited for it.
_PASSING = (
    CrmUnavailable, RateLimited, AuthenticationFailed, ConnectionPaused, BudgetSpent, Stopped,
)  # fmt: skip
#: A deal that came to nothing before it was in a CRM is not made there any more.
_OVER = frozenset(
    {RegistrationState.WITHDRAWN, RegistrationState.EXPIRED, RegistrationState.CANCELLED}
)


@dataclass(frozen=True)
class _Run:
    """One drain under one lease; what it writes can be undone together."""

    id: str
    lease: leases.Lease


def drain(runtime: Runtime, connection: str) -> int:
    """Bring due registrations to one connection; returns how many rows were worked on.

    Safe to run any number of times, anywhere: a lease keeps drains of one connection apart, and
    compare-and-set keeps them right when it fails to.
    """
    name = ConnectionName(connection)
    if name not in runtime.connectors or (stands := ladder.rung(runtime, name)).mode is Mode.OFF:
        return 0
    worked = 0
    for _ in range(LOOKS_MAX):  # work committed while the lease was held was nudged in vain
        if not looking.look(runtime, stands).anything:
            break
        with leases.held(runtime.database, f"push:{name}") as lease:
            if lease is None:
                return worked
            try:
                worked += _rounds(runtime, stands, lease)
            except ConnectorError as error:
                if isinstance(error, CallRejected) and schema_watch.after_refusal(runtime, name):
                    continue  # what cannot be read stands still now; the rest goes on
                _note_failed(runtime, name, error)
                return worked
            except SyncError as error:
                log.warning("push stopped", connection=name, code=error.code, reason=error.message)
                return worked
    return worked


def _note_failed(runtime: Runtime, connection: ConnectionName, error: ConnectorError) -> None:
    """A call failed as a whole: the guard paused the connection; a refused one costs an attempt."""
    log.warning("push failed", connection=connection, code=error.code, reason=error.message)
    if isinstance(error, _PASSING):
        return
    with runtime.database.begin() as unit:
        rows = unit.session.scalars(
            select(OutboxRow).where(
                OutboxRow.connection == connection,
                OutboxRow.state == "open",
                OutboxRow.done < OutboxRow.wanted,
                OutboxRow.due_at <= unit.now,
            )
        )
        for row in rows:
            row.attempts, row.reason = row.attempts + 1, error.message
            row.due_at = unit.now + timedelta(seconds=min(2.0**row.attempts, 300.0))


def _rounds(runtime: Runtime, stands: ladder.Rung, lease: leases.Lease) -> int:
    connection = stands.connection
    crm, worked = runtime.connector(connection), 0
    run, gate = _Run(runtime.database.ids.new(), lease), Gate(runtime, connection)
    for _ in range(ROUNDS_MAX):
        work = looking.look(runtime, stands)
        if work.leftovers:
            lost_answers.settle_pending(runtime, connection)
            auditing.audit_overwrites(runtime, crm)
            if stands.mode is Mode.PUSH:
                observing.end_observing(runtime, stands)
            work = looking.look(runtime, stands)
        if not work.due and not work.stamps:
            break
        runtime.refresh()  # after the look: an applied mapping is seen no later than its rows
        planned = _plan_all(runtime, crm, _jobs(runtime, connection, work.due), stands)
        _write_all(runtime, crm, gate.pushes(observing.allowed(runtime, stands, planned)), run)
        worked += len(work.due)
        if work.stamps:
            worked += stamping.drain(runtime, crm, stands, gate, run.id, lease)
        if not leases.renew(runtime.database, lease):
            break
    return worked


def _jobs(runtime: Runtime, connection: ConnectionName, due: dict[str, int]) -> list[Job]:
    """Read due registrations; what the settings leave nothing to do for waits for other settings."""
    with runtime.database.read() as session:
        jobs = jobs_of(runtime, session, connection, due)
        still = schema_watch.standing_still(session, connection)
    for registration_id in due.keys() - {job.registration.id for job in jobs}:
        reason = f"no object of {connection} is mapped for this registration's role"
        settling.hold(runtime, registration_id, connection, reason)
    ready = []
    for job in jobs:
        reason = still.get(job.mapping.object, "")
        if job.registration.program not in runtime.programs:
            reason = f"there is no program {job.registration.program}"
        if reason:
            settling.hold(runtime, job.registration.id, connection, reason)
        else:
            ready.append(job)
    return ready


def _plan_all(
    runtime: Runtime, crm: CrmConnector, jobs: Sequence[Job], stands: ladder.Rung
) -> list[Planned]:
    """Plan each job on what the CRM held when it was last seen, or read it, one call per object."""
    planned, jobs = companions.after(runtime, crm, jobs, stands)
    for object_name in sorted({job.mapping.object for job in jobs}):
        group = [job for job in jobs if job.mapping.object == object_name]
        active = [j for j in group if j.link is not None and j.link.state == "active"]
        remembered = _plan_remembered(runtime, active)
        planned += remembered.values()
        active = [j for j in active if j.registration.id not in remembered]
        wanted = [j.link.record_id for j in active if j.link]
        records = crm.read(object_name, wanted, reads_of(crm, group))
        vanished = [r for r in records.values() if isinstance(r, Gone) and r.merged_into is None]
        believed = not vanished or emptiness.plausible(runtime, crm.name, len(vanished))
        for job in active:
            assert job.link is not None
            record = records[job.link.record_id]
            if not isinstance(record, Gone):
                planned.append(Planned(job, record, plan_job(runtime, job, record)))
            elif believed or record not in vanished:
                losing.orphan(runtime, job.link.id, record)
            else:
                reason = "too many records vanished at once"
                settling.hold(runtime, job.registration.id, crm.name, reason)
        orphaned = [j for j in group if j.link and j.link.state != "active"]
        settling.close(runtime, orphaned, "the record is orphaned")
        new, links = [j for j in group if j.link is None], stands.links_on(object_name)
        planned += _plan_unlinked(runtime, crm, new, links=links)
    return planned


def _plan_remembered(runtime: Runtime, jobs: Sequence[Job]) -> dict[str, Planned]:
    """Plan without a read what does nothing but write: the precondition proves it right or refuses.

    Taking a value or keeping a conflict has no such proof, so that is planned on a read.
    """
    planned = {}
    for job in jobs:
        record = seen.recall(job)
        plan = None if record is None else plan_job(runtime, job, record)
        if plan is not None and plan.only_writes:
            planned[job.registration.id] = Planned(job, record, plan, remembered=True)
    return planned


def _plan_unlinked(
    runtime: Runtime, crm: CrmConnector, jobs: Sequence[Job], *, links: bool
) -> list[Planned]:
    """Link first, create second: our key, then an open opportunity that fits, then a create.

    On a rung that does not link yet, the creates are planned alone.
    """
    if not jobs:
        return []
    mapping = jobs[0].mapping
    keys = [job.registration.id for job in jobs]
    known = crm.find(mapping.object, mapping.key, keys, mapping.reads())
    new = [j for j in jobs if j.registration.id not in known and j.registration.state not in _OVER]
    asked = proposing.propose_fitting(runtime, crm, new) if links else frozenset()
    planned, creating = list[Planned](), list[Job]()
    for job in jobs:
        if job.registration.id in known and not links:
            record = known[job.registration.id]
            planned.append(Planned(job, record, plan_job(runtime, job, record)))
        elif job.registration.id in known:
            # A record with our key: a create that was held up and given up, or one that no
            # intent of ours explains, whose base is unknown.
            record = known[job.registration.id]
            late = lost_answers.late_create(runtime, job, record)
            try:
                if late is not None:
                    linking.adopt_late(runtime, job.registration, record, late)
                else:
                    linking.adopt(runtime, job.registration, crm.name, record)
            except DomainRefusal as refusal:
                settling.hold(runtime, job.registration.id, crm.name, refusal.message)
        elif job.registration.state in _OVER:
            settling.close(runtime, [job], f"{job.registration.state.value} before it was there")
        elif job.registration.id not in asked:
            creating.append(job)
    return planned + _plan_creates(runtime, crm, creating)


def _plan_creates(runtime: Runtime, crm: CrmConnector, jobs: Sequence[Job]) -> list[Planned]:
    """Plan what a record refers to, and the record once all of that is there."""
    planned, ready = companions.before(runtime, crm, jobs)
    # Before they count for a cap.
    waiting = proposing.wait_for_checks(runtime, crm.name, [*(p.job for p in planned), *ready])
    planned = [p for p in planned if p.job.registration.id not in waiting]
    for job in (job for job in ready if job.registration.id not in waiting):
        made = Planned(job, None, plan_job(runtime, job, None))
        if made.plan.write:
            planned.append(made)
        else:
            settling.close(runtime, [job], "a person has declined to create it")
    return planned


def _write_all(runtime: Runtime, crm: CrmConnector, planned: Sequence[Planned], run: _Run) -> None:
    creates = [p for p in planned if p.record is None]
    updates = [p for p in planned if p.record is not None]
    for object_name in sorted({p.job.mapping.object for p in planned}):
        _create(runtime, crm, [p for p in creates if p.job.mapping.object == object_name], run)
        _update(runtime, crm, [p for p in updates if p.job.mapping.object == object_name], run)


def _create(runtime: Runtime, crm: CrmConnector, planned: Sequence[Planned], run: _Run) -> None:
    if not planned:
        return
    with runtime.database.begin() as unit:
        planned = proposing.without_asked(unit, crm.name, planned)
        runs.note_writes(unit, run.id, crm.name, len(planned))
        intents = [settling.intend(unit, crm.name, p, None, p.plan.base, run.id) for p in planned]
    if not planned:
        return
    mapping = planned[0].job.mapping
    items = [CreateItem(p.key, _with_key(p)) for p in planned]
    leases.require(runtime.database, run.lease)
    _settle(runtime, intents, sent(lambda few: crm.create(mapping.object, mapping.key, few), items))


def _with_key(planned: Planned) -> Fields:
    return {**planned.plan.write, planned.job.mapping.key: planned.key}


def _update(runtime: Runtime, crm: CrmConnector, planned: Sequence[Planned], run: _Run) -> None:
    intended = _commit_plans(runtime, crm, planned, run)
    if not intended:
        return
    intents = [intent for _, intent in intended]
    now = runtime.database.clock()
    items = [contention.patch(r, p.plan.write, p.job.link, now) for p, r in _records(intended)]
    object_name = planned[0].job.mapping.object
    leases.require(runtime.database, run.lease)
    outcomes = sent(lambda few: crm.update(object_name, few), items)
    _settle(runtime, intents, outcomes)
    auditing.audit_overwrites(runtime, crm)


def _records(
    intended: Sequence[tuple[Planned, IntentRow]],
) -> list[tuple[Planned, RemoteRecord]]:
    return [(p, p.record) for p, _ in intended if p.record is not None]


def _commit_plans(
    runtime: Runtime, crm: CrmConnector, planned: Sequence[Planned], run: _Run
) -> list[tuple[Planned, IntentRow]]:
    """T3: the store's half of every plan, and the intents to write the CRMs' half; one commit.

    A plan that the store cannot keep becomes a dead letter and holds nobody up.
    """

    def commit(unit: UnitOfWork, some: Sequence[Planned]) -> list[tuple[Planned, IntentRow]]:
        intended = _commit_batch(unit, runtime, crm, some)
        for _, intent in intended:
            intent.run_id = run.id
        runs.note_writes(unit, run.id, crm.name, len(intended))
        return intended

    return together_or_apart(runtime.database, planned, commit, settling.give_up_plan)


def _commit_batch(
    unit: UnitOfWork, runtime: Runtime, crm: CrmConnector, planned: Sequence[Planned]
) -> list[tuple[Planned, IntentRow]]:
    """Hold and commit plans in the order of their ids: two batches never wait in a circle.

    One that moved since it was read is left for the next round.
    """
    intended: list[tuple[Planned, IntentRow]] = []
    links = {p.job.registration.id: p.job.link.id for p in planned if p.job.link is not None}
    if any(FieldGroup.STAGE in p.plan.takes for p in planned):
        protection.hold_lock(unit)  # closing and reopening move claims
    unit.lock_all(RegistrationRow, links)
    unit.lock_all(LinkRow, links.values())
    ids = [p.job.registration.id for p in planned if p.plan.takes]
    audit.hold(unit, [f"registration:{each}" for each in ids])
    ids = [p.job.registration.id for p in planned if not p.plan.write]
    unit.lock_all(OutboxRow, [(each, crm.name) for each in ids])
    standing = open_conflicts(unit, list(links.values()))
    for p in sorted(planned, key=lambda p: p.job.registration.id):
        try:
            intent = _commit_plan(unit, runtime, crm, p, standing)
        except Outdated:  # raised before anything is changed
            continue
        if intent is not None:
            intended.append((p, intent))
    return intended


def _commit_plan(
    unit: UnitOfWork,
    runtime: Runtime,
    crm: CrmConnector,
    planned: Planned,
    standing: Mapping[str, Mapping[FieldGroup, SyncConflictRow]],
) -> IntentRow | None:
    job = planned.job
    assert job.link is not None
    program = runtime.program(job.registration.program)
    carried = carry_out(
        unit, job, planned.plan, program, writing=True, standing=standing[job.link.id]
    )
    seen.remember(carried.link, None if planned.plan.write else planned.record, crm)
    contention.note(carried.link, planned.record)
    if not planned.plan.write:
        settling.outbox_done(unit, job.registration.id, crm.name, job.wanted)
        return None
    intent = settling.intend(unit, crm.name, planned, carried.link, carried.base_after)
    if planned.record is not None and crm.capabilities.history:
        # Where the CRM has no precondition, its history has to show what the write replaced.
        unconditional = not crm.capabilities.precondition
        intent.audit_since = planned.record.modified_at if unconditional else None
    return intent


def _settle(runtime: Runtime, intents: Sequence[IntentRow], outcomes: Sequence[Outcome]) -> None:
    """T4: the outcome of every record of a batch, in one commit."""
    outcomes = schema_watch.excused(runtime, intents, outcomes)
    outcomes = forgetting.excused(runtime, intents, outcomes)
    settled = {i.id: outcome for i, outcome in zip(intents, outcomes, strict=True)}
    settling.settle_batch(runtime.database, settled)
