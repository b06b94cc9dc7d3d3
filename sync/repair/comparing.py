"""Compare every link with what the CRM holds now: page by page, and on from where it stopped.

A page of links is read from both sides and digested. Only if the digest is not the one of the last
time, all of the page is looked at closer, else no more than the links that differed then. So memory
does not grow with the number of links, and a night in which little has changed costs little.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import structlog
from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import Session

from connectors.errors import CallRejected, ConnectorError
from connectors.port import CrmConnector, Gone, RemoteRecord
from registration_core.contracts import ConnectionName, Mode
from registration_core.errors import DomainRefusal, NotFound, SyncError
from registration_core.store import repository
from registration_core.store.database import UnitOfWork
from registration_core.store.tables import AccountRow, OutboxRow, RegistrationRow
from sync.gates import ladder
from sync.ledger.drift import DriftPageRow, DriftRunRow
from sync.ledger.tables import DeadLetterRow, IntentRow, LinkRow, SyncConflictRow
from sync.mappings import schema_watch
from sync.plans.jobs import jobs_of
from sync.previews.previewing import Does
from sync.process import leases
from sync.process.runtime import Runtime
from sync.repair.comparing_accounts import page as accounts_page
from sync.repair.drift import LINKS, DriftRun, keep_findings, run_of, running
from sync.repair.drifting import Cause, Finding, Pending, Write, differences, told_undone

log = structlog.get_logger()

Row = TypeVar("Row", OutboxRow, DeadLetterRow, SyncConflictRow)

#: Links that are compared in one go, whatever the CRM takes in one call.
PAGE = 1_000
#: Most pages of one nudge, so that other work of the worker goes between them.
PAGES_AT_ONCE = 20


class _Compared(NamedTuple):
    """A link as it stood before its record was read."""

    id: str
    registration_id: str
    object: str
    record_id: str
    version: int
    registration_version: int


class _Judged(NamedTuple):
    """What was found of the links that were looked at."""

    found: Sequence[Finding]
    #: By `field|cause|repair`, how many of the links that agree are worth telling of.
    agreeing: Mapping[str, int]
    #: Every one of them could be judged.
    whole: bool


def to_compare(session: Session, connection: ConnectionName, kind: str) -> int:
    """Return how many links or accounts there are to compare."""
    where = _here(connection) if kind == LINKS else (AccountRow.connection == connection,)
    return session.scalar(select(func.count()).where(*where)) or 0


def drain(runtime: Runtime, connection: str, kind: str = LINKS) -> None:
    """Go some pages on with the comparison that runs, if one does; safe to run anywhere."""
    name = ConnectionName(connection)
    if name not in runtime.connectors or ladder.rung(runtime, name).mode is Mode.OFF:
        return
    try:
        run = advance(runtime, name, kind, pages=PAGES_AT_ONCE)
        if run.state == "running":
            runtime.database.on_work({f"drift-{kind}:{name}"})
    except (DomainRefusal, NotFound):  # another worker was faster
        return
    except (ConnectorError, SyncError) as error:
        log.warning("drift paused", connection=name, code=error.code, reason=error.message)


def advance(
    runtime: Runtime,
    connection: ConnectionName,
    kind: str = LINKS,
    *,
    pages: int | None = None,
    told: Callable[[int], None] = lambda compared: None,
) -> DriftRun:
    """Compare so many pages, or all that are left; each page is one commit with the cursor.

    `told` hears how many links were compared so far.

    Raises:
        DomainRefusal: Another worker compares this connection right now.
        NotFound: No comparison of it runs.
        ConnectorError: The CRM could not be read; the comparison goes on from here next time.
    """
    crm = runtime.connector(connection)
    with leases.held(runtime.database, f"drift:{connection}") as lease:
        if lease is None:
            raise DomainRefusal(
                f"A worker compares {connection} right now.",
                hint=f"See how far it is: dealreg drift {connection} --last",
            )
        while True:
            run = _next(runtime, crm, kind)
            told(run.compared)
            pages = None if pages is None else pages - 1
            if run.state == "done" or pages == 0:
                return run
            leases.require(runtime.database, lease)


def _next(runtime: Runtime, crm: CrmConnector, kind: str) -> DriftRun:
    with runtime.database.read() as session:
        run = running(session, crm.name, kind)
    if run is None:
        raise NotFound(f"No comparison of {crm.name} runs.", hint=f"Type: dealreg drift {crm.name}")
    return _page(runtime, crm, run) if kind == LINKS else accounts_page(runtime, crm, run)


def _page(runtime: Runtime, crm: CrmConnector, run: DriftRunRow) -> DriftRun:
    """Compare the next page. Our side is listed first: what moves meanwhile is left out."""
    with runtime.database.read() as session:
        links, end = _links(session, crm.name, run.cursor)
        known = session.get(DriftPageRow, (crm.name, run.cursor))
        still = schema_watch.standing_still(session, crm.name)
        rules = _rules(runtime, session, crm.name)
    ready = [link for link in links if link.object not in still]
    records = _read(runtime, crm, ready)
    digest = _digest(rules, ready, records)
    settled = known is not None and known.digest == digest
    differed = set(known.differing) if known is not None else set()
    judged = _judge(runtime, crm, [x for x in ready if not settled or x.id in differed], records)
    agreeing = Counter(known.agreeing if known is not None and settled else judged.agreeing)
    standing = Counter({f"|{Cause.STANDS_STILL}|{Does.WAIT}": len(links) - len(ready)})
    with runtime.database.begin() as unit:
        row = unit.session.get_one(DriftRunRow, run.id, with_for_update=True)
        if row.cursor != run.cursor:  # whoever took the lease over was faster
            return run_of(row)
        _keep_page(unit, row, digest if judged.whole and not standing.total() else "", ready,
                   judged.found, agreeing)  # fmt: skip
        keep_findings(unit, row.id, judged.found)
        differing = Counter(_key(each) for each in judged.found)
        row.tally = dict(Counter(row.tally) + differing + agreeing + standing)
        _forget_pages(unit, row, end)
        row.compared += len(links)
        row.cursor = end or row.cursor
        if end is None:
            row.state, row.finished_at = "done", unit.now
        return run_of(row)


def _here(connection: ConnectionName) -> tuple[ColumnElement[bool], ...]:
    return (
        LinkRow.connection == connection, LinkRow.state == "active", LinkRow.role == "primary",
    )  # fmt: skip


def _links(
    session: Session, connection: ConnectionName, after: str
) -> tuple[list[_Compared], str | None]:
    """Return the links of a page and the id that it ends with, None if it is the last.

    A page is cut over links of any state, so that one that is orphaned moves no other page's end.
    """
    here = (LinkRow.connection == connection, LinkRow.id > after)
    cut = session.scalars(select(LinkRow.id).where(*here).order_by(LinkRow.id).limit(PAGE)).all()
    if not cut:
        return [], None
    rows = session.execute(
        select(
            LinkRow.id, LinkRow.registration_id, LinkRow.object, LinkRow.record_id,
            LinkRow.version, RegistrationRow.version,
        )
        .join(RegistrationRow, RegistrationRow.id == LinkRow.registration_id)
        .where(*_here(connection), LinkRow.id > after, LinkRow.id <= cut[-1])
        .order_by(LinkRow.id)
    )  # fmt: skip
    return [_Compared(*row) for row in rows], cut[-1] if len(cut) == PAGE else None


def _read(
    runtime: Runtime, crm: CrmConnector, links: Sequence[_Compared]
) -> dict[tuple[str, str], RemoteRecord | Gone]:
    records: dict[tuple[str, str], RemoteRecord | Gone] = {}
    mapped = runtime.mappings[crm.name].objects.values()
    for object_name in sorted({link.object for link in links}):
        fields = {name for m in mapped if m.object == object_name for name in m.reads()}
        ids = [link.record_id for link in links if link.object == object_name]
        try:
            found = crm.read(object_name, ids, sorted(fields)) if fields else {}
        except CallRejected:
            schema_watch.after_refusal(runtime, crm.name)
            raise
        records |= {(object_name, record_id): record for record_id, record in found.items()}
    return records


def _rules(runtime: Runtime, session: Session, connection: ConnectionName) -> str:
    """What else a plan is made from: where that has changed, every page is looked at again."""
    partners = [(partner.id, partner.name) for partner in repository.partners(session)]
    programs = sorted((p.name, repr(p.authority)) for p in runtime.programs.values())
    return repr((runtime.mappings[connection].version, programs, partners))


def _digest(
    rules: str,
    links: Sequence[_Compared],
    records: Mapping[tuple[str, str], RemoteRecord | Gone],
) -> str:
    digest = hashlib.sha256(rules.encode())
    for link in links:
        record = records.get((link.object, link.record_id))
        held = sorted(record.fields.items()) if isinstance(record, RemoteRecord) else record
        digest.update(repr((link, held)).encode())
    return digest.hexdigest()


def _judge(
    runtime: Runtime,
    crm: CrmConnector,
    links: Sequence[_Compared],
    records: Mapping[tuple[str, str], RemoteRecord | Gone],
) -> _Judged:
    """Find what differs; links that moved since they were listed are left to those who move them."""
    if not links:
        return _Judged((), {}, whole=True)
    before = {link.id: link for link in links}
    wanted = dict.fromkeys((link.registration_id for link in links), 0)
    with runtime.database.read() as session:
        # In this order: a write that is answered in between has moved its link.
        in_flight = _in_flight(session, crm.name)
        jobs = jobs_of(runtime, session, crm.name, wanted)
        pending = _pending(session, crm.name, list(wanted))
    found: list[Finding] = []
    agreeing: Counter[str] = Counter()
    whole = True
    for job in jobs:
        link = before.get(job.link.id) if job.link is not None else None
        if link is None or job.link is None or job.registration.program not in runtime.programs:
            continue  # it stands on another object than this link's, or nothing rules it any more
        now = (job.link.version, job.registration.version)
        record = records.get((link.object, link.record_id))
        settled = now == (link.version, link.registration_version)
        if record is None or not settled or link.record_id in in_flight:
            whole = False
            continue
        several = differences(runtime, job, record, pending[link.registration_id])
        if any(each.repair is not Does.AGREE for each in several):
            found += several
        else:
            agreeing.update(map(_key, several))
    last = _last_writes(runtime, crm.name, {each.registration_id for each in found})
    told = [told_undone(each, last.get(each.registration_id)) for each in found]
    return _Judged(told, agreeing, whole)


def _last_writes(
    runtime: Runtime, connection: ConnectionName, registration_ids: set[str]
) -> dict[str, Write]:
    """Return the last confirmed update of each registration that has one."""
    if not registration_ids:
        return {}
    newest = (IntentRow.settled_at.desc(), IntentRow.wanted.desc())
    place = func.row_number().over(partition_by=IntentRow.registration_id, order_by=newest)
    updates = (
        select(IntentRow.id, place.label("place"))
        .where(
            IntentRow.registration_id.in_(registration_ids),
            IntentRow.connection == connection,
            IntentRow.operation == "update",
            IntentRow.state == "done",
        )
        .subquery()
    )
    with runtime.database.read() as session:
        rows = session.execute(
            select(IntentRow.registration_id, IntentRow.payload, IntentRow.before)
            .join(updates, updates.c.id == IntentRow.id)
            .where(updates.c.place == 1)
        )
        return {row.registration_id: Write(row.payload, row.before) for row in rows}


def _pending(
    session: Session, connection: ConnectionName, registration_ids: Sequence[str]
) -> dict[str, Pending]:
    def rows(table: type[Row], *where: ColumnElement[bool]) -> Sequence[Row]:
        theirs = table.registration_id.in_(registration_ids), table.connection == connection
        return session.scalars(select(table).where(*theirs, *where)).all()

    owed = {row.registration_id: row for row in rows(OutboxRow)}
    letters = (DeadLetterRow.state == "open", DeadLetterRow.kind == "mapping")
    untranslatable = {row.registration_id for row in rows(DeadLetterRow, *letters)}
    contested: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows(SyncConflictRow, SyncConflictRow.state == "open"):
        contested[row.registration_id].add(row.field_group)
    return {
        i: Pending(owed.get(i), frozenset(contested[i]), i in untranslatable)
        for i in registration_ids
    }


def _in_flight(session: Session, connection: ConnectionName) -> set[str | None]:
    pending = select(IntentRow.record_id).where(
        IntentRow.connection == connection, IntentRow.state == "pending"
    )
    return set(session.scalars(pending))


def _key(found: Finding) -> str:
    return f"{found.field}|{found.cause}|{found.repair}"


def _keep_page(
    unit: UnitOfWork,
    run: DriftRunRow,
    digest: str,
    links: Sequence[_Compared],
    found: Sequence[Finding],
    agreeing: Mapping[str, int],
) -> None:
    """Remember what a page held and which of its links differ; forget it without a digest."""
    row = unit.session.get(DriftPageRow, (run.connection, run.cursor))
    if not digest:
        if row is not None:
            unit.session.delete(row)
        return
    if row is None:
        row = DriftPageRow(connection=run.connection, after=run.cursor)
        unit.session.add(row)
    odd = {(each.registration_id, each.object) for each in found}
    row.digest, row.agreeing = digest, dict(agreeing)
    row.differing = [x.id for x in links if (x.registration_id, x.object) in odd]


def _forget_pages(unit: UnitOfWork, run: DriftRunRow, end: str | None) -> None:
    """Forget pages that began within the one just compared, or after it if it is the last."""
    within = [DriftPageRow.connection == run.connection, DriftPageRow.after > run.cursor]
    if end is not None:
        within.append(DriftPageRow.after < end)
    unit.session.execute(delete(DriftPageRow).where(*within))
