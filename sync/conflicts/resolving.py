"""A person settles a sync conflict: ours, theirs, or values of their own; and can take it back.

The choice goes into the store and the CRM's value counts as seen; the next push carries it
everywhere. Undo puts the store back, has the CRM's own value written back once, and opens the
conflict again on the base from before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from connectors.port import Gone
from mapping.translate import canonical, to_store
from reconciler.merge import SyncConflict, same
from reconciler.resolution import base_after
from reconciler.resolution import resolve as choose
from registration_core import crm_changes
from registration_core.contracts import ConnectionName, Fields
from registration_core.errors import DomainRefusal, NotFound
from registration_core.fields import FieldGroup
from registration_core.model import Actor, Registration
from registration_core.program import Program
from registration_core.store import audit, protection, repository, work
from registration_core.store.database import UnitOfWork
from sync.ledger.ids import by_id
from sync.ledger.tables import LinkRow, SyncConflictRow
from sync.plans.jobs import job_of
from sync.process.runtime import Runtime


@dataclass(frozen=True)
class Conflict:
    """A sync conflict as a person sees it."""

    id: str
    registration_id: str
    connection: ConnectionName
    group: FieldGroup
    state: str
    base: Fields | None
    store: Fields
    remote: Fields
    settled: str | None
    reason: str
    opened_at: datetime
    resolved_at: datetime | None
    resolved_by: str
    chosen: Fields | None


def conflicts(session: Session, *, everything: bool = False) -> list[Conflict]:
    """Return open conflicts, oldest first; settled and resolved ones too if asked."""
    query = select(SyncConflictRow).order_by(SyncConflictRow.opened_at)
    if not everything:
        query = query.where(SyncConflictRow.state == "open")
    return [_conflict(row) for row in session.scalars(query)]


def conflict(session: Session, conflict_id: str) -> Conflict:
    """Return one conflict by its id or an unambiguous part of it."""
    return _conflict(_row(session, conflict_id))


def program_of(runtime: Runtime, conflict_id: str) -> Program:
    """Return the program of a conflict's registration, by whose fields a value is read."""
    with runtime.database.read() as session:
        row = _row(session, conflict_id)
        return runtime.program(repository.registration(session, row.registration_id).program)


def resolve(
    runtime: Runtime,
    conflict_id: str,
    choice: Literal["ours", "theirs"] | Fields,
    actor: Actor,
    *,
    seen: Conflict | None = None,
) -> Conflict:
    """Settle an open conflict, or reverse one that a rule settled; the next push carries it.

    `seen` is the conflict as it was shown to whoever decides: a `DomainRefusal` where either side
    holds another value by now.
    """
    with runtime.database.begin(actor) as unit:  # of its own: whoever is refused sees it next time
        row = _row(unit.session, conflict_id)
        _bring_up_to_date(runtime, row, *_locked(unit, row))
    with runtime.database.begin(actor) as unit:
        row = _row(unit.session, conflict_id)
        registration, link = _locked(unit, row)
        _bring_up_to_date(runtime, row, registration, link)
        if row.state == "resolved":
            raise DomainRefusal(
                f"The conflict was resolved by {row.resolved_by}.",
                hint=f"To decide again, type: dealreg conflict undo {row.id}",
            )
        if seen is not None:
            _require_as_shown(row, seen, registration.number)
        if row.settled is not None:
            _require_as_settled(runtime, row, registration, link)
        chosen = choose(_value(row), choice)
        row.base_before = link.base
        link.base = base_after(_value(row), link.base)
        link.repeats = {g: v for g, v in link.repeats.items() if g != row.field_group}
        link.version, link.changed_at = link.version + 1, unit.now
        registration = _apply(unit, runtime, registration, row, chosen)
        work.request_push(unit, registration)
        row.state, row.chosen, row.settled = "resolved", chosen, None
        row.resolved_at, row.resolved_by = unit.now, str(unit.actor)
        _note(unit, row, "resolve sync conflict", chosen)
        return _conflict(row)


def undo(runtime: Runtime, conflict_id: str, actor: Actor) -> Conflict:
    """Take a resolution back where nobody has touched the values since, here or in the CRM."""
    _require_remote_untouched(runtime, conflict_id)
    with runtime.database.begin(actor) as unit:
        row = _row(unit.session, conflict_id)
        registration, link = _locked(unit, row)
        if row.state != "resolved" or row.chosen is None:
            raise DomainRefusal(f"The conflict {row.id} was not resolved by a person.")
        _require_untouched(runtime, row, registration)
        _require_none_open(unit.session, row)
        link.restore = {**(link.restore or {}), **row.remote}
        resolved = {name: row.chosen.get(name, value) for name, value in row.remote.items()}
        link.undone = {**(link.undone or {}), **resolved}
        # Of this group alone; what was never agreed on is not agreed on again.
        before = {n: v for n, v in (row.base or {}).items() if n in row.remote}
        link.base = {n: v for n, v in link.base.items() if n not in row.remote} | before
        link.version, link.changed_at = link.version + 1, unit.now
        registration = _apply(unit, runtime, registration, row, row.store)
        work.request_push(unit, registration)
        row.state, row.chosen, row.resolved_at, row.resolved_by = "open", None, None, ""
        _note(unit, row, "undo resolution", row.store)
        return _conflict(row)


def _apply(
    unit: UnitOfWork,
    runtime: Runtime,
    registration: Registration,
    row: SyncConflictRow,
    values: Fields,
) -> Registration:
    connection = ConnectionName(row.connection)
    group = FieldGroup(row.field_group)
    program = runtime.program(registration.program)
    held = crm_changes.canonical(registration, connection, program)
    changes = {name: value for name, value in values.items() if not same(held.get(name), value)}
    if not changes:
        return registration
    applied = crm_changes.apply(unit, registration, connection, {group: changes}, program)
    if group in applied.refused:
        raise DomainRefusal(
            f"{registration.number} cannot take it: {applied.refused[group]}",
            hint=f"Keep ours: dealreg conflict resolve {row.id} --take ours",
        )
    return applied.registration


def _bring_up_to_date(
    runtime: Runtime, row: SyncConflictRow, registration: Registration, link: LinkRow
) -> None:
    """Show an open conflict with what stands here now, so that it names what a decision replaces.

    A pass over the link does the same; somebody may have edited the deal since the last one.
    """
    connection = ConnectionName(row.connection)
    mapping = runtime.mapping_of(registration, connection, link.object)
    if row.state != "open" or row.settled is not None or mapping is None:
        return
    program = runtime.programs.get(registration.program)
    held = canonical(mapping, crm_changes.canonical(registration, connection, program)).fields
    row.store = {name: held.get(name, value) for name, value in row.store.items()}


def _require_as_shown(row: SyncConflictRow, seen: Conflict, number: str) -> None:
    """Refuse where the open conflict was brought up to date since a person looked at it."""
    sides = (("here", seen.store, row.store), (f"in {row.connection}", seen.remote, row.remote))
    moved = [
        f"{name} {where} is {now.get(name)} now, it was {shown.get(name)}"
        for where, shown, now in sides
        for name in dict.fromkeys((*shown, *now))
        if not same(shown.get(name), now.get(name))
    ]
    if moved:
        raise DomainRefusal(
            f"The sync conflict of {number} changed since it was shown: {'; '.join(moved)}.",
            hint=f"Look again before you decide: dealreg conflict show {row.id}",
        )


def _require_as_settled(
    runtime: Runtime, row: SyncConflictRow, registration: Registration, link: LinkRow
) -> None:
    """Refuse to reverse what a rule settled once the side that won has changed again here."""
    connection = ConnectionName(row.connection)
    mapping = runtime.mapping_of(registration, connection, link.object)
    if mapping is None:
        return
    program = runtime.programs.get(registration.program)
    held = canonical(mapping, crm_changes.canonical(registration, connection, program)).fields
    won = row.store if row.settled == "store" else row.remote
    moved = [name for name, value in won.items() if not same(held.get(name, value), value)]
    if moved:
        raise DomainRefusal(
            f"{', '.join(moved)} of {registration.number} changed since the conflict was settled.",
            hint=f"Change it by hand: dealreg registration update {registration.number}",
        )


def _require_none_open(session: Session, row: SyncConflictRow) -> None:
    newer = session.scalars(
        select(SyncConflictRow).where(
            SyncConflictRow.link_id == row.link_id,
            SyncConflictRow.field_group == row.field_group,
            SyncConflictRow.state == "open",
        )
    ).first()
    if newer is not None:
        raise DomainRefusal(
            f"A newer conflict about the same values is open: {newer.id}.",
            hint=f"Decide on that one: dealreg conflict show {newer.id}",
        )


def _require_untouched(runtime: Runtime, row: SyncConflictRow, registration: Registration) -> None:
    program = runtime.programs.get(registration.program)
    held = crm_changes.canonical(registration, ConnectionName(row.connection), program)
    moved = [n for n, v in (row.chosen or {}).items() if not same(held.get(n), v)]
    if moved:
        raise DomainRefusal(
            f"{', '.join(moved)} of {registration.number} changed again since the resolution.",
            hint=f"Change it by hand: dealreg registration update {registration.number}",
        )


def _require_remote_untouched(runtime: Runtime, conflict_id: str) -> None:
    """Read the record and refuse if a person changed the values after the resolution."""
    with runtime.database.read() as session:
        row = _row(session, conflict_id)
        link = session.get_one(LinkRow, row.link_id)
        job = job_of(runtime, session, row.registration_id, ConnectionName(row.connection))
    if job is None or row.chosen is None:
        return
    records = runtime.connector(row.connection).read(
        link.object, [link.record_id], job.mapping.reads()
    )
    record = records[link.record_id]
    held = {} if isinstance(record, Gone) else to_store(job.mapping, record.fields).fields
    # Before the push, the CRM still holds its own value of then.
    moved = [
        name
        for name, value in row.remote.items()
        if not same(held.get(name), value) and not same(held.get(name), row.chosen.get(name, value))
    ]
    if moved:
        raise DomainRefusal(
            f"{', '.join(moved)} of the record in {row.connection} is not what was resolved.",
            hint=f"Look at it: dealreg conflict show {row.id}",
        )


def _locked(unit: UnitOfWork, row: SyncConflictRow) -> tuple[Registration, LinkRow]:
    if row.field_group == FieldGroup.STAGE.value:  # closing and reopening move claims
        protection.hold_lock(unit)
    registration = repository.registration(unit.session, row.registration_id, lock=True)
    link = unit.session.get_one(LinkRow, row.link_id, with_for_update=True)
    unit.session.refresh(row)  # whoever held the link before may have brought it up to date
    return registration, link


def _row(session: Session, conflict_id: str) -> SyncConflictRow:
    row = by_id(session, SyncConflictRow, conflict_id)
    if row is None:
        raise NotFound(
            f"There is no sync conflict {conflict_id}.", hint="Type: dealreg conflict list"
        )
    return row


def _value(row: SyncConflictRow) -> SyncConflict:
    settled: Literal["store", "remote"] | None = None
    if row.settled is not None:
        settled = "store" if row.settled == "store" else "remote"
    return SyncConflict(row.base, row.store, row.remote, settled, row.reason)


def _conflict(row: SyncConflictRow) -> Conflict:
    return Conflict(
        id=row.id,
        registration_id=row.registration_id,
        connection=ConnectionName(row.connection),
        group=FieldGroup(row.field_group),
        state=row.state,
        base=row.base,
        store=row.store,
        remote=row.remote,
        settled=row.settled,
        reason=row.reason,
        opened_at=row.opened_at,
        resolved_at=row.resolved_at,
        resolved_by=row.resolved_by,
        chosen=row.chosen,
    )


def _note(unit: UnitOfWork, row: SyncConflictRow, action: str, values: Fields) -> None:
    audit.record(
        unit,
        f"registration:{row.registration_id}",
        action,
        {
            "conflict": row.id,
            "connection": row.connection,
            "group": row.field_group,
            "values": {name: str(value) for name, value in values.items()},
        },
    )
