"""How things stand: what is due, waiting, dead, paused, and how fresh each connection is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from registration_core.contracts import ConnectionName, Mode
from registration_core.store.tables import (
    Base,
    CheckRequestRow,
    DisputeRow,
    OutboxRow,
    RegistrationRow,
)
from sync.gates import ladder
from sync.ledger.gates import HeldRow
from sync.ledger.tables import (
    ConnectionStateRow,
    CursorRow,
    DeadLetterRow,
    InboxRow,
    LinkProposalRow,
    LinkRow,
    SyncConflictRow,
    SyncRunRow,
)
from sync.mappings.mapping_versions import digests
from sync.mappings.schema_watch import standing_still
from sync.process.runtime import Runtime
from sync.traffic.switch import Stop, stopping


@dataclass(frozen=True)
class ConnectionStatus:
    """How one connection stands."""

    name: ConnectionName
    mode: Mode
    #: Why it cannot be used at all; empty when it can.
    problems: tuple[str, ...]
    org_id: str | None
    paused_until: datetime | None
    #: The last failure; empty after a success.
    reason: str
    outbox_due: int
    outbox_waiting: int
    outbox_dead: int
    inbox_due: int
    orphaned_links: int
    last_run: str
    last_run_at: datetime | None
    #: The CRM's clock up to which accounts were read.
    accounts_as_of: datetime | None
    #: The stop that a person has put on it or on everything.
    stop: Stop | None
    #: Says that the mapping file is not what is in force; empty when it is.
    draft: str
    #: Objects that stand below their connection.
    held_back: Mapping[str, Mode]
    #: Objects whose live schema does not fit the mapping, each with the reason; they stand still.
    standing_still: Mapping[str, str]

    @property
    def state(self) -> str:
        """Return the one word for how it is: what keeps it from working, gravest first."""
        if self.problems:
            return "unusable"
        if self.stop is not None:
            return "writes stopped" if self.stop.writes_only else "stopped"
        if self.paused_until:
            return "paused"
        return "in part" if self.standing_still else "ready"

    @property
    def why(self) -> str:
        """Return why it is not ready; empty when it is."""
        if self.problems:
            return "; ".join(self.problems)
        if self.stop is not None:
            return f"by {self.stop.stopped_by}: {self.stop.reason or 'no reason was given'}"
        still = [f"{name} stands still: {why}" for name, why in self.standing_still.items()]
        back = [f"{name} is held back at {mode}" for name, mode in self.held_back.items()]
        return "; ".join(each for each in (self.reason, *back, *still, self.draft) if each)


@dataclass(frozen=True)
class Status:
    """How everything stands."""

    connections: tuple[ConnectionStatus, ...]
    registrations: Mapping[str, int]
    checks_due: int
    open_disputes: int
    open_conflicts: int
    link_proposals: int
    dead_letters: int
    #: Items over a cap.
    held: int

    @property
    def needs_a_person(self) -> bool:
        """Whether somebody has to decide something."""
        return bool(
            self.open_disputes
            or self.open_conflicts
            or self.link_proposals
            or self.dead_letters
            or self.held
        )


def status(runtime: Runtime) -> Status:
    """Read how everything stands; calls no CRM."""
    with runtime.database.read() as session:
        names = sorted({*runtime.modes, *runtime.problems})
        states = session.execute(
            select(RegistrationRow.state, func.count()).group_by(RegistrationRow.state)
        )
        return Status(
            connections=tuple(
                _connection(runtime, session, rung)
                for rung in ladder.rungs(runtime, session, names).values()
            ),
            registrations={row.state: row[1] for row in states},
            checks_due=_count(
                session, CheckRequestRow, CheckRequestRow.due_at <= runtime.database.clock()
            ),
            open_disputes=_count(session, DisputeRow, DisputeRow.decided_at.is_(None)),
            open_conflicts=_count(session, SyncConflictRow, SyncConflictRow.state == "open"),
            link_proposals=_count(session, LinkProposalRow, LinkProposalRow.state == "proposed"),
            dead_letters=_count(session, DeadLetterRow, DeadLetterRow.state == "open"),
            held=_count(session, HeldRow, HeldRow.state == "held"),
        )


def _connection(runtime: Runtime, session: Session, rung: ladder.Rung) -> ConnectionStatus:
    name = rung.connection
    state = session.get(ConnectionStateRow, name)
    run = session.scalars(
        select(SyncRunRow)
        .where(SyncRunRow.connection == name, SyncRunRow.kind == "poll")
        .order_by(SyncRunRow.started_at.desc())
        .limit(1)
    ).first()
    mapping = runtime.mappings.get(name)
    cursor = session.get(CursorRow, (name, mapping.accounts.object)) if mapping else None
    outbox = OutboxRow.connection == name
    behind = OutboxRow.done < OutboxRow.wanted
    return ConnectionStatus(
        name=name,
        mode=rung.mode,
        held_back=rung.held_back,
        problems=tuple(str(problem) for problem in runtime.problems.get(name, ())),
        org_id=state.org_id if state else None,
        paused_until=state.paused_until if state else None,
        reason=state.reason if state else "",
        outbox_due=_count(session, OutboxRow, outbox, behind, OutboxRow.state == "open"),
        outbox_waiting=_count(
            session, OutboxRow, outbox, behind, OutboxRow.state.in_(("waiting", "observed", "held"))
        ),
        outbox_dead=_count(session, OutboxRow, outbox, behind, OutboxRow.state == "dead"),
        inbox_due=_count(
            session, InboxRow, InboxRow.connection == name, InboxRow.read < InboxRow.noticed
        ),
        orphaned_links=_count(
            session, LinkRow, LinkRow.connection == name, LinkRow.state == "orphaned"
        ),
        last_run=run.state if run else "",
        last_run_at=run.started_at if run else None,
        accounts_as_of=cursor.as_of if cursor else None,
        draft=_draft(runtime, name, digests(session)),
        standing_still=standing_still(session, name),
        stop=stopping(session, name, writing=False) or stopping(session, name, writing=True),
    )


def _draft(runtime: Runtime, name: ConnectionName, known: Mapping[ConnectionName, str]) -> str:
    mine = runtime.drafts.get(name)
    if mine is None or known.get(name, mine) == mine:
        return ""
    return f"its mapping file is not in force; type: dealreg mapping apply {name}"


def _count(session: Session, table: type[Base], *where: ColumnElement[bool]) -> int:
    return session.scalar(select(func.count()).select_from(table).where(*where)) or 0
