"""What a connection may still ask of its CRM: a quota with a reserve, and a slow start.

The quota is the CRM's own, as it last told any worker. After the CRM has asked for quiet, all
workers together begin again with two calls a second and twice as many every five seconds, until
half a minute later nothing holds them back: whoever starts at full speed is throttled again.
Each process takes its part of a second in slices, so that not every call writes to the store.
Checks take no part in that: there are few, and a person waits for them. Searches, which HubSpot
counts apart and says nothing of, take turns.
"""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from connectors.errors import ConnectorError
from registration_core.contracts import ConnectionName
from registration_core.store.database import Database
from sync.ledger.tables import ConnectionStateRow
from sync.traffic import connection_state

#: How long what a CRM said of its quota counts; afterwards one call finds out anew.
BELIEVED_FOR = timedelta(minutes=10)
#: Calls in the first seconds after a CRM asked for quiet, of all workers together.
FIRST_CALLS = 2
#: After so long the calls of a second are doubled, and in the end no longer limited.
DOUBLING = timedelta(seconds=5)
UNLIMITED_AFTER = timedelta(seconds=30)
#: A process takes this part of a second's calls at once.
_SLICES_A_SECOND = 4
_SECOND = timedelta(seconds=1)
#: A search that waits for longer than this waits for nobody: the turns before it were taken by a
#: clock that went wrong, or by processes that are no more.
TURN_WAIT_MAX = timedelta(seconds=30)


class BudgetSpent(ConnectorError):
    """The CRM's call quota is spent down to the reserve that checks keep for themselves."""

    code = "crm_budget_spent"


def keep_reserve(row: ConnectionStateRow, now: datetime, reserve_percent: int) -> None:
    """Refuse once only the reserve is left; one call in ten minutes asks again.

    Raises:
        BudgetSpent: What is left is for checks.
    """
    if not row.calls_allowed or row.calls_used is None:
        return
    if row.calls_told_at is None or now - row.calls_told_at > BELIEVED_FOR:
        return
    left = row.calls_allowed - row.calls_used
    if left * 100 <= row.calls_allowed * reserve_percent:
        raise BudgetSpent(
            f"{row.calls_used} of {row.calls_allowed} calls of {row.connection} are used; "
            f"{reserve_percent} % are kept for checks.",
            connection=row.connection,
        )


def calls_per_second(quiet_until: datetime | None, now: datetime) -> int | None:
    """Return how many calls all workers together may make in a second; None for any number."""
    if quiet_until is None or now - quiet_until >= UNLIMITED_AFTER:
        return None
    doublings = max(now - quiet_until, timedelta(0)) // DOUBLING
    return int(FIRST_CALLS * 2**doublings)


class Slices:
    """The calls that this process may make in the present second; safe between threads."""

    def __init__(self, database: Database, connection: ConnectionName) -> None:
        self._database = database
        self._connection = connection
        self._lock = threading.Lock()
        self._second: datetime | None = None
        self._left = 0

    def take(self, calls: int) -> float:
        """Take one call of a second that has `calls` for all; returns 0, or the seconds to wait."""
        now = self._database.clock()
        if not self._taken(now, 0) and not self._taken(now, self._granted(calls)):
            return (_of(now) + _SECOND - now).total_seconds()
        return 0.0

    def _taken(self, now: datetime, more: int) -> bool:
        with self._lock:
            if self._second != _of(now):
                self._second, self._left = _of(now), 0
            self._left += more
            if not self._left:
                return False
            self._left -= 1
            return True

    def _granted(self, calls: int) -> int:
        """Ask the store for a slice of the second; 0 once all of it is given away."""
        with self._database.begin() as unit:
            row = connection_state.held(unit, self._connection)
            second = _of(unit.now)
            if row.slice_second is None or row.slice_second < second:
                row.slice_second, row.slice_taken = second, 0
            slice_ = min(max(calls // _SLICES_A_SECOND, 1), max(calls - row.slice_taken, 0))
            row.slice_taken += slice_
            return slice_


class SearchTurns:
    """The turns that all workers of a connection take at searching, so far apart as they ask."""

    def __init__(self, database: Database, connection: ConnectionName) -> None:
        self._database = database
        self._connection = connection

    def take(self, apart: float) -> float:
        """Take the next turn and leave `apart` seconds after it; returns the seconds until then."""
        with self._database.begin() as unit:
            row = connection_state.held(unit, self._connection)
            taken = row.search_at or unit.now
            at = taken if unit.now <= taken <= unit.now + TURN_WAIT_MAX else unit.now
            row.search_at = at + timedelta(seconds=apart)
            return (at - unit.now).total_seconds()


def _of(now: datetime) -> datetime:
    return now.replace(microsecond=0)
