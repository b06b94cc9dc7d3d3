"""What a channel manager and an operator look at every morning, read from the store alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Select, Text, exists, func, select, type_coerce
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from registration_core.contracts import ConnectionName
from registration_core.findings import FindingKind
from registration_core.model import SYSTEM, DisputeState, ProtectionState, RegistrationState
from registration_core.store.announcements import AnnouncementRow
from registration_core.store.tables import (
    AuditEventRow,
    CheckRequestRow,
    ConflictCheckRow,
    ListCountRow,
    OutboxRow,
    RegistrationRow,
)
from sync.accounts import emptiness
from sync.gates import ladder
from sync.ledger.drift import DriftRunRow
from sync.ledger.gates import HeldChangeRow, HeldRow
from sync.ledger.tables import (
    ConnectionStateRow,
    DeadLetterRow,
    InboxRow,
    LinkProposalRow,
    LinkRow,
    QuarantineRow,
    SyncConflictRow,
)
from sync.process.runtime import Runtime
from sync.repair import drift
from sync.reports.at_home import Sums, add, at_home, worded
from sync.traffic import switch

#: A registration that waited longer for a decision is overdue.
DECIDED_WITHIN = timedelta(days=2)
#: Protections that end sooner are told of.
ENDING_WITHIN = timedelta(days=14)
#: Most reasons to wait that are told apart.
REASONS_MAX = 10
#: Secrets of connections that end sooner are told of.
SECRETS_ENDING_WITHIN = timedelta(days=30)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Line:
    """One thing to know or to do, with what to type to look closer."""

    topic: str
    count: int
    about: str = ""
    #: The oldest of them, where age matters.
    since: datetime | None = None
    #: What they are worth, by currency, where that matters.
    value: str = ""
    command: str = ""
    #: Somebody has to do something.
    to_do: bool = False


def today(runtime: Runtime) -> list[Line]:
    """Read the morning's lines, what is to be done first; calls no CRM."""
    now = runtime.database.clock()
    with runtime.database.read() as session:
        lines = [
            line
            for part in (
                _decisions(session, now),
                _conflicts(session),
                _drift(session),
                _movement(session),
                _protections(session, now),
                _pipeline(session),
                _switched(runtime, session),
                _crms(session, now),
                _secrets(runtime, now),
                _untold(session, now - DAY),
            )
            for line in part
        ]
    return sorted((line for line in lines if line.count), key=lambda line: not line.to_do)


def _decisions(session: Session, now: datetime) -> Iterator[Line]:
    waiting = RegistrationRow.state == RegistrationState.UNDER_REVIEW.value
    late = RegistrationRow.submitted_at < now - DECIDED_WITHIN
    count, oldest = _count(session, RegistrationRow.submitted_at, waiting, late)
    yield Line("decisions overdue", count, "submitted more than two days ago", oldest,
               _worth(session, waiting, late), "dealreg approval list", to_do=True)  # fmt: skip
    yield Line("approved automatically", _automatic(session, now - DAY), "in the last day",
               command="dealreg registration list --state approved")  # fmt: skip
    for why, number in Counter(_incomplete(session)).most_common():
        yield Line("checks incomplete", number, why, command="dealreg approval list")
    unchecked = RegistrationRow.id.not_in(select(ConflictCheckRow.registration_id))
    approved = RegistrationRow.state == RegistrationState.APPROVED.value
    count, oldest = _count(session, RegistrationRow.created_at, approved, unchecked)
    yield Line("taken over, not checked yet", count, "protected on another system's word", oldest,
               _worth(session, approved, unchecked), "dealreg registration list --state approved")  # fmt: skip
    disputed = RegistrationRow.dispute_state == DisputeState.OPEN.value
    count, oldest = _count(session, RegistrationRow.updated_at, disputed)
    yield Line("disputes open", count, "somebody contests a protection", oldest,
               _worth(session, disputed), "dealreg dispute list", to_do=True)  # fmt: skip


def _automatic(session: Session, since: datetime) -> int:
    approved = session.scalars(
        select(AuditEventRow.body).where(
            AuditEventRow.at > since, AuditEventRow.action == "approve"
        )
    )
    return sum(json.loads(body)["actor"] == str(SYSTEM) for body in approved)


def _incomplete(session: Session) -> Iterator[str]:
    """Yield why each registration's newest check is incomplete, for those that wait for one."""
    newest = (
        select(ConflictCheckRow.registration_id, func.max(ConflictCheckRow.began_at).label("at"))
        .join(CheckRequestRow, CheckRequestRow.registration_id == ConflictCheckRow.registration_id)
        .group_by(ConflictCheckRow.registration_id)
        .subquery()
    )
    readings = session.scalars(
        select(ConflictCheckRow.readings).join(
            newest,
            (ConflictCheckRow.registration_id == newest.c.registration_id)
            & (ConflictCheckRow.began_at == newest.c.at),
        )
    )
    for several in readings:
        for reading in several:
            if reading.get("required", True) and not reading["complete"]:
                yield f"{reading['connection']}: {reading['reason']}"
                break


def _conflicts(session: Session) -> Iterator[Line]:
    is_open = SyncConflictRow.state == "open"
    count, oldest = _count(session, SyncConflictRow.opened_at, is_open)
    ids = select(SyncConflictRow.registration_id).where(is_open)
    yield Line("sync conflicts", count, "two sides changed one thing", oldest,
               _worth(session, RegistrationRow.id.in_(ids)),
               "dealreg conflict list", to_do=True)  # fmt: skip
    proposed = LinkProposalRow.state == "proposed"
    count, oldest = _count(session, LinkProposalRow.proposed_at, proposed)
    yield Line("link proposals", count, "an existing record may be the deal", oldest,
               command="dealreg link list", to_do=True)  # fmt: skip
    count, oldest = _count(session, LinkRow.changed_at, LinkRow.state == "orphaned")
    yield Line("orphaned links", count, "the CRM lost the record", oldest,
               command="dealreg link list", to_do=True)  # fmt: skip
    held = HeldRow.state == "held"
    _, oldest = _count(session, HeldRow.opened_at, held)
    changes = select(func.count()).select_from(HeldChangeRow).join(
        HeldRow, HeldRow.id == HeldChangeRow.held_id
    )  # fmt: skip
    yield Line("changes held", session.scalar(changes.where(held)) or 0, "over a cap", oldest,
               command="dealreg held list", to_do=True)  # fmt: skip
    for row in session.execute(
        select(DeadLetterRow.connection, func.count(), func.min(DeadLetterRow.created_at))
        .where(DeadLetterRow.state == "open")
        .group_by(DeadLetterRow.connection)
    ):
        yield Line("dead letters", row[1], row[0], row[2], command="dealreg deadletter list",
                   to_do=True)  # fmt: skip


def _drift(session: Session) -> Iterator[Line]:
    for name in session.scalars(select(DriftRunRow.connection).distinct()).all():
        run = drift.last(session, ConnectionName(name))
        if run is not None and run.state == "done" and run.repaired_at is None:
            yield Line("differences to repair", run.repairable, f"{name}, when last compared",
                       run.finished_at, command=f"dealreg drift {name} --last", to_do=True)  # fmt: skip


def _movement(session: Session) -> Iterator[Line]:
    behind = (OutboxRow.done < OutboxRow.wanted, OutboxRow.state == "open")
    for name, count, oldest in session.execute(
        select(OutboxRow.connection, func.count(), func.min(OutboxRow.changed_at))
        .where(*behind)
        .group_by(OutboxRow.connection)
    ):
        yield Line("changes to write", count, name, oldest, command="dealreg status")
    for name, reason, count, oldest in session.execute(
        select(OutboxRow.connection, OutboxRow.reason, func.count(), func.min(OutboxRow.changed_at))
        .where(*behind, OutboxRow.reason != "", OutboxRow.attempts == 0)
        .group_by(OutboxRow.connection, OutboxRow.reason)
        .order_by(func.min(OutboxRow.changed_at))
        .limit(REASONS_MAX)
    ):
        yield Line("changes that wait", count, f"{name}: {reason}", oldest,
                   command=f"dealreg mapping preview {name} --all", to_do=True)  # fmt: skip
    for name, count, oldest in session.execute(
        select(InboxRow.connection, func.count(), func.min(InboxRow.noticed_at))
        .where(InboxRow.read < InboxRow.noticed)
        .group_by(InboxRow.connection)
    ):
        yield Line("records to read", count, name, oldest, command="dealreg status")


def _protections(session: Session, now: datetime) -> Iterator[Line]:
    standing = RegistrationRow.protection_state.in_(
        (ProtectionState.ACTIVE.value, ProtectionState.EXPIRING.value)
    )
    ending = RegistrationRow.protection_ends_on <= (now + ENDING_WITHIN).date()
    count = session.scalar(
        select(func.count()).select_from(RegistrationRow).where(standing, ending)
    )
    yield Line("protections ending", count or 0, "within 14 days",
               value=_worth(session, standing, ending),
               command="dealreg protection list")  # fmt: skip
    direct = (standing, RegistrationRow.id.in_(_with_direct_deals()))
    count = session.scalar(select(func.count()).select_from(RegistrationRow).where(*direct))
    yield Line("direct deals on protected accounts", count or 0, "as last checked, disputed or not",
               value=_worth(session, *direct), command="dealreg dispute list --all")  # fmt: skip


def _with_direct_deals() -> Select[str]:
    """Select the registrations whose newest complete check found an open opportunity of others."""
    newer = aliased(ConflictCheckRow)
    superseded = exists().where(
        newer.registration_id == ConflictCheckRow.registration_id,
        newer.complete,
        newer.began_at > ConflictCheckRow.began_at,
    )
    told = f'"kind": "{FindingKind.OPEN_OPPORTUNITY.value}"'
    return select(ConflictCheckRow.registration_id).where(
        ConflictCheckRow.complete,
        type_coerce(ConflictCheckRow.findings, Text).contains(told),
        ~superseded,
    )


def _pipeline(session: Session) -> Iterator[Line]:
    for state, count in session.execute(
        select(RegistrationRow.state, func.count()).group_by(RegistrationRow.state)
    ):
        yield Line("registrations", count, state, value=_worth(session, RegistrationRow.state == state),
                   command=f"dealreg registration list --state {state}")  # fmt: skip
    for (state, home), found in at_home(session).items():
        there = "the same" if found.here == found.there else worded(found.there) or "nothing"
        yield Line("registrations at home", found.records, f"{state}: {home}, {there} there",
                   value=worded(found.here), command=f"dealreg drift {home}")  # fmt: skip


def _switched(runtime: Runtime, session: Session) -> Iterator[Line]:
    """Yield what people have stopped or held back, so that nobody forgets it."""
    for stop in switch.stops(session):
        everything = stop.scope == switch.EVERYWHERE
        what = "writing to" if stop.writes_only else "all traffic with"
        about = f"{what} {'every CRM' if everything else stop.scope}, by {stop.stopped_by}"
        yield Line("stopped by a person", 1, f"{about}: {stop.reason}".removesuffix(": "),
                   stop.stopped_at, to_do=True,
                   command="dealreg resume" + (f" --connection {stop.scope}" * (not everything)))  # fmt: skip
    for name, rung in ladder.rungs(runtime, session, sorted(runtime.modes)).items():
        back = ", ".join(f"{each} at {mode}" for each, mode in sorted(rung.held_back.items()))
        yield Line("objects held back", len(rung.held_back), f"{name}: {back}",
                   command=f"dealreg connection report {name}")  # fmt: skip


def _crms(session: Session, now: datetime) -> Iterator[Line]:
    for row in session.scalars(select(ConnectionStateRow).order_by(ConnectionStateRow.connection)):
        if row.paused_until is not None and row.paused_until > now:
            yield Line("connections paused", 1, f"{row.connection}: {row.reason}",
                       command=f"dealreg connection check {row.connection}", to_do=True)  # fmt: skip
        accept = f"dealreg connection accept-deletes {row.connection}"
        forget = f"{accept} && dealreg drift {row.connection} --accounts"
        for what, gone, command in (
            ("records", emptiness.links_gone(row, now), accept),
            ("accounts", emptiness.accounts_gone(session, row, now), forget),
        ):
            yield Line(f"{what} vanished at once", gone, f"{row.connection}, about: not believed",
                       command=command, to_do=True)  # fmt: skip
        if row.calls_allowed and row.calls_used is not None:
            yield Line("API calls used", row.calls_used,
                       f"{row.connection}: {row.calls_used * 100 // row.calls_allowed} % of "
                       f"{row.calls_allowed}", row.calls_told_at)  # fmt: skip
    strangers = select(
        QuarantineRow.connection, QuarantineRow.org_id, func.count(),
        func.min(QuarantineRow.received_at),
    ).group_by(QuarantineRow.connection, QuarantineRow.org_id)  # fmt: skip
    for connection, org_id, number, oldest in session.execute(strangers):
        yield Line("webhooks of another org", number, f"{connection}: org {org_id}", oldest,
                   command=f"dealreg connection check {connection}", to_do=True)  # fmt: skip
    for counted in session.scalars(
        select(ListCountRow).order_by(ListCountRow.connection, ListCountRow.kind)
    ):
        before = "" if counted.before is None else f"; {counted.before} on {counted.before_on}"
        yield Line("accounts on a list", counted.accounts,
                   f"{counted.connection}: {counted.kind}{before}", counted.counted_at)  # fmt: skip


def _untold(session: Session, since: datetime) -> Iterator[Line]:
    untold = (AnnouncementRow.state == "untold", AnnouncementRow.reason != "",
              AnnouncementRow.settled_at > since)  # fmt: skip
    for reason, count in session.execute(
        select(AnnouncementRow.reason, func.count()).where(*untold).group_by(AnnouncementRow.reason)
    ):
        yield Line(
            "partners not told",
            count,
            reason,
            command="dealreg partner reach CODE EMAIL",
            to_do=True,
        )


def _secrets(runtime: Runtime, now: datetime) -> Iterator[Line]:
    for name, ends_on in sorted(runtime.secrets_end.items()):
        if ends_on <= (now + SECRETS_ENDING_WITHIN).date():
            yield Line("secrets ending", 1, f"{name}: {ends_on}",
                       command=f"dealreg connection check {name}", to_do=True)  # fmt: skip


def _count(
    session: Session, at: InstrumentedAttribute[datetime], *where: ColumnElement[bool]
) -> tuple[int, datetime | None]:
    found = session.execute(select(func.count(), func.min(at)).where(*where)).one()
    return int(found[0]), found[1]


def _worth(session: Session, *where: ColumnElement[bool]) -> str:
    """Sum estimated amounts by currency; added up here, because SQLite would add them as floats."""
    sums: Sums = {}
    for currency, amount in session.execute(
        select(RegistrationRow.currency, RegistrationRow.amount).where(*where)
    ):
        add(sums, currency, amount)
    return worded(sums)
