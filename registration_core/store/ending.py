"""Protections by their end, the earliest first: what the clock walks through, a few at a time."""

from __future__ import annotations

from datetime import date, timedelta

from sqlalchemy import ColumnElement, or_, tuple_
from sqlalchemy.orm import Session

from registration_core.model import ProtectionState, Registration, RegistrationState
from registration_core.store import repository
from registration_core.store.tables import RegistrationRow

#: Most registrations of one commit, so that nobody waits long for the store.
FEW = 200
_ends_on, _state = RegistrationRow.protection_ends_on, RegistrationRow.protection_state
_RUNNING = _state.in_((ProtectionState.ACTIVE.value, ProtectionState.EXPIRING.value))


def to_be_moved(session: Session, today: date, warn_until: date) -> list[Registration]:
    """Return a few approved registrations that have ended, or end soon and were not flagged."""
    return _few(
        session,
        RegistrationRow.state == RegistrationState.APPROVED.value,
        or_(
            _RUNNING & (_ends_on < today),
            (_state == ProtectionState.ACTIVE.value) & (_ends_on <= warn_until),
        ),
    )


def running(
    session: Session, today: date, days: int, after: tuple[date, str] | None
) -> list[Registration]:
    """Return a few protections that end in so many days or fewer.

    `after` is the end and the id of the last one that was returned; None to begin.
    """
    until = today + timedelta(days=days)
    rest = () if after is None else (tuple_(_ends_on, RegistrationRow.id) > after,)
    return _few(session, _RUNNING, _ends_on.between(today, until), *rest)


def _few(session: Session, *where: ColumnElement[bool]) -> list[Registration]:
    order = (_ends_on, RegistrationRow.id)
    return repository.registrations(session, *where, order=order, limit=FEW)
