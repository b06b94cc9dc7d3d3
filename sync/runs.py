"""The scheduled poll: ask each change feed what is new, and note it in the inbox.

The cursor moves in the commit that keeps the notices, so that a crash repeats a page and never
skips one. Webhooks only make things faster; a poll alone is enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import select, true
from sqlalchemy.orm import Session

from connectors.errors import CallRejected, ConnectorError, FeedExpired
from connectors.port import ChangePage, CrmConnector
from registration_core.contracts import ConnectionName, Mode
from registration_core.errors import SyncError
from registration_core.store.database import UnitOfWork
from sync.accounts import directory
from sync.gates import ladder
from sync.ledger.inbox import Notice, take_note
from sync.ledger.tables import CursorRow, LinkRow, SyncRunRow
from sync.mappings import schema_watch
from sync.plans import echoes
from sync.process import leases, schedule
from sync.process.runtime import Runtime
from sync.traffic import switch

log = structlog.get_logger()

#: Most pages of one object that one run reads; the next run goes on.
PAGES_MAX = 200
#: Most records of a page that are compared to ours at once, to bound memory.
ECHOES_MAX = 500
#: How often every linked record is read again, in seconds: soon where the change feed does not
#: tell of deletions, daily elsewhere, for whatever a feed may have missed.
REREAD_SECONDS = {False: 600, True: 86_400}


@dataclass(frozen=True)
class SyncRun:
    """One poll of one connection."""

    id: str
    connection: ConnectionName
    #: `poll` or `push`.
    kind: str
    started_at: datetime
    finished_at: datetime | None
    state: str
    records: int
    notices: int
    message: str


def runs(session: Session, limit: int = 20) -> list[SyncRun]:
    """Return the newest runs first."""
    rows = session.scalars(select(SyncRunRow).order_by(SyncRunRow.started_at.desc()).limit(limit))
    return [_run(row) for row in rows]


def note_writes(unit: UnitOfWork, run_id: str, connection: ConnectionName, writes: int) -> None:
    """Count writes to a run, in the commit of their intents; a run that writes nothing is no run."""
    if not writes:
        return
    row = unit.session.get(SyncRunRow, run_id)
    if row is None:
        row = SyncRunRow(
            id=run_id, connection=connection, kind="push", started_at=unit.now, finished_at=None,
            state="done", records=0, notices=0, message="",
        )  # fmt: skip
        unit.session.add(row)
    row.records, row.finished_at = row.records + writes, unit.now


def poll(runtime: Runtime, connection: str) -> SyncRun | None:
    """Poll one connection; None if it is off, stopped, or polled by another worker right now.

    A CRM that cannot be read ends the run as failed; the next one starts where it stopped.
    """
    name = ConnectionName(connection)
    if ladder.rung(runtime, name).mode is Mode.OFF:
        return None
    crm = runtime.connector(name)
    with runtime.database.read() as session:
        if switch.stopping(session, name, writing=False) is not None:
            return None
    with leases.held(runtime.database, f"poll:{name}") as lease:
        if lease is None:
            return None
        with runtime.database.begin() as unit:
            run = SyncRunRow(
                id=unit.ids.new(), connection=name, kind="poll", started_at=unit.now, finished_at=None,
                state="running", records=0, notices=0, message="",
            )  # fmt: skip
            unit.session.add(run)
        records = notices = 0
        state, message = "done", ""
        try:
            with runtime.database.read() as session:
                still = schema_watch.standing_still(session, name)
            if runtime.mappings[name].accounts.object not in still:
                fresh = directory.refresh(runtime, name)
                records += len(fresh.changed)
            message = "; ".join(f"{each} stands still" for each in still)
            for object_name in (each for each in _objects(runtime, name) if each not in still):
                seen, noted = _poll_object(runtime, crm, object_name, lease)
                records, notices = records + seen, notices + noted
            notices += _reread(runtime, crm)
        except (ConnectorError, SyncError) as error:
            state, message = "failed", error.message
            log.warning("poll failed", connection=name, code=error.code, reason=error.message)
            if isinstance(error, CallRejected):
                schema_watch.after_refusal(runtime, name)
        return _finish(runtime, run.id, state, records, notices, message)


def _reread(runtime: Runtime, crm: CrmConnector) -> int:
    """Note every active link from time to time; returns how many."""
    noted: list[int] = []

    def note(unit: UnitOfWork) -> None:
        noted.append(take_note(unit, crm.name, _linked(unit.session, crm.name), "poll"))

    every = REREAD_SECONDS[crm.capabilities.feed_tells_deletes]
    schedule.claim(runtime, f"reread:{crm.name}", every, begin=note)
    return sum(noted)


def _linked(
    session: Session, connection: ConnectionName, object_name: str | None = None
) -> list[Notice]:
    """Return a notice of every record, or every one of an object, that an active link leads to."""
    rows = session.execute(
        select(LinkRow.object, LinkRow.record_id).where(
            LinkRow.connection == connection,
            LinkRow.state == "active",
            LinkRow.object == object_name if object_name else true(),
        )
    )
    return [Notice(row.object, row.record_id) for row in rows]


def _objects(runtime: Runtime, connection: ConnectionName) -> list[str]:
    mapping = runtime.mappings[connection]
    objects = {mapped.object for mapped in mapping.objects.values()}
    return sorted(objects | {mapping.opportunities.object})


def _poll_object(
    runtime: Runtime, crm: CrmConnector, object_name: str, lease: leases.Lease
) -> tuple[int, int]:
    mapping = runtime.mappings[crm.name]
    mapped = [m for m in mapping.objects.values() if m.object == object_name]
    keys = {m.key for m in mapped}
    account = (
        {mapping.opportunities.account} if object_name == mapping.opportunities.object else set()
    )
    # Enough to know an echo of our own write by, which is then not read again.
    merged = {name for m in mapped for name in m.reads()} - crm.capabilities.costly
    fields = sorted(keys | account | merged)
    records = notices = 0
    for _ in range(PAGES_MAX):
        with runtime.database.read() as session:
            row = session.get(CursorRow, (crm.name, object_name))
        cursor, version = (row.cursor, row.version) if row else (None, 0)
        gap: list[Notice] = []
        try:
            page = crm.changes(object_name, fields, cursor)
        except FeedExpired:
            log.warning("change feed expired, reading everything", connection=crm.name)
            page = crm.changes(object_name, fields, None)
            # Everything does not tell of what was deleted since the cursor.
            with runtime.database.read() as session:
                gap = _linked(session, crm.name, object_name)
        quiet = _echoes(runtime, crm, object_name, page)
        with runtime.database.begin() as unit:
            noted = _noteworthy(unit, crm.name, object_name, page, keys, account)
            news = [notice for notice in noted if notice.record_id not in quiet]
            notices += take_note(unit, crm.name, [*news, *gap], "poll")
            directory.move_cursor(unit, crm.name, object_name, page, version)
        records += len(page.records) + len(page.gone)
        if not page.more or not leases.renew(runtime.database, lease):
            break
    return records, notices


def _echoes(runtime: Runtime, crm: CrmConnector, object_name: str, page: ChangePage) -> set[str]:
    """Return the linked records of a page that hold what both sides agreed on.

    Our side is read after theirs: where it moved in between, the page looks like news, and the
    pull that this causes reads in the other order.
    """
    quiet: set[str] = set()
    for at in range(0, len(page.records), ECHOES_MAX):
        records = {r.record_id: r for r in page.records[at : at + ECHOES_MAX]}
        jobs = echoes.jobs_by_record(runtime, crm.name, object_name, list(records))
        quiet |= echoes.without_news(runtime, crm, records, jobs)
    return quiet


def _noteworthy(
    unit: UnitOfWork,
    connection: ConnectionName,
    object_name: str,
    page: ChangePage,
    keys: set[str],
    account: set[str],
) -> list[Notice]:
    """Of all changes, those of linked records, of records with our key, and of protected customers."""
    ids = [r.record_id for r in page.records] + [g.record_id for g in page.gone]
    linked = set(
        unit.session.scalars(
            select(LinkRow.record_id).where(
                LinkRow.connection == connection,
                LinkRow.object == object_name,
                LinkRow.record_id.in_(ids),
            )
        )
    )
    named = {str(r.fields[field]) for r in page.records for field in account if r.fields.get(field)}
    ours = directory.concerned(unit.session, connection, named)
    wanted = [
        r.record_id
        for r in page.records
        if r.record_id in linked
        or any(r.fields.get(key) for key in keys)
        or any(str(r.fields.get(field)) in ours for field in account)
    ]
    return [Notice(object_name, i) for i in (*wanted, *(set(ids) & linked))]


def _finish(
    runtime: Runtime, run_id: str, state: str, records: int, notices: int, message: str
) -> SyncRun:
    with runtime.database.begin() as unit:
        row = unit.session.get_one(SyncRunRow, run_id)
        row.state, row.finished_at = state, unit.now
        row.records, row.notices, row.message = records, notices, message
        return _run(row)


def _run(row: SyncRunRow) -> SyncRun:
    return SyncRun(
        row.id, ConnectionName(row.connection), row.kind, row.started_at, row.finished_at, row.state,
        row.records, row.notices, row.message,
    )  # fmt: skip
