"""Dead letters: what will not work by itself, listed, tried again, or put aside by a person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from registration_core.contracts import ConnectionName, Fields
from registration_core.errors import DomainRefusal, NotFound
from registration_core.model import Actor
from registration_core.store import audit, repository, work
from registration_core.store.announcements import AnnouncementRow
from registration_core.store.database import UnitOfWork
from sync.ledger.ids import by_id
from sync.ledger.inbox import Notice, take_note
from sync.ledger.tables import DeadLetterRow
from sync.outcomes import stamps
from sync.process.runtime import Runtime


@dataclass(frozen=True)
class DeadLetter:
    """Something that was tried, why it did not work, and what to type next."""

    id: str
    kind: str
    connection: ConnectionName
    registration_id: str | None
    object: str
    record_id: str | None
    payload: Fields
    code: str
    reason: str
    hint: str
    state: str
    created_at: datetime


def dead_letters(session: Session, *, everything: bool = False) -> list[DeadLetter]:
    """Return open dead letters, oldest first; settled ones too if asked."""
    query = select(DeadLetterRow).order_by(DeadLetterRow.created_at)
    if not everything:
        query = query.where(DeadLetterRow.state == "open")
    return [_letter(row) for row in session.scalars(query)]


def dead_letter(session: Session, letter_id: str) -> DeadLetter:
    """Return one dead letter by its id or an unambiguous part of it."""
    return _letter(_row(session, letter_id))


def was_refused(
    session: Session, registration_id: str, connection: ConnectionName, write: Fields
) -> bool:
    """Whether an open dead letter says that the CRM refused exactly this write.

    A notice about such a record brings nothing new: sending it again would only be refused again.
    """
    refused = session.scalars(
        select(DeadLetterRow.payload).where(
            DeadLetterRow.registration_id == registration_id,
            DeadLetterRow.connection == connection,
            DeadLetterRow.kind == "push",
            DeadLetterRow.state == "open",
        )
    )
    return any(payload == write for payload in refused)


def retry(runtime: Runtime, letter_id: str, actor: Actor) -> DeadLetter:
    """Make the work due again, planned on what both sides hold by then."""
    with runtime.database.begin(actor) as unit:
        row = _settle(unit, letter_id, "retried", "")
        stamps.retry(unit, row)
        if row.kind == "announce":
            told = unit.session.get_one(AnnouncementRow, row.record_id, with_for_update=True)
            told.state, told.attempts, told.due_at = "open", 0, unit.now
            return _letter(row)
        if row.registration_id is not None and row.kind != stamps.STAMP:
            registration = repository.registration(unit.session, row.registration_id)
            work.request_push(unit, registration, only=ConnectionName(row.connection))
        if row.record_id is not None and row.kind != stamps.STAMP:
            notice = Notice(row.object, row.record_id)
            take_note(unit, ConnectionName(row.connection), [notice], "command")
        return _letter(row)


def discard(runtime: Runtime, letter_id: str, actor: Actor, reason: str) -> DeadLetter:
    """Put a dead letter aside for good; it stays listed with `--all`."""
    if not reason.strip():
        raise DomainRefusal("A dead letter is discarded with a reason.", hint="Add --reason TEXT.")
    with runtime.database.begin(actor) as unit:
        return _letter(_settle(unit, letter_id, "discarded", reason))


def _settle(unit: UnitOfWork, letter_id: str, state: str, reason: str) -> DeadLetterRow:
    row = _row(unit.session, letter_id)
    if row.state != "open":
        raise DomainRefusal(f"The dead letter {row.id} was {row.state} already.")
    row.state, row.settled_at = state, unit.now
    subject = (
        f"registration:{row.registration_id}"
        if row.registration_id
        else f"connection:{row.connection}"
    )
    audit.record(unit, subject, f"{state} dead letter", {"letter": row.id, "reason": reason})
    return row


def _row(session: Session, letter_id: str) -> DeadLetterRow:
    row = by_id(session, DeadLetterRow, letter_id)
    if row is None:
        raise NotFound(
            f"There is no dead letter {letter_id}.", hint="Type: dealreg deadletter list"
        )
    return row


def _letter(row: DeadLetterRow) -> DeadLetter:
    return DeadLetter(
        row.id, row.kind, ConnectionName(row.connection), row.registration_id, row.object,
        row.record_id, row.payload, row.code, row.reason, row.hint, row.state, row.created_at,
    )  # fmt: skip
