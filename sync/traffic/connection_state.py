"""The one row that all workers share of a connection: its failures, its pause, since when it answers."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select

from connectors.errors import AuthenticationFailed, ConnectorError, NotPermitted, RateLimited
from registration_core.contracts import ConnectionName
from registration_core.store.database import Database, UnitOfWork
from registration_core.store.tables import CheckRequestRow
from sync.ledger.tables import ConnectionStateRow

#: Longest pause after a CRM that is away, in seconds.
AWAY_PAUSE_SECONDS_MAX = 30
#: Pause after refused credentials or a missing permission, in seconds.
REFUSED_PAUSE_SECONDS = 300


def held(unit: UnitOfWork, connection: str) -> ConnectionStateRow:
    """Return a connection's row, made if need be, for nobody else to change until the commit."""
    unit.hold(f"connection:{connection}")  # a row that is not there yet cannot be locked
    row = unit.session.get(ConnectionStateRow, connection)
    if row is None:
        row = ConnectionStateRow.fresh(connection)
        unit.session.add(row)
    return row


def note_failure(database: Database, connection: ConnectionName, error: ConnectorError) -> None:
    """Count a failed call, and pause the connection for everybody where the failure calls for it."""
    with database.begin() as unit:
        row = held(unit, connection)
        row.failures += 1
        pause = _pause_seconds(error, row.failures)
        if pause:
            row.paused_until = unit.now + timedelta(seconds=pause)
        if isinstance(error, RateLimited):
            row.quiet_until = row.paused_until
        row.reason = error.message


def note_success(database: Database, connection: ConnectionName, failures: int) -> None:
    """Lift the pause after a call that went well, unless more than these failures were counted.

    Where an outage is over, what waited for it goes on at once.
    """
    with database.begin() as unit:
        row = held(unit, connection)
        if row.failures != failures:
            return  # it failed anew while this call was under way: that pause stands
        was_away = row.paused_until is not None and failures > 1
        row.failures, row.paused_until, row.reason, row.seen_at = 0, None, "", unit.now
        unit.nudges |= {"check", f"push:{connection}", f"pull:{connection}"}
        if not was_away:
            # One call was refused among others that go well. What it kept waiting is repeated at
            # its own time: two checks that ask for it would wake one another for ever.
            return
        # Checks that were incomplete, perhaps because of this connection, need not wait longer.
        # One that somebody else is changing is let be: nobody waits in a circle for it.
        waiting = (
            select(CheckRequestRow)
            .where(CheckRequestRow.attempts > 0)
            .with_for_update(skip_locked=True)
        )
        for request in unit.session.scalars(waiting):
            request.due_at = unit.now


def _pause_seconds(error: ConnectorError, failures: int) -> float:
    if isinstance(error, RateLimited):
        return error.retry_after_seconds
    if isinstance(error, AuthenticationFailed | NotPermitted):
        return REFUSED_PAUSE_SECONDS
    if error.code == "crm_unavailable":
        return float(min(2 ** (failures - 1), AWAY_PAUSE_SECONDS_MAX))
    return 0.0
