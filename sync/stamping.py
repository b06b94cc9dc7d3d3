"""Write due stamps: read, planned, capped, intended and audited as every other write is.

Part of a push drain, under its lease. On rungs that do not write, stamps wait in the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import select

from connectors.port import CrmConnector, Gone, Outcome, Refused, RemoteRecord
from mapping.schema import ObjectMapping
from registration_core.contracts import ConnectionName
from registration_core.store.database import UnitOfWork
from sync import runs
from sync.gates.holding import Gate
from sync.gates.ladder import Rung
from sync.ledger.stamps import StampRow
from sync.ledger.tables import IntentRow, LinkRow
from sync.mappings import schema_watch
from sync.outcomes import auditing, settling, stamps
from sync.plans import contention
from sync.plans.jobs import Planned, jobs_of, plan_job
from sync.process import leases
from sync.process.apart import sent
from sync.process.runtime import Runtime

#: When a stamp is looked at again whose object or registration cannot be written now.
WAIT_SECONDS = 300.0


def drain(
    runtime: Runtime, crm: CrmConnector, stands: Rung, gate: Gate, run_id: str, lease: leases.Lease
) -> int:
    """Write the stamps that are due, one call's worth; returns how many were worked on."""
    with runtime.database.read() as session:
        query = select(StampRow).where(*stamps.due(stands, runtime.database.clock()))
        rows = session.scalars(
            query.order_by(StampRow.due_at, StampRow.record_id).limit(crm.capabilities.write_batch)
        ).all()
        # Held in the order of those who ask for stamps, so that the two never wait in a ring.
        rows = sorted(rows, key=lambda row: row.record_id)
        still = schema_watch.standing_still(session, crm.name)
    mapped = stamps.mapping_in(runtime, crm.name)
    if mapped is None or mapped.object in still:
        planned: dict[str, Planned] = {}
        records: Mapping[str, RemoteRecord | Gone] = {}
    else:
        records = crm.read(mapped.object, [row.record_id for row in rows], mapped.reads())
        planned = _plan(runtime, crm.name, mapped, rows, records)
    with runtime.database.begin() as unit:
        _rest(unit, rows, records, planned)
    writing = [p for p in planned.values() if p.plan.write]
    going = gate.pushes(writing)
    if going:
        _write(runtime, crm, going, run_id, lease)
    return len(rows)


def _plan(
    runtime: Runtime,
    connection: ConnectionName,
    mapped: ObjectMapping,
    rows: Sequence[StampRow],
    records: Mapping[str, RemoteRecord | Gone],
) -> dict[str, Planned]:
    """Plan each stamp on its record, by record id; one that cannot be planned now is left out."""
    wanted = {row.registration_id: 0 for row in rows}
    with runtime.database.read() as session:
        jobs = {j.registration.id: j for j in jobs_of(runtime, session, connection, wanted)}
    planned = {}
    for row in rows:
        job, record = jobs.get(row.registration_id), records[row.record_id]
        if job is None or job.registration.program not in runtime.programs:
            continue
        if isinstance(record, RemoteRecord):
            job = replace(job, mapping=mapped, link=None, rebased=frozenset(), delayed=())
            planned[row.record_id] = Planned(job, record, plan_job(runtime, job, record))
    return planned


def _rest(
    unit: UnitOfWork,
    rows: Sequence[StampRow],
    records: Mapping[str, RemoteRecord | Gone],
    planned: dict[str, Planned],
) -> None:
    """Let every stamp rest that is not written now; its plan is taken out."""
    linked = set(
        unit.session.scalars(
            select(LinkRow.record_id).where(
                LinkRow.connection.in_({row.connection for row in rows}),
                LinkRow.record_id.in_([row.record_id for row in rows]),
            )
        )
    )
    for known in rows:
        row = unit.lock(StampRow, (known.connection, known.object, known.record_id))
        record, plan = records.get(known.record_id), planned.get(known.record_id)
        if row is None or row.state != "due":
            planned.pop(known.record_id, None)  # another worker was faster
        elif isinstance(record, Gone):
            stamps.lose(unit, row, record)
        elif plan is None:
            stamps.wait(unit, row, "it cannot be written now", WAIT_SECONDS)
        elif known.record_id in linked:
            del planned[known.record_id]
            stamps.end(unit, row, "void", "it was linked to a registration")
        elif not plan.job.registration.protection_state.standing:
            del planned[known.record_id]
            stamps.end(unit, row, "void", "the registration is not protected any more")
        elif plan.plan.problems:
            del planned[known.record_id]
            problem = "; ".join(map(str, plan.plan.problems))
            stamps.give_up(unit, row, {}, Refused("untranslatable", problem))
        elif not plan.plan.write:
            stamps.end(unit, row, "done", "the fields are filled, or a person declined the stamp")


def _write(
    runtime: Runtime,
    crm: CrmConnector,
    planned: Sequence[Planned],
    run_id: str,
    lease: leases.Lease,
) -> None:
    with runtime.database.begin() as unit:
        runs.note_writes(unit, run_id, crm.name, len(planned))
        intents = [_intend(unit, crm, p, run_id) for p in planned]
    now = runtime.database.clock()
    items = [
        contention.patch(p.record, p.plan.write, p.job.link, now)
        for p in planned
        if p.record is not None
    ]
    leases.require(runtime.database, lease)
    outcomes: Sequence[Outcome] = sent(
        lambda few: crm.update(planned[0].job.mapping.object, few), items
    )
    outcomes = schema_watch.excused(runtime, intents, outcomes)
    settled = {i.id: outcome for i, outcome in zip(intents, outcomes, strict=True)}
    settling.settle_batch(runtime.database, settled)
    auditing.audit_overwrites(runtime, crm)


def _intend(unit: UnitOfWork, crm: CrmConnector, planned: Planned, run_id: str) -> IntentRow:
    intent = settling.intend(unit, crm.name, planned, None, {}, run_id)
    assert planned.record is not None
    intent.operation, intent.record_id = stamps.STAMP, planned.record.record_id
    if crm.capabilities.history and not crm.capabilities.precondition:
        intent.audit_since = planned.record.modified_at
    return intent
