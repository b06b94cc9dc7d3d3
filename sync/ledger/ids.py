"""Find a row by its id, or by an unambiguous beginning or end of it."""

from __future__ import annotations

from typing import TypeVar

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from registration_core.errors import InvalidInput
from sync.ledger.gates import HeldRow
from sync.ledger.tables import DeadLetterRow, LinkProposalRow, SyncConflictRow, SyncRunRow

#: Fewest characters that may stand for an id.
SHORT_MIN = 6


Row = TypeVar("Row", LinkProposalRow, SyncConflictRow, DeadLetterRow, HeldRow, SyncRunRow)


def by_id(session: Session, table: type[Row], text: str) -> Row | None:
    """Return the row, None if there is none; `InvalidInput` if several fit."""
    wanted = text.strip().lower()
    if len(wanted) < SHORT_MIN:
        raise InvalidInput(
            f"{text!r} is too short for an id.", hint=f"Give {SHORT_MIN} characters."
        )
    fits = or_(
        table.id == wanted,
        table.id.startswith(wanted, autoescape=True),
        table.id.endswith(wanted, autoescape=True),
    )
    rows = list(session.scalars(select(table).where(fits).limit(2)))
    if len(rows) > 1:
        raise InvalidInput(f"{text!r} fits several records.", hint="Give more characters.")
    return rows[0] if rows else None
