"""Comparisons of a connection with its CRM: what they found, and the repair of it.

What differs is kept with its cause until the connection is compared again. A repair only makes
the records due: they are read and planned again, below the same caps and holds as every other
change, and so never written over what somebody has changed since. Comparing: `sync/repair/comparing.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select, tuple_
from sqlalchemy.orm import Session

from registration_core.contracts import ConnectionName
from registration_core.model import SYSTEM, Actor
from registration_core.store import audit
from registration_core.store.database import UnitOfWork
from sync.ledger.drift import DriftFindingRow, DriftRunRow
from sync.ledger.inbox import Notice, take_note
from sync.previews.previewing import Does
from sync.process.runtime import Runtime
from sync.repair.drifting import Finding

#: What is compared.
LINKS, ACCOUNTS = "links", "accounts"
#: Records that a repair makes due in one commit.
REPAIRED_AT_ONCE = 1_000
#: What a repair has nothing to do for.
IDLE = (Does.WAIT.value, Does.AGREE.value)


@dataclass(frozen=True)
class Tally:
    """How many records differ in one field for one cause, and what a repair would do."""

    field: str
    cause: str
    repair: str
    records: int


@dataclass(frozen=True)
class DriftRun:
    """One comparison."""

    id: str
    connection: ConnectionName
    #: `links` or `accounts`.
    kind: str
    state: str
    compared: int
    tally: tuple[Tally, ...]
    started_at: datetime
    finished_at: datetime | None
    repaired_at: datetime | None
    repaired_by: str

    @property
    def repairable(self) -> int:
        """How many differences a repair would do something about."""
        return sum(each.records for each in self.tally if each.repair not in IDLE)


def begin(runtime: Runtime, connection: ConnectionName, kind: str, actor: Actor = SYSTEM) -> str:
    """Return the comparison that runs, or begin one; findings of the one before go. Idempotent."""
    with runtime.database.begin(actor) as unit:
        return begin_in(unit, connection, kind)


def begin_in(unit: UnitOfWork, connection: ConnectionName, kind: str) -> str:
    """Do as `begin` in the caller's transaction."""
    unit.hold(f"drift:{connection}")
    found = running(unit.session, connection, kind)
    if found is not None:
        return found.id
    of_kind = (DriftRunRow.connection == connection, DriftRunRow.kind == kind)
    unit.session.execute(
        delete(DriftFindingRow).where(
            DriftFindingRow.run_id.in_(select(DriftRunRow.id).where(*of_kind))
        )
    )
    row = DriftRunRow(
        id=unit.ids.new(), connection=connection, kind=kind, state="running", cursor="",
        compared=0, tally={}, started_at=unit.now, finished_at=None, repaired_at=None,
        repaired_by="",
    )  # fmt: skip
    unit.session.add(row)
    return row.id


def unfinished(session: Session) -> list[tuple[ConnectionName, str]]:
    """Return connection and kind of every comparison that has to be gone on with."""
    rows = session.scalars(select(DriftRunRow).where(DriftRunRow.state == "running"))
    return [(ConnectionName(row.connection), row.kind) for row in rows]


def last(session: Session, connection: ConnectionName, kind: str = LINKS) -> DriftRun | None:
    """Return the newest comparison of a connection, finished or not."""
    row = session.scalars(
        select(DriftRunRow)
        .where(DriftRunRow.connection == connection, DriftRunRow.kind == kind)
        .order_by(DriftRunRow.started_at.desc())
        .limit(1)
    ).first()
    return None if row is None else run_of(row)


def findings(session: Session, run_id: str, most: int) -> list[Finding]:
    """Return the first of what differs."""
    rows = session.scalars(
        select(DriftFindingRow)
        .where(DriftFindingRow.run_id == run_id)
        .order_by(DriftFindingRow.registration_id, DriftFindingRow.field)
        .limit(most)
    )
    return [
        Finding(row.registration_id, row.object, row.record_id, row.field, row.cause,
                Does(row.repair), row.ours, row.theirs)
        for row in rows
    ]  # fmt: skip


def repair(runtime: Runtime, run_id: str, actor: Actor) -> int:
    """Make every record due that differs and can be mended; returns how many. Idempotent.

    The next pull reads and plans each again: what moved since is merged, and caps hold what is
    too much at once.
    """
    repaired, after = 0, ("", "")
    while True:
        with runtime.database.begin(actor) as unit:
            run = unit.session.get_one(DriftRunRow, run_id)
            records = _mendable(unit.session, run_id, after)
            noted = [Notice(name, record_id) for name, record_id in records]
            repaired += take_note(unit, ConnectionName(run.connection), noted, "command")
            if len(records) < REPAIRED_AT_ONCE:
                run.repaired_at, run.repaired_by = unit.now, str(unit.actor)
                what = {"run": run_id, "records": repaired}
                audit.record(unit, f"connection:{run.connection}", "repair drift", what)
                return repaired
        after = records[-1]


def _mendable(session: Session, run_id: str, after: tuple[str, str]) -> list[tuple[str, str]]:
    rows = session.execute(
        select(DriftFindingRow.object, DriftFindingRow.record_id)
        .where(
            DriftFindingRow.run_id == run_id,
            DriftFindingRow.repair.not_in(IDLE),
            tuple_(DriftFindingRow.object, DriftFindingRow.record_id) > after,
        )
        .distinct()
        .order_by(DriftFindingRow.object, DriftFindingRow.record_id)
        .limit(REPAIRED_AT_ONCE)
    )
    return [(row.object, row.record_id) for row in rows]


def keep_findings(unit: UnitOfWork, run_id: str, found: Sequence[Finding]) -> None:
    """Keep what differs, in the caller's transaction."""
    rows = [
        {
            "run_id": run_id, "registration_id": each.registration_id, "field": each.field,
            "object": each.object, "record_id": each.record_id, "cause": each.cause,
            "repair": each.repair.value, "ours": each.ours, "theirs": each.theirs,
        }
        for each in found
    ]  # fmt: skip
    if rows:
        unit.session.execute(insert(DriftFindingRow), rows)


def running(session: Session, connection: ConnectionName, kind: str) -> DriftRunRow | None:
    """Return the comparison that is not finished, if there is one."""
    return session.scalars(
        select(DriftRunRow).where(
            DriftRunRow.connection == connection, DriftRunRow.kind == kind,
            DriftRunRow.state == "running",
        )
    ).first()  # fmt: skip


def run_of(row: DriftRunRow) -> DriftRun:
    """Return a comparison as people see it, its largest differences first."""
    keys = {key: key.split("|") for key in row.tally}
    tally = [
        Tally(field, cause, repair, row.tally[key]) for key, (field, cause, repair) in keys.items()
    ]
    return DriftRun(
        row.id, ConnectionName(row.connection), row.kind, row.state, row.compared,
        tuple(sorted(tally, key=lambda t: (t.repair in IDLE, -t.records, t.field))),
        row.started_at, row.finished_at, row.repaired_at, row.repaired_by,
    )  # fmt: skip
