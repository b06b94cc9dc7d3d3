"""The go-live ladder: how far a connection goes, rung by rung, each climbed by a person.

`off → observe → link → canary → push`. The configuration says how far a connection may go; where
it stands is a row of the store. A production org starts no higher than `observe`, whatever the
configuration allows; a sandbox starts at the top. The ladder gates writes to the CRM: changes of
the CRM are taken in on every rung but `off`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from connectors.port import RemoteRecord
from registration_core.contracts import ConnectionName, Mode
from registration_core.errors import DomainRefusal, InvalidInput
from registration_core.model import Actor
from registration_core.store import audit, repository
from registration_core.store.database import UnitOfWork
from registration_core.store.tables import OutboxRow
from sync.ledger.gates import HeldRow, RungRow
from sync.ledger.tables import (
    DeadLetterRow,
    IntentRow,
    LinkProposalRow,
    LinkRow,
    SyncConflictRow,
)
from sync.plans.jobs import Planned, jobs_of, read_linked
from sync.process.runtime import Runtime

LADDER = tuple(Mode)


@dataclass(frozen=True)
class Rung:
    """Where a connection stands."""

    connection: ConnectionName
    mode: Mode
    #: As far as the configuration lets it go.
    highest: Mode
    #: Registrations that mode `canary` writes, and how many it may choose in all.
    canary: tuple[str, ...] = ()
    canary_most: int = 0
    changed_by: str = ""
    changed_at: datetime | None = None

    @property
    def links(self) -> bool:
        """Whether existing records are linked and proposed here."""
        return self.mode not in (Mode.OFF, Mode.OBSERVE)


@dataclass(frozen=True)
class Report:
    """What a promotion is decided on."""

    #: Registrations whose record would be made, and whose record would be changed.
    would_create: int
    would_update: int
    #: Fields that would have been written, by what people did with them since.
    people_did_the_same: int
    people_did_otherwise: int
    nobody_touched: int
    linked: int
    proposals_waiting: int
    open_conflicts: int
    held_items: int
    dead_letters: int


def rung(runtime: Runtime, connection: ConnectionName) -> Rung:
    """Read where a connection stands."""
    with runtime.database.read() as session:
        return rungs(runtime, session, [connection])[connection]


def rungs(
    runtime: Runtime, session: Session, names: Sequence[ConnectionName]
) -> Mapping[ConnectionName, Rung]:
    """Read where several connections stand; an unusable one is `off`."""
    rows = {r.connection: r for r in session.scalars(select(RungRow))}
    return {name: _rung(runtime, name, rows.get(name)) for name in names}


def _rung(runtime: Runtime, name: ConnectionName, row: RungRow | None) -> Rung:
    highest = runtime.modes.get(name, Mode.OFF)
    if row is None:
        return Rung(name, _lower(runtime.start_modes.get(name, highest), highest), highest)
    mode = _lower(Mode(row.mode), highest)
    return Rung(
        name, mode, highest, tuple(row.canary), row.canary_most, row.changed_by, row.changed_at
    )


def _lower(one: Mode, other: Mode) -> Mode:
    return min(one, other, key=LADDER.index)


def split(
    runtime: Runtime, stands: Rung, planned: Sequence[Planned]
) -> tuple[list[Planned], list[Planned]]:
    """Split plans into those that are carried out on this rung and those that are only recorded."""
    if stands.mode is Mode.PUSH:
        return list(planned), []
    if stands.mode is not Mode.CANARY:
        return [], list(planned)
    chosen = set(stands.canary)
    writing = [p.job.registration.id for p in planned if p.plan.write]
    free = stands.canary_most - len(chosen)
    new = [i for i in writing if i not in chosen][: max(free, 0)]
    if new:
        with runtime.database.begin() as unit:
            row = unit.session.get_one(
                RungRow, (stands.connection, _REGISTRATIONS), with_for_update=True
            )
            fits = max(row.canary_most - len(row.canary), 0)
            row.canary = [*row.canary, *[i for i in new if i not in row.canary][:fits]]
            chosen = set(row.canary)
    going = [p for p in planned if p.job.registration.id in chosen]
    return going, [p for p in planned if p.job.registration.id not in chosen]


def report(runtime: Runtime, connection: str) -> Report:
    """Hold what would have been written against what people did since. Reads the CRM."""
    crm = runtime.connector(connection)
    with runtime.database.read() as session:
        newest = _observed(session, crm.name)
        jobs = jobs_of(runtime, session, crm.name, dict.fromkeys(newest, 0))
        counts = _waiting(session, crm.name)
    same = otherwise = untouched = 0
    for job, record in read_linked(crm, jobs):
        if not isinstance(record, RemoteRecord):
            continue
        intent = newest[job.registration.id]
        for name, value in intent.payload.items():
            now = record.fields.get(name)
            same += now == value
            untouched += now != value and now == intent.before.get(name)
            otherwise += now not in (value, intent.before.get(name))
    linked = {job.registration.id for job in jobs if job.link is not None}
    return Report(
        would_create=len(newest.keys() - linked),
        would_update=len(linked),
        people_did_the_same=same,
        people_did_otherwise=otherwise,
        nobody_touched=untouched,
        **counts,
    )


def promote(
    runtime: Runtime,
    connection: str,
    actor: Actor,
    *,
    found: Report,
    to: Mode | None = None,
    canary: Sequence[str] = (),
    canary_most: int = 0,
) -> Rung:
    """Let a connection go one rung further, or as far as `to`; keeps the report it is based on.

    `found` is what it is decided on. Mode `canary` writes the registrations with these numbers,
    and as many more, as they come, as `canary_most` says.

    Raises:
        DomainRefusal: It stands there already, or the configuration does not let it go so far.
        InvalidInput: Mode `canary` without registrations.
    """
    stands = rung(runtime, runtime.connector(connection).name)
    wanted = to or LADDER[min(LADDER.index(stands.mode) + 1, len(LADDER) - 1)]
    if LADDER.index(wanted) <= LADDER.index(stands.mode) and wanted is not Mode.CANARY:
        raise DomainRefusal(
            f"{connection} is at {stands.mode} already.",
            hint=f"To go back, type: dealreg connection demote {connection} --to {wanted}",
        )
    if LADDER.index(wanted) > LADDER.index(stands.highest):
        raise DomainRefusal(
            f"connections.yaml lets {connection} go as far as {stands.highest}.",
            hint=f"Set modes.registrations of {connection} to {wanted} there first.",
        )
    if wanted is Mode.CANARY and not canary and not canary_most:
        raise InvalidInput(
            "Mode canary writes a few registrations: which?",
            hint="Add --registration NUMBER (repeatable) or --records N.",
        )
    with runtime.database.begin(actor) as unit:
        ids = [repository.registration(unit.session, number).id for number in canary]
        move(unit, stands, wanted, ids, len(ids) + canary_most, asdict(found))
    return rung(runtime, stands.connection)


def demote(runtime: Runtime, connection: str, actor: Actor, *, to: Mode | None = None) -> Rung:
    """Take a connection one rung back, or as far as `to`; in force with the next batch."""
    stands = rung(runtime, runtime.connector(connection).name)
    wanted = to or LADDER[max(LADDER.index(stands.mode) - 1, 0)]
    if LADDER.index(wanted) >= LADDER.index(stands.mode):
        raise DomainRefusal(
            f"{connection} is at {stands.mode}, which is no further than {wanted}.",
            hint=f"To go on, type: dealreg connection promote {connection}",
        )
    with runtime.database.begin(actor) as unit:
        move(unit, stands, wanted, stands.canary, stands.canary_most, {})
    return rung(runtime, stands.connection)


#: The kind of object that has rungs; others would have their own.
_REGISTRATIONS = "registrations"


def move(
    unit: UnitOfWork,
    stands: Rung,
    mode: Mode,
    canary: Sequence[str],
    canary_most: int,
    found: Mapping[str, object],
) -> None:
    """Put a connection on a rung, with what that was decided on, in the caller's transaction."""
    connection = stands.connection
    unit.hold(f"rung:{connection}")
    row = unit.session.get(RungRow, (connection, _REGISTRATIONS)) or RungRow(
        connection=connection, object=_REGISTRATIONS
    )
    row.mode, row.canary, row.canary_most = mode.value, list(canary), canary_most
    row.report, row.changed_by, row.changed_at = dict(found), str(unit.actor), unit.now
    unit.session.add(row)
    # What was only recorded is planned again, and ends as the new rung says.
    unit.session.execute(
        update(OutboxRow)
        .where(OutboxRow.connection == connection, OutboxRow.state == "observed")
        .values(state="open", reason="", due_at=unit.now)
    )
    up = LADDER.index(mode) > LADDER.index(stands.mode)
    audit.record(
        unit, f"connection:{connection}", "promote" if up else "demote",
        {"from": stands.mode.value, "to": mode.value, "canary": list(canary),
         "canary_most": canary_most, "report": dict(found)},
    )  # fmt: skip
    unit.nudges |= {f"push:{connection}", f"pull:{connection}"}


def _observed(session: Session, connection: ConnectionName) -> dict[str, IntentRow]:
    """Return the newest write that was only recorded, by registration."""
    rows = session.scalars(
        select(IntentRow)
        .where(IntentRow.connection == connection, IntentRow.state == "observed")
        .order_by(IntentRow.created_at, IntentRow.id)
    )
    return {row.registration_id: row for row in rows}


def _waiting(session: Session, connection: ConnectionName) -> dict[str, int]:
    def count(table: type[LinkRow | LinkProposalRow | SyncConflictRow | HeldRow | DeadLetterRow],
              state: str) -> int:  # fmt: skip
        where = (table.connection == connection, table.state == state)
        return session.scalar(select(func.count()).select_from(table).where(*where)) or 0

    return {
        "linked": count(LinkRow, "active"),
        "proposals_waiting": count(LinkProposalRow, "proposed"),
        "open_conflicts": count(SyncConflictRow, "open"),
        "held_items": count(HeldRow, "held"),
        "dead_letters": count(DeadLetterRow, "open"),
    }
