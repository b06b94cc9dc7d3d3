"""Undo what a run wrote: put back what stood in the CRM before, where nobody has touched it since.

Values that belong together go back together, whatever was touched of the others of their record. A
before-image goes back through the same push as every other write, with its precondition or its
audit. The change that is taken back is declined, so that it is not planned again; the store keeps
its own value until somebody changes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select

from connectors.port import Gone, RemoteRecord
from mapping.schema import ObjectMapping
from mapping.translate import to_store
from reconciler.merge import same
from registration_core.contracts import ConnectionName, Fields, Value
from registration_core.errors import DomainRefusal, NotFound
from registration_core.model import Actor
from registration_core.store import audit, repository, work
from registration_core.store.database import UnitOfWork
from sync.ledger.gates import HeldChangeRow, HeldRow
from sync.ledger.ids import by_id
from sync.ledger.tables import IntentRow, LinkRow, SyncRunRow
from sync.outcomes.stamps import STAMP
from sync.plans.jobs import Job, jobs_of, read_linked
from sync.process.runtime import Runtime


@dataclass(frozen=True)
class Undone:
    """A write of the run, or part of one: whether it goes back, and why not where it does not."""

    registration_id: str
    object: str
    record_id: str
    #: In the CRM's own names: what the run wrote, and what stood there before.
    wrote: Fields
    before: Fields
    #: Empty where the before-image goes back.
    kept_because: str


@dataclass(frozen=True)
class _Write:
    """All that the run wrote to one record, however often."""

    #: The last of its intents.
    intent: IntentRow
    job: Job | None
    record: RemoteRecord | Gone | None
    #: In the CRM's own names: all that it wrote, or the part that this is about, and what had
    #: stood in the record.
    wrote: Fields
    stood: Fields
    #: What both sides agreed on after it, in our terms.
    base: Fields

    @property
    def before(self) -> Fields:
        """What stood there before, of what it wrote."""
        return {name: self.stood.get(name) for name in self.wrote}

    def and_then(self, later: _Write) -> _Write:
        """Return this write and a later one to the same record as one."""
        return replace(
            later,
            wrote={**self.wrote, **later.wrote},
            stood={**later.stood, **self.stood},
            base={**self.base, **later.base},
        )


def undo(runtime: Runtime, run_id: str, actor: Actor, *, dry_run: bool) -> list[Undone]:
    """Plan the undo of a run's writes and, unless it is a dry run, make them due.

    Reads the records, and writes nothing itself: the next push does. Undoing twice changes
    nothing more, because the first undo has touched the values.

    Raises:
        NotFound: There is no such run.
        DomainRefusal: The run wrote nothing.
    """
    run, intents = _writes_of(runtime, run_id)
    connection = ConnectionName(run.connection)
    found = [part for write in _read(runtime, connection, intents) for part in _judged(write)]
    if not dry_run:
        going = [write for write, why in found if not why]
        with runtime.database.begin(actor) as unit:
            found = _put_back(unit, connection, run.id, found, going)
    return [
        Undone(
            write.intent.registration_id, write.intent.object, write.intent.record_id or "",
            write.wrote, write.before, why,
        )
        for write, why in found
    ]  # fmt: skip


def _writes_of(runtime: Runtime, run_id: str) -> tuple[SyncRunRow, Sequence[IntentRow]]:
    with runtime.database.read() as session:
        run = by_id(session, SyncRunRow, run_id)
        if run is None:
            raise NotFound(f"There is no run {run_id}.", hint="Type: dealreg sync runs")
        intents = session.scalars(
            select(IntentRow)
            .where(IntentRow.run_id == run.id, IntentRow.state == "done")
            .order_by(IntentRow.created_at, IntentRow.wanted, IntentRow.id)
        ).all()
    if not intents:
        raise DomainRefusal(f"Run {run.id} has written nothing.", hint="Type: dealreg sync runs")
    return run, intents


def _read(
    runtime: Runtime, connection: ConnectionName, intents: Sequence[IntentRow]
) -> list[_Write]:
    crm = runtime.connector(connection)
    with runtime.database.read() as session:
        wanted = {intent.registration_id: 0 for intent in intents}
        jobs = {j.registration.id: j for j in jobs_of(runtime, session, connection, wanted)}
    read = read_linked(crm, jobs.values())
    records = {job.link.record_id: record for job, record in read if job.link}
    writes: dict[tuple[str, str], _Write] = {}
    for intent in intents:
        job, record = jobs.get(intent.registration_id), records.get(intent.record_id or "")
        write = _Write(intent, job, record, intent.payload, intent.before, intent.base)
        to = (
            intent.operation,
            str(intent.record_id if intent.operation == "update" else intent.id),
        )
        writes[to] = writes[to].and_then(write) if to in writes else write
    return list(writes.values())


def _judged(write: _Write) -> list[tuple[_Write, str]]:
    """Split a write into what goes back and what stays, with the reason."""
    intent, job, record = write.intent, write.job, write.record
    if intent.operation == "create":
        return [(write, "the run created the record; records are never deleted from here")]
    if intent.operation == STAMP:
        return [(write, "it is a stamp on an opportunity of others; clear it there")]
    if job is None or job.link is None or job.link.state != "active":
        return [(write, "it is not linked any more")]
    if not isinstance(record, RemoteRecord):
        return [(write, f"the record is {record.absence.value if record else 'not there'}")]
    theirs = to_store(job.mapping, record.fields).fields
    parts: dict[str, dict[str, Value]] = {}
    for ours, wrote in _groups(job.mapping, write.wrote):
        parts.setdefault(_touched(job, write.base, theirs, ours, wrote), {}).update(wrote)
    return [(replace(write, wrote=wrote), why) for why, wrote in parts.items()]


def _groups(mapping: ObjectMapping, payload: Fields) -> Iterator[tuple[set[str], Fields]]:
    """Yield what was written by field group, with the group's fields by our names."""
    left = dict(payload)
    for group in mapping.groups.values():
        wrote = {n: left.pop(n) for row in group.rows for n in row.theirs if n in left}
        if wrote:
            yield {row.ours.name for row in group.rows}, wrote
    if left:
        yield set(), left


def _touched(job: Job, base: Fields, theirs: Fields, names: set[str], wrote: Fields) -> str:
    """Tell why what was written of a field group stays, else nothing."""
    if not names:
        return f"{', '.join(sorted(wrote))} is in no field group of the mapping"
    written = to_store(job.mapping, wrote).fields
    moved = [n for n, v in written.items() if not same(theirs.get(n), v)]
    if moved:
        return f"{', '.join(moved)} changed in the CRM since"
    ours = job.store
    moved = [n for n, v in base.items() if n in names & ours.keys() and not same(ours[n], v)]
    return f"{', '.join(moved)} changed here since" if moved else ""


def _put_back(
    unit: UnitOfWork,
    connection: ConnectionName,
    run_id: str,
    found: Sequence[tuple[_Write, str]],
    going: Sequence[_Write],
) -> list[tuple[_Write, str]]:
    """Make the before-images due, decline the change, and allow the way back past every cap."""
    declined, allowed = (_item(unit, connection, run_id, state) for state in _STATES)
    late: dict[str, str] = {}
    links = {w.job.link.id: w for w in going if w.job and w.job.link}
    unit.lock_all(LinkRow, links)
    for link_id, write in links.items():
        link, job = unit.lock(LinkRow, link_id), write.job
        assert job is not None
        assert job.link is not None
        if link is None or link.version != job.link.version:
            late[write.intent.id] = "it moved while the undo was planned"
            continue
        back = to_store(job.mapping, write.before).fields
        wrote = to_store(job.mapping, write.wrote).fields
        link.restore, link.base = {**(link.restore or {}), **back}, {**link.base, **back}
        link.undone = {**(link.undone or {}), **_together(job, write, wrote)}
        link.version, link.changed_at = link.version + 1, unit.now
        for item, values in ((declined, wrote), (allowed, back)):
            agreed = {name: link.base.get(name) for name in values}
            unit.session.merge(_change(item, write, values, agreed))
        registration = repository.registration(unit.session, write.intent.registration_id)
        work.request_push(unit, registration, only=connection)
        audit.record(
            unit, f"registration:{registration.id}", "undo write",
            {"connection": connection, "run": run_id, "fields": sorted(write.wrote)},
        )  # fmt: skip
    return [(write, why or late.get(write.intent.id, "")) for write, why in found]


def _together(job: Job, write: _Write, wrote: Fields) -> Fields:
    """Return what the groups of a write held when it was judged."""
    assert isinstance(write.record, RemoteRecord)
    theirs = to_store(job.mapping, write.record.fields).fields
    groups = ({row.ours.name for row in group.rows} for group in job.mapping.groups.values())
    names = set[str]().union(*(group for group in groups if group & wrote.keys()))
    return {name: value for name, value in theirs.items() if name in names}


#: The item that declines what the run wrote, and the one that lets the before-images pass.
_STATES = ("discarded", "released")


def _item(unit: UnitOfWork, connection: ConnectionName, run_id: str, state: str) -> HeldRow:
    row = HeldRow(
        id=unit.ids.new(), connection=connection, direction="push", cap="undo", about=run_id,
        state=state, reason=f"undo of run {run_id}", opened_at=unit.now, first_by="",
        decided_at=unit.now, decided_by=str(unit.actor),
    )  # fmt: skip
    unit.session.add(row)
    unit.session.flush()
    return row


def _change(item: HeldRow, write: _Write, values: Fields, agreed: Fields) -> HeldChangeRow:
    intent = write.intent
    return HeldChangeRow(
        held_id=item.id, registration_id=intent.registration_id, connection=intent.connection,
        object=intent.object, record_id=intent.record_id, payload=write.wrote,
        before=write.before, values=values, agreed=agreed,
    )  # fmt: skip
