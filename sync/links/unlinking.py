"""Take a link back: the record is another deal after all.

What we added to the record goes back to what stood there before, where nobody has touched it
since; the rest of the record, and the record itself, stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from connectors.port import CrmConnector, Gone, RemoteRecord, Written
from reconciler.merge import same
from registration_core.contracts import ConnectionName, Fields, Mode, Value
from registration_core.errors import DomainRefusal, NotFound
from registration_core.model import Actor
from registration_core.store import audit, repository
from registration_core.store.database import UnitOfWork
from registration_core.store.tables import RegistrationRow
from sync.gates import ladder
from sync.ledger.tables import IntentRow, LinkRow, SyncConflictRow
from sync.links import linking
from sync.outcomes import auditing, settling
from sync.plans import contention
from sync.process import leases
from sync.process.runtime import Runtime


@dataclass(frozen=True)
class Unlinked:
    """A link that was removed, in the CRM's own names."""

    registration_id: str
    connection: ConnectionName
    object: str
    record_id: str
    #: What was written back, and what we wrote and somebody has changed since.
    restored: Fields
    kept: Fields
    #: What others wrote that a write of ours replaced unread, in our own names.
    replaced: Fields


def unlink(
    runtime: Runtime, number: str, connection: str, actor: Actor, *, dry_run: bool
) -> Unlinked:
    """Remove a registration's link and restore what we added to the record.

    The record is not proposed for this registration again. What is due for it then looks for
    another record, or makes one, as the connection's mode says.

    Raises:
        DomainRefusal: There is no link, the record carries our id, something has to be written
            back and the connection does not write, the link moved, or a drain is at it right now.
        LeaseLost: A drain took over before anything was written.
    """
    crm = runtime.connector(connection)
    with (
        leases.held(runtime.database, f"pull:{connection}") as pulling,
        leases.held(runtime.database, f"push:{connection}") as pushing,
    ):
        if pulling is None or pushing is None:
            raise DomainRefusal(f"{connection} is being read or written right now: type it again.")
        with runtime.database.read() as session:
            link = _link(session, number, crm.name)
            intents = _writes(session, link)
        key = runtime.mappings[crm.name].key_of(link.object)
        wrote = {name for intent in intents for name in intent.payload}
        record = crm.read(link.object, [link.record_id], sorted({key, *wrote}))[link.record_id]
        restored, kept = _back(intents, record)
        if _stays_ours(link, record, key, restored):
            raise DomainRefusal(
                f"{link.record_id} in {connection} was made for this registration, and says so.",
                hint=f"Empty {key} there first, or the next push finds it by that again.",
            )
        replaced: Fields = {}
        if not dry_run:
            since = _began(intents, runtime.database.clock())
            version = _write_back(runtime, crm, link, record, restored, pushing)
            auditing.audit_overwrites(runtime, crm)  # it finds nothing once the link is gone
            with runtime.database.begin(actor) as unit:
                replaced = _replaced(unit, _held(unit, link, version), since)
                _remove(unit, link.id, restored, kept)
    return Unlinked(
        link.registration_id, crm.name, link.object, link.record_id, restored, kept, replaced
    )


def _stays_ours(link: LinkRow, record: RemoteRecord | Gone, key: str, restored: Fields) -> bool:
    """Whether the record would carry the registration's id all the same."""
    there = isinstance(record, RemoteRecord) and record.fields.get(key) == link.registration_id
    return there and key not in restored


def _link(session: Session, number: str, connection: ConnectionName) -> LinkRow:
    registration = repository.registration(session, number)
    found = session.scalars(
        select(LinkRow).where(
            LinkRow.registration_id == registration.id, LinkRow.connection == connection
        )
    ).first()
    if found is None:
        raise NotFound(
            f"{registration.number} has no record in {connection}.", hint="Type: dealreg link list"
        )
    return found


def _began(intents: Sequence[IntentRow], now: datetime) -> datetime:
    """Return when values were first written back: what that replaced is told by a later try too."""
    back = (i.created_at for i in intents if i.wanted == 0 and i.run_id is None)
    return min(back, default=now)


def _writes(session: Session, link: LinkRow) -> Sequence[IntentRow]:
    """Return what was written to the record for this registration, oldest first."""
    rows = session.scalars(
        select(IntentRow)
        .where(
            IntentRow.registration_id == link.registration_id,
            IntentRow.connection == link.connection,
            IntentRow.object == link.object,
            IntentRow.record_id == link.record_id,
            IntentRow.state.in_(("done", "pending", "not_done", "set_aside")),
        )
        .order_by(IntentRow.created_at, IntentRow.id)
    ).all()
    if any(row.state == "pending" for row in rows):
        raise DomainRefusal(
            f"A write to {link.record_id} in {link.connection} has no answer yet.",
            hint=f"Type: dealreg sync push {link.connection}, then this again.",
        )
    return rows


def _back(intents: Sequence[IntentRow], record: RemoteRecord | Gone) -> tuple[Fields, Fields]:
    """Return what goes back to how it was before us, and what somebody has changed since."""
    if isinstance(record, Gone):
        return {}, {}
    before: dict[str, Value] = {}
    wrote: dict[str, Value] = {}
    for intent in intents:
        # What stood there before us, or what somebody wrote between two writes of ours.
        theirs = {n: v for n, v in intent.before.items() if n not in wrote or not same(wrote[n], v)}
        before, wrote = {**before, **theirs}, {**wrote, **intent.payload}
    ours = {n for n, v in wrote.items() if same(record.fields.get(n), v)}
    return (
        {n: v for n, v in before.items() if n in ours and not same(record.fields.get(n), v)},
        {n: record.fields.get(n) for n in wrote if n not in ours},
    )


def _write_back(
    runtime: Runtime,
    crm: CrmConnector,
    link: LinkRow,
    record: RemoteRecord | Gone,
    restored: Fields,
    lease: leases.Lease,
) -> int:
    """Write the before-values as one intent, as a push does; its answer may be lost like any.

    Returns the version of the link that is then to be removed.
    """
    if not restored or isinstance(record, Gone):
        return link.version
    mode = ladder.rung(runtime, crm.name).at(link.object)
    if mode not in (Mode.CANARY, Mode.PUSH):
        raise DomainRefusal(
            f"{link.object} of {crm.name} is at {mode}: what we added cannot be written back.",
            hint=f"Type: dealreg connection promote {crm.name}",
        )
    # Where the CRM has no precondition, its history has to show what the write replaced.
    unconditional = crm.capabilities.history and not crm.capabilities.precondition
    with runtime.database.begin() as unit:
        _held(unit, link, link.version)
        intent = IntentRow(
            id=unit.ids.new(), registration_id=link.registration_id, connection=crm.name,
            object=link.object, operation="update", record_id=link.record_id, payload=restored,
            before={name: record.fields.get(name) for name in restored}, base=link.base,
            mapping_version=link.mapping_version, wanted=0, state="pending", outcome="",
            created_at=unit.now, settled_at=None,
            audit_since=record.modified_at if unconditional else None, run_id=None,
        )  # fmt: skip
        unit.session.add(intent)
    leases.require(runtime.database, lease)
    patch = contention.patch(record, restored, link, runtime.database.clock())
    (outcome,) = crm.update(link.object, [patch])
    settling.settle_batch(runtime.database, {intent.id: outcome})
    if not isinstance(outcome, Written):
        raise DomainRefusal(
            f"{crm.name} did not take the values back ({outcome}), so the link stays.",
            hint="Type it again; see: dealreg deadletter list",
        )
    return link.version + 1


def _held(unit: UnitOfWork, link: LinkRow, version: int) -> LinkRow:
    """Hold a link; `DomainRefusal` where it is not what it was when its record was read."""
    unit.lock(RegistrationRow, link.registration_id)
    now = unit.lock(LinkRow, link.id)
    if now is None or now.version != version:
        raise DomainRefusal(
            f"The link to {link.record_id} in {link.connection} moved meanwhile.",
            hint="Type it again.",
        )
    return now


def _words(fields: Fields) -> dict[str, str]:
    return {name: str(value) for name, value in fields.items()}


def _replaced(unit: UnitOfWork, link: LinkRow, since: datetime) -> Fields:
    """Return what our writes replaced unread, as it was found out since; all of it has to be."""
    if any(i.audit_since is not None and i.state == "done" for i in _writes(unit.session, link)):
        raise DomainRefusal(
            f"What our writes replaced in {link.record_id} of {link.connection} is not known yet.",
            hint=f"Type: dealreg sync push {link.connection}, then this again.",
        )
    kept = unit.session.scalars(
        select(SyncConflictRow).where(
            SyncConflictRow.link_id == link.id,
            SyncConflictRow.opened_at >= since,
            SyncConflictRow.settled == "store",
        )
    )
    return {name: value for conflict in kept for name, value in conflict.remote.items()}


def _remove(unit: UnitOfWork, link_id: str, restored: Fields, kept: Fields) -> None:
    link = unit.session.get_one(LinkRow, link_id)
    registration = repository.registration(unit.session, link.registration_id)
    drop(unit, link, {"restored": sorted(restored), "kept": sorted(kept)})
    linking.decline(unit, registration, link)


def drop(unit: UnitOfWork, link: LinkRow, why: Mapping[str, object]) -> None:
    """Delete a link with its conflicts, which are about nothing any more; the audit keeps both."""
    session = unit.session
    conflicts = session.scalars(
        select(SyncConflictRow).where(SyncConflictRow.link_id == link.id)
    ).all()
    audit.record(
        unit, f"registration:{link.registration_id}", "unlink record",
        {
            "connection": link.connection, "object": link.object, "record": link.record_id,
            **why,
            "conflicts": [
                {"group": each.field_group, "state": each.state, "ours": _words(each.store),
                 "theirs": _words(each.remote), "settled": each.settled}
                for each in conflicts
            ],
        },
    )  # fmt: skip
    for each in conflicts:
        session.delete(each)
    session.flush()
    session.delete(link)
    session.flush()
