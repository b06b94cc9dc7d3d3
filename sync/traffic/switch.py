"""The kill switch: a person stops the traffic with one CRM or all, at once, and lets it go on.

A stop is a row of the store, read before every call, so that it works without the broker and is
in force everywhere as soon as it is committed, but for the call that is under way. What comes in
meanwhile (registrations, webhooks) is kept; nothing is lost and nothing is tried in vain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from connectors.errors import ConnectorError
from registration_core.contracts import ConnectionName
from registration_core.model import Actor
from registration_core.store import audit
from registration_core.store.database import Database
from sync.ledger.gates import StopRow

#: The scope of a stop that is about every connection.
EVERYWHERE = "*"


class Stopped(ConnectorError):
    """A person has stopped this traffic; it goes on when somebody resumes it."""

    code = "stopped"


@dataclass(frozen=True)
class Stop:
    """A stop that is in force."""

    #: A connection, or `EVERYWHERE`.
    scope: str
    #: Only writing is stopped: changes of the CRM are still taken in and checks still read.
    writes_only: bool
    reason: str
    stopped_by: str
    stopped_at: datetime

    def covers(self, connection: str, *, writing: bool) -> bool:
        """Whether this stops reading from, or writing to, a connection."""
        return self.scope in (EVERYWHERE, connection) and (writing or not self.writes_only)


def stop(
    database: Database, actor: Actor, scope: str, *, writes_only: bool, reason: str = ""
) -> Stop:
    """Stop a connection or, with `EVERYWHERE`, all; stopping again replaces what was said before."""
    with database.begin(actor) as unit:
        unit.hold(f"stop:{scope}")
        row = unit.session.get(StopRow, scope) or StopRow(scope=scope)
        row.writes_only, row.reason = writes_only, reason
        row.stopped_by, row.stopped_at = actor.name, unit.now
        unit.session.add(row)
        what = {"writes_only": writes_only, "reason": reason}
        audit.record(unit, f"connection:{scope}", "stop", what)
        return _stop(row)


def resume(database: Database, actor: Actor, scope: str) -> bool:
    """Lift the stop of a connection or of all; False where there was none. Wakes the workers."""
    with database.begin(actor) as unit:
        row = unit.session.get(StopRow, scope, with_for_update=True)
        if row is None:
            return False
        unit.session.delete(row)
        audit.record(unit, f"connection:{scope}", "resume", {"stopped_by": row.stopped_by})
        return True


def stops(session: Session) -> Sequence[Stop]:
    """Return every stop in force, the one of everything first."""
    return [_stop(row) for row in session.scalars(select(StopRow).order_by(StopRow.scope))]


def stopping(session: Session, connection: str, *, writing: bool) -> Stop | None:
    """Return the stop that keeps a connection from reading or writing, if there is one."""
    rows = session.scalars(select(StopRow).where(StopRow.scope.in_((EVERYWHERE, connection))))
    covering = (s for s in map(_stop, rows) if s.covers(connection, writing=writing))
    return next(covering, None)


def require_going(session: Session, connection: ConnectionName, *, writing: bool) -> None:
    """Raise `Stopped` while a person has stopped reading from, or writing to, a connection."""
    found = stopping(session, connection, writing=writing)
    if found is not None:
        about = "" if found.scope == EVERYWHERE else f" --connection {connection}"
        raise Stopped(
            f"{found.stopped_by} stopped {'writing to' if found.writes_only else 'all traffic with'}"
            f" {connection} at {found.stopped_at:%Y-%m-%d %H:%M} UTC"
            + (f": {found.reason}" if found.reason else "."),
            connection=connection,
            hint=f"To go on, type: dealreg resume{about}",
        )


def _stop(row: StopRow) -> Stop:
    return Stop(row.scope, row.writes_only, row.reason, row.stopped_by, row.stopped_at)
