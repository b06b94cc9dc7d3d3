"""CRM → store, in batches per connection: read what notices point at, plan, apply, commit.

A record is read fresh, whatever the notice said. Linked records are merged; accounts go into
the directory; an opportunity that is not linked only asks for the checks it may concern. What
the plan would write to the CRM is left to push.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from connectors.errors import CallRejected, ConnectorError
from connectors.port import CrmConnector, Gone, RemoteRecord
from registration_core.contracts import ConnectionName, Mode
from registration_core.errors import NotFound, SyncError
from registration_core.store import repository
from sync.accounts import directory, emptiness
from sync.gates import ladder
from sync.gates.holding import Gate
from sync.ledger import inbox
from sync.ledger.tables import InboxRow, IntentRow, LinkRow
from sync.mappings import schema_watch
from sync.outcomes import losing
from sync.plans import echoes
from sync.plans.carrying import Outdated, dead_letter
from sync.plans.jobs import Job, Planned, job_of, plan_job
from sync.process import leases
from sync.process.runtime import Runtime
from sync.taking import Taking, take_all

log = structlog.get_logger()

#: Most rounds of one drain; what is left is due at once and the next nudge goes on.
ROUNDS_MAX = 50
#: How often one drain takes the lease again because notices came in meanwhile.
LOOKS_MAX = 3
#: After so many attempts a record that cannot be taken becomes a dead letter.
ATTEMPTS_MAX = 8
#: When a record is looked at again that an unsettled write of ours may be about.
UNSETTLED_SECONDS = 2.0
#: When a record is looked at again that vanished together with too many others.
HELD_SECONDS = 300.0


def drain(runtime: Runtime, connection: str) -> int:
    """Read noticed records of one connection; returns how many. Safe to run anywhere, any time."""
    name = ConnectionName(connection)
    if name not in runtime.connectors or ladder.rung(runtime, name).mode is Mode.OFF:
        return 0
    worked = 0
    for _ in range(LOOKS_MAX):  # a notice that came while the lease was held was nudged in vain
        if not _due(runtime, name, 1):
            break
        with leases.held(runtime.database, f"pull:{name}") as lease:
            if lease is None:
                return worked
            try:
                worked += _rounds(runtime, runtime.connector(name), lease)
            except (ConnectorError, SyncError) as error:
                log.warning("pull stopped", connection=name, code=error.code, reason=error.message)
                return worked
    return worked


def _rounds(runtime: Runtime, crm: CrmConnector, lease: leases.Lease) -> int:
    worked = 0
    for _ in range(ROUNDS_MAX):
        rows = _due(runtime, crm.name, crm.capabilities.read_batch)
        if not rows:
            break
        runtime.refresh()
        for object_name in sorted({row.object for row in rows}):
            group = [row for row in rows if row.object == object_name]
            _pull_group(runtime, crm, object_name, group)
        worked += len(rows)
        if not leases.renew(runtime.database, lease):
            break
    return worked


def _pull_group(
    runtime: Runtime, crm: CrmConnector, object_name: str, rows: Sequence[InboxRow]
) -> None:
    """Pull records; those that the CRM refuses twice to read are halved to find the one at fault."""
    with runtime.database.read() as session:
        still: Mapping[str, str] = schema_watch.standing_still(session, crm.name)
    try:
        if object_name not in still:
            _pull_object(runtime, crm, object_name, rows)
            return
    except CallRejected as error:
        still = schema_watch.after_refusal(runtime, crm.name)
        if object_name not in still:
            _one_by_one(runtime, crm, object_name, rows, error)
            return
    for row in rows:
        _wait(runtime, row, HELD_SECONDS)


def _one_by_one(
    runtime: Runtime,
    crm: CrmConnector,
    object_name: str,
    rows: Sequence[InboxRow],
    error: CallRejected,
) -> None:
    if len(rows) == 1 or not all(row.attempts for row in rows):
        _postpone(runtime, crm.name, rows, error.message)
        return
    middle = len(rows) // 2
    _pull_group(runtime, crm, object_name, rows[:middle])
    _pull_group(runtime, crm, object_name, rows[middle:])


def _due(runtime: Runtime, connection: ConnectionName, limit: int) -> list[InboxRow]:
    with runtime.database.read() as session:
        return list(
            session.scalars(
                select(InboxRow)
                .where(
                    InboxRow.connection == connection,
                    InboxRow.read < InboxRow.noticed,
                    InboxRow.due_at <= runtime.database.clock(),
                )
                .order_by(InboxRow.due_at, InboxRow.object, InboxRow.record_id)
                .limit(limit)
            )
        )


def _pull_object(
    runtime: Runtime, crm: CrmConnector, object_name: str, rows: Sequence[InboxRow]
) -> None:
    mapping = runtime.mappings[crm.name]
    fields: set[str] = set()
    for mapped in mapping.objects.values():
        if mapped.object == object_name:
            fields |= {*mapped.reads(), mapped.key}
    if object_name == mapping.accounts.object:
        fields |= set(directory.account_reads(runtime, crm.name))
    if object_name == mapping.opportunities.object:
        fields |= set(mapping.opportunities.reads())
    if not fields:
        _read(runtime, rows)  # an object that nothing here is about
        return
    # Ours first, then theirs: a push that ends in between moves the link's version, and the plan
    # is thrown away. The other way round its write would look like a change back to the old value.
    jobs = echoes.jobs_by_record(runtime, crm.name, object_name, [row.record_id for row in rows])
    records = crm.read(object_name, [row.record_id for row in rows], sorted(fields))
    if object_name == mapping.accounts.object:
        _take_accounts(runtime, crm.name, records)
    vanished = [r for r in records.values() if isinstance(r, Gone) and r.merged_into is None]
    believed = not vanished or emptiness.plausible(runtime, crm.name, len(vanished))
    quiet = echoes.without_news(runtime, crm, records, jobs)
    _read(runtime, [row for row in rows if row.record_id in quiet])
    rows = [row for row in rows if row.record_id not in quiet]
    linked = _take_linked(runtime, crm, rows, records, jobs)
    for row in (row for row in rows if row.record_id not in linked):
        record = records[row.record_id]
        if not believed and record in vanished:
            _wait(runtime, row, HELD_SECONDS)
            continue
        try:
            taken = _take_other(runtime, crm, record, row, jobs.get(row.record_id))
        except Outdated:
            continue  # still due: the next round reads and plans again
        except NotFound as missing:  # a program that is not configured any more
            log.warning("not pulled", connection=crm.name, reason=missing.message)
            _wait(runtime, row, HELD_SECONDS)
            continue
        if taken:
            _read(runtime, [row])
        else:
            _wait(runtime, row, UNSETTLED_SECONDS)


def _take_linked(
    runtime: Runtime,
    crm: CrmConnector,
    rows: Sequence[InboxRow],
    records: Mapping[str, RemoteRecord | Gone],
    jobs: Mapping[str, Job],
) -> set[str]:
    """Take what linked records hold into the store; returns the ids of those that were such.

    Changes that are too many at once wait in a held item instead.
    """
    takings: dict[str, Taking] = {}
    for row in rows:
        job, record = jobs.get(row.record_id), records[row.record_id]
        if job is None or job.link is None or isinstance(record, Gone):
            continue
        theirs = job.link.state == "active" and record.record_id == job.link.record_id
        if theirs and job.registration.program in runtime.programs:
            planned = Planned(job, record, plan_job(runtime, job, record))
            takings[job.registration.id] = Taking(row, planned)
    planned_all = [taking.planned for taking in takings.values()]
    going = {p.job.registration.id for p in Gate(runtime, crm.name).pulls(planned_all)}
    _read(runtime, [taking.row for i, taking in takings.items() if i not in going])
    waiting = take_all(runtime, crm, [taking for i, taking in takings.items() if i in going])
    for row in waiting:
        _wait(runtime, row, UNSETTLED_SECONDS)
    return {taking.row.record_id for taking in takings.values()}


def _take_other(
    runtime: Runtime, crm: CrmConnector, record: RemoteRecord | Gone, row: InboxRow, job: Job | None
) -> bool:
    """Take one record in that has no plan; False while an unsettled write may be about it.

    `job` is our side as it was before the record was read; `Outdated` if it was linked since.
    """
    connection = crm.name
    with runtime.database.read() as session:
        link = _link(session, connection, row.object, row.record_id)
        if link is None:
            return isinstance(record, Gone) or _take_unlinked(runtime, session, connection, record)
        known = job or job_of(runtime, session, link.registration_id, connection)
        if _in_flight(session, link):
            return False
    if isinstance(record, Gone):
        losing.orphan(runtime, link.id, record)
        return True
    if known is None or known.link is None or link.state != "active":
        return True
    if known.link.id != link.id:  # of an object or a role that is not mapped any more
        return True
    if record.record_id != link.record_id:  # the link followed a merge
        return True
    if job is None:
        raise Outdated(f"{record.record_id} was linked since it was read.")
    raise NotFound(f"There is no program {job.registration.program}.")


def _in_flight(session: Session, link: LinkRow) -> bool:
    """Whether a write of ours to this record has no answer yet."""
    pending = select(IntentRow.id).where(
        IntentRow.connection == link.connection,
        IntentRow.object == link.object,
        IntentRow.record_id == link.record_id,
        IntentRow.state == "pending",
    )
    return session.scalars(pending).first() is not None


def _link(
    session: Session, connection: ConnectionName, object_name: str, record_id: str
) -> LinkRow | None:
    return session.scalars(
        select(LinkRow).where(
            LinkRow.connection == connection,
            LinkRow.object == object_name,
            LinkRow.record_id == record_id,
        )
    ).first()


def _take_unlinked(
    runtime: Runtime, session: Session, connection: ConnectionName, record: RemoteRecord
) -> bool:
    mapping = runtime.mappings[connection]
    keys = {m.key for m in mapping.objects.values() if m.object == record.object}
    ours = [str(record.fields[key]) for key in keys if record.fields.get(key)]
    if ours:
        pending = session.scalars(
            select(IntentRow.id).where(
                IntentRow.registration_id.in_(ours),
                IntentRow.connection == connection,
                IntentRow.state == "pending",
            )
        ).first()
        return pending is None
    if record.object == mapping.opportunities.object:
        account = record.fields.get(mapping.opportunities.account)
        if account:
            _recheck_account(runtime, connection, str(account))
    return True


def _take_accounts(
    runtime: Runtime, connection: ConnectionName, records: Mapping[str, RemoteRecord | Gone]
) -> None:
    accounts = [
        directory.account_of(runtime, connection, r)
        for r in records.values()
        if not isinstance(r, Gone)
    ]
    gone = [r for r in records.values() if isinstance(r, Gone)]
    with runtime.database.begin() as unit:
        directory.hold(unit, connection)
        gone = emptiness.accounts_to_forget(unit, connection, gone)
        directory.take(unit, connection, accounts, gone)


def _recheck_account(runtime: Runtime, connection: ConnectionName, account_id: str) -> None:
    with runtime.database.begin() as unit:
        known = repository.account(unit.session, connection, account_id)
        if known is not None:
            directory.recheck_protected(unit, [known], [known])


def _read(runtime: Runtime, rows: Sequence[InboxRow]) -> None:
    if rows:
        with runtime.database.begin() as unit:
            inbox.note_read(unit, rows)


def _in_order(rows: Sequence[InboxRow]) -> list[InboxRow]:
    """The order in which notices are kept, so that nobody waits in a circle."""
    return sorted(rows, key=lambda row: (row.object, row.record_id))


def _wait(runtime: Runtime, row: InboxRow, seconds: float) -> None:
    """Look at a record again later, without counting an attempt."""
    with runtime.database.begin() as unit:
        key = (row.connection, row.object, row.record_id)
        now = unit.session.get_one(InboxRow, key, with_for_update=True)
        now.due_at = unit.now + timedelta(seconds=seconds)


def _postpone(
    runtime: Runtime, connection: ConnectionName, rows: Sequence[InboxRow], reason: str
) -> None:
    with runtime.database.begin() as unit:
        for row in _in_order(rows):
            now = unit.session.get_one(
                InboxRow, (row.connection, row.object, row.record_id), with_for_update=True
            )
            now.attempts += 1
            now.due_at = unit.now + timedelta(seconds=min(2**now.attempts, 300))
            if now.attempts >= ATTEMPTS_MAX:
                now.read = now.noticed
                unit.session.add(
                    dead_letter(
                        unit, "pull", connection, None, row.object, row.record_id,
                        payload={}, code="crm_rejected", reason=reason,
                    )
                )  # fmt: skip
