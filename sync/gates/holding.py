"""What is too much at once waits for a person: one item a cap, to look at, release or discard.

`Gate` stands between a plan and its being carried out. What it holds back stays as a plan with
its before-image. A release makes the records due: they are read and planned again, and go on if
they still want just what was released. A discard is remembered, and that change is not planned
again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from registration_core.contracts import ConnectionName, Fields
from registration_core.errors import DomainRefusal, NotFound
from registration_core.model import Actor
from registration_core.store import audit
from registration_core.store.database import UnitOfWork
from registration_core.store.tables import OutboxRow
from sync.gates import limits
from sync.ledger.gates import HeldChangeRow, HeldRow, TallyRow
from sync.ledger.ids import by_id
from sync.ledger.inbox import Notice, take_note
from sync.ledger.tables import LinkRow
from sync.plans.jobs import Planned
from sync.process.runtime import Runtime

log = structlog.get_logger()

#: The longest window of a cap.
HOUR = timedelta(hours=1)
TEN_MINUTES = timedelta(minutes=10)
_TAKES = (limits.Cap.TAKEN, limits.Cap.WON, limits.Cap.CLEARED)


@dataclass(frozen=True)
class Held:
    """Changes that were too many at once."""

    id: str
    connection: ConnectionName
    direction: str
    cap: str
    about: str
    state: str
    reason: str
    #: How many registrations wait in it.
    records: int
    opened_at: datetime
    #: Who released it first, where two have to.
    first_by: str
    decided_at: datetime | None
    decided_by: str


@dataclass(frozen=True)
class HeldChange:
    """One registration's change in a held item."""

    registration_id: str
    object: str
    record_id: str | None
    payload: Fields
    before: Fields


class Gate:
    """Counts the changes of one drain, and holds back what would be too many."""

    def __init__(self, runtime: Runtime, connection: ConnectionName) -> None:
        self._runtime = runtime
        self._connection = connection
        self._limits = runtime.limits.get(connection)
        self._in_run = 0

    def pushes(self, planned: Sequence[Planned]) -> list[Planned]:
        """Return the plans that may be carried out; the others wait in held items."""
        return self._writes(self.pulls(planned))

    def pulls(self, planned: Sequence[Planned]) -> list[Planned]:
        """Return the plans whose changes may be taken in; the others wait in held items."""
        taking = [p for p in planned if p.plan.takes]
        if self._limits is None or not taking:
            return list(planned)
        with self._runtime.database.read() as session:
            sofar = limits.Sofar(self._counts(session, TEN_MINUTES))
            free = _standing(session, self._connection, taking, "pull", "released")
            waiting = _standing(session, self._connection, taking, "pull", "held")
        going = [p for p in planned if p.job.registration.id not in waiting]
        asked = [p for p in going if p.job.registration.id not in free]
        split = limits.takes(self._limits, sofar, asked)
        self._keep("pull", split)
        held = {p.job.registration.id for several in split.held.values() for p in several}
        return [p for p in going if p.job.registration.id not in held]

    def _writes(self, planned: list[Planned]) -> list[Planned]:
        writing = [p for p in planned if p.plan.write]
        if self._limits is None or not writing:
            return planned
        with self._runtime.database.read() as session:
            counts = {**self._counts(session, HOUR), (limits.Cap.WRITES_PER_RUN, ""): self._in_run}
            sofar = limits.Sofar(counts, _active_links(session, self._connection))
            free = _standing(session, self._connection, writing, "push", "released")
        asked = [p for p in planned if p.job.registration.id not in free]
        split = limits.writes(self._limits, sofar, asked)
        self._in_run += split.counted.get((limits.Cap.WRITES_PER_RUN, ""), 0)
        self._keep("push", split)
        held = {p.job.registration.id for several in split.held.values() for p in several}
        return [p for p in planned if p.job.registration.id not in held]

    def _counts(self, session: Session, window: timedelta) -> dict[limits.Key, int]:
        since = self._runtime.database.clock() - window
        rows = session.execute(
            select(TallyRow.cap, TallyRow.about, func.sum(TallyRow.count))
            .where(TallyRow.connection == self._connection, TallyRow.minute > since)
            .group_by(TallyRow.cap, TallyRow.about)
        )
        return {(limits.Cap(cap), about): int(count) for cap, about, count in rows}

    def _keep(self, direction: str, split: limits.Split) -> None:
        if not split.held and not split.counted:
            return
        with self._runtime.database.begin() as unit:
            for (cap, about), several in sorted(split.held.items()):
                why = f"over the cap of {cap.value.replace('_', ' ')}"
                hold(
                    unit, self._connection, direction, cap.value, about,
                    why + (f" ({about})" if about else ""), several,
                )  # fmt: skip
            _count(unit, self._connection, split.counted)


def hold(
    unit: UnitOfWork,
    connection: ConnectionName,
    direction: str,
    cap: str,
    about: str,
    why: str,
    planned: Sequence[Planned],
) -> None:
    """Keep plans in the open item of a cap, made if need be, and let their records wait."""
    row = _open_item(unit, connection, direction, cap, about, why)
    unit.lock_all(OutboxRow, [(p.job.registration.id, connection) for p in planned])
    for p in planned:
        registration_id = p.job.registration.id
        pushing = direction == "push"
        taken = {n: v for group in p.plan.takes.values() for n, v in group.items()}
        values, link = p.plan.pushes if pushing else taken, p.job.link
        change = HeldChangeRow(
            held_id=row.id, registration_id=registration_id, connection=connection,
            object=p.job.mapping.object, record_id=link.record_id if link else None,
            payload=p.plan.write if pushing else taken,
            before=p.plan.before if pushing else {n: p.job.store.get(n) for n in taken},
            values=values,
            agreed=None if link is None else {n: link.base.get(n) for n in values},
        )  # fmt: skip
        unit.session.merge(change)
        outbox = unit.lock(OutboxRow, (registration_id, connection))
        if outbox is not None:
            outbox.state, outbox.reason = "held", f"{row.reason}; see: dealreg held show {row.id}"


def _open_item(
    unit: UnitOfWork, connection: ConnectionName, direction: str, cap: str, about: str, why: str
) -> HeldRow:
    unit.hold(f"held:{connection}")
    found = unit.session.scalars(
        select(HeldRow).where(
            HeldRow.connection == connection, HeldRow.direction == direction,
            HeldRow.cap == cap, HeldRow.about == about, HeldRow.state == "held",
        )
    ).first()  # fmt: skip
    if found is not None:
        return found
    made = HeldRow(
        id=unit.ids.new(), connection=connection, direction=direction, cap=cap, about=about,
        state="held", reason=why,
        opened_at=unit.now, first_by="", decided_at=None, decided_by="",
    )  # fmt: skip
    unit.session.add(made)
    unit.session.flush()
    audit.record(unit, f"connection:{connection}", "hold", {"held": made.id, "why": made.reason})
    log.warning("changes are held", connection=connection, reason=made.reason,
                hint=f"type: dealreg held show {made.id}")  # fmt: skip
    return made


def _count(unit: UnitOfWork, connection: ConnectionName, counted: Mapping[limits.Key, int]) -> None:
    if not counted:
        return
    minute = unit.now.replace(second=0, microsecond=0)
    rows = [
        {"connection": connection, "cap": cap.value, "about": about, "minute": minute, "count": n}
        for (cap, about), n in sorted(counted.items())
        if cap is not limits.Cap.WRITES_PER_RUN
    ]
    postgres = unit.session.get_bind().dialect.name == "postgresql"
    insert = (postgresql.insert if postgres else sqlite.insert)(TallyRow)
    added = insert.on_conflict_do_update(
        index_elements=["connection", "cap", "about", "minute"],
        set_={"count": TallyRow.count + insert.excluded.count},
    )
    unit.session.execute(added, rows)


def _active_links(session: Session, connection: ConnectionName) -> int:
    here = (LinkRow.connection == connection, LinkRow.state == "active")
    return session.scalar(select(func.count()).select_from(LinkRow).where(*here)) or 0


def _standing(
    session: Session,
    connection: ConnectionName,
    planned: Sequence[Planned],
    direction: str,
    state: str,
) -> set[str]:
    """Return the registrations of which a held item in this state holds this very change.

    While an item is open, what it holds of a registration stays held, whatever it has become.
    """
    rows = session.execute(
        select(HeldChangeRow.registration_id, HeldChangeRow.values)
        .join(HeldRow, HeldRow.id == HeldChangeRow.held_id)
        .where(
            HeldChangeRow.registration_id.in_([p.job.registration.id for p in planned]),
            HeldChangeRow.connection == connection,
            HeldRow.direction == direction,
            HeldRow.state == state,
        )
    )
    kept: dict[str, list[Fields]] = {}
    for registration_id, values in rows:
        kept.setdefault(registration_id, []).append(values)
    if state == "held":
        return set(kept)
    wanted = {p.job.registration.id: _wanted(p, direction) for p in planned}
    return {i for i, several in kept.items() if wanted[i] in several}


def _wanted(planned: Planned, direction: str) -> Fields:
    if direction == "push":
        return planned.plan.pushes
    return {n: v for group in planned.plan.takes.values() for n, v in group.items()}


def held(session: Session, *, everything: bool = False) -> list[Held]:
    """Return the items that wait for a person, oldest first; decided ones too if asked."""
    return _items(session, *(() if everything else (HeldRow.state == "held",)))


def item(session: Session, held_id: str) -> tuple[Held, list[HeldChange]]:
    """Return one item and the changes in it, by its id or an unambiguous part of it."""
    row = _row(session, held_id)
    changes = session.scalars(
        select(HeldChangeRow)
        .where(HeldChangeRow.held_id == row.id)
        .order_by(HeldChangeRow.registration_id)
    )
    (found,) = _items(session, HeldRow.id == row.id)
    return found, [
        HeldChange(c.registration_id, c.object, c.record_id, c.payload, c.before) for c in changes
    ]


def _items(session: Session, *where: ColumnElement[bool]) -> list[Held]:
    rows = session.execute(
        select(HeldRow, func.count(HeldChangeRow.registration_id))
        .outerjoin(HeldChangeRow, HeldChangeRow.held_id == HeldRow.id)
        .where(*where)
        .group_by(HeldRow.id)
        .order_by(HeldRow.opened_at)
    )
    return [
        Held(row.id, ConnectionName(row.connection), row.direction, row.cap, row.about, row.state,
             row.reason, count, row.opened_at, row.first_by, row.decided_at, row.decided_by)
        for row, count in rows
    ]  # fmt: skip


def release(runtime: Runtime, held_id: str, actor: Actor) -> Held:
    """Let the changes of an item go on, or undo its discard; they are read and planned again.

    An item of more records than `two_people_above` stays held until a second operating-system
    user says the same.
    """
    with runtime.database.begin(actor) as unit:
        row, records = _decidable(unit, held_id, ("held", "discarded"))
        connection = ConnectionName(row.connection)
        caps = runtime.limits.get(connection)
        if caps and caps.two_people_above and records > caps.two_people_above:
            if not actor.os_user:
                raise DomainRefusal(
                    f"{records} records need two people, and nobody knows who you are on this machine.",
                    hint="Type it as a user whom the operating system knows by name.",
                )
            if not row.first_by:
                row.first_by = actor.os_user
                audit.record(unit, f"connection:{connection}", "release (first of two)",
                             {"held": row.id, "records": records})  # fmt: skip
                return item(unit.session, row.id)[0]
            if row.first_by == actor.os_user:
                raise DomainRefusal(
                    f"{row.first_by} has released it already; {records} records need two people.",
                    hint=f"Somebody else types: dealreg held release {row.id}",
                )
        _decide(unit, row, "released", records)
        _reopen(unit, row)
        return item(unit.session, row.id)[0]


def discard(runtime: Runtime, held_id: str, actor: Actor, reason: str) -> Held:
    """Decline the changes of an item: both sides stay as they are, and it is not tried again."""
    if not reason.strip():
        raise DomainRefusal("A held item is discarded with a reason.", hint="Add --reason TEXT.")
    with runtime.database.begin(actor) as unit:
        row, records = _decidable(unit, held_id, ("held",))
        row.reason = f"{row.reason}; discarded: {reason}"
        _decide(unit, row, "discarded", records)
        _reopen(unit, row)  # what else has changed meanwhile may go on; the declined does not
        return item(unit.session, row.id)[0]


def _decidable(unit: UnitOfWork, held_id: str, states: tuple[str, ...]) -> tuple[HeldRow, int]:
    row = _row(unit.session, held_id)
    unit.hold(f"held:{row.connection}")
    unit.session.refresh(row)
    if row.state not in states:
        raise DomainRefusal(f"The held item {row.id} was {row.state} by {row.decided_by} already.")
    counted = select(func.count()).select_from(HeldChangeRow).where(HeldChangeRow.held_id == row.id)
    return row, unit.session.scalar(counted) or 0


def _decide(unit: UnitOfWork, row: HeldRow, state: str, records: int) -> None:
    row.state, row.decided_at, row.decided_by = state, unit.now, str(unit.actor)
    what = {"held": row.id, "why": row.reason, "records": records}
    audit.record(unit, f"connection:{row.connection}", f"{state} held changes", what)


def _reopen(unit: UnitOfWork, row: HeldRow) -> None:
    """Make every record of an item due, to be read and planned again."""
    changes = unit.session.scalars(
        select(HeldChangeRow).where(HeldChangeRow.held_id == row.id)
    ).all()
    connection = ConnectionName(row.connection)
    unit.session.execute(
        update(OutboxRow)
        .where(
            OutboxRow.connection == connection,
            # An open one may have ended while the change was declined, without a record to read.
            OutboxRow.state.in_(("held", "open")),
            OutboxRow.registration_id.in_(
                select(HeldChangeRow.registration_id).where(HeldChangeRow.held_id == row.id)
            ),
            OutboxRow.registration_id.not_in(  # what another item holds stays held
                select(HeldChangeRow.registration_id)
                .join(HeldRow, HeldRow.id == HeldChangeRow.held_id)
                .where(
                    HeldRow.connection == connection, HeldRow.state == "held", HeldRow.id != row.id
                )
            ),
        )
        .values(wanted=OutboxRow.wanted + 1, state="open", reason="", attempts=0, due_at=unit.now)
    )
    notices = [Notice(c.object, c.record_id) for c in changes if c.record_id]
    take_note(unit, connection, notices, "command")
    unit.nudges.add(f"push:{connection}")


def _row(session: Session, held_id: str) -> HeldRow:
    row = by_id(session, HeldRow, held_id)
    if row is None:
        raise NotFound(f"There is no held item {held_id}.", hint="Type: dealreg held list")
    return row
