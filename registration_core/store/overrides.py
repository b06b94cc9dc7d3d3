"""Who accepted the stale evidence of a check, by operating-system user."""

from __future__ import annotations

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from registration_core.store.database import UnitOfWork
from registration_core.store.tables import CheckOverrideRow, ConflictCheckRow

#: How many different people it takes.
PEOPLE = 2


def add(unit: UnitOfWork, check_id: str, reason: str) -> int:
    """Note that the actor accepts; returns how many different people do."""
    unit.session.merge(
        CheckOverrideRow(
            check_id=check_id, os_user=unit.actor.os_user, actor=str(unit.actor), reason=reason,
            given_at=unit.now,
        )
    )  # fmt: skip
    unit.session.flush()
    return count(unit.session, check_id)


def count(session: Session, check_id: str) -> int:
    """Return how many different people accepted a check."""
    query = select(func.count()).where(CheckOverrideRow.check_id == check_id)
    return session.scalar(query) or 0


def accepted() -> ColumnElement[bool]:
    """Return the condition on checks that enough people accepted them."""
    people = select(func.count()).where(CheckOverrideRow.check_id == ConflictCheckRow.id)
    return people.correlate(ConflictCheckRow).scalar_subquery() >= PEOPLE


def carry_over(session: Session, check_id: str, to: str) -> None:
    """Let what people accepted hold for the check that repeats it."""
    session.execute(
        update(CheckOverrideRow).where(CheckOverrideRow.check_id == check_id).values(check_id=to)
    )
