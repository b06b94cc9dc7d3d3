"""A short wait before a drain, so that a trickle of changes travels together.

Each drain costs a CRM calls however little it brings. So it begins once its oldest work has waited
for a moment, or at once where a whole batch is due: under load nothing waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import select

from registration_core.contracts import ConnectionName
from registration_core.store.tables import OutboxRow
from sync.ledger.tables import InboxRow
from sync.process.runtime import Runtime

#: How old the oldest work gets before a drain that would not be full begins.
WINDOW = timedelta(milliseconds=250)


class Linger:
    """The waits of one process; safe between threads."""

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep
        self._lock = threading.Lock()
        self._waiting: set[str] = set()

    def gather(self, runtime: Runtime, work: str, connection: str) -> bool:
        """Wait until a drain is worth its calls; False if another thread waits for the same.

        That thread's drain begins later and so takes this nudge's work along.
        """
        kind = f"{work}:{connection}"
        with self._lock:
            if kind in self._waiting:
                return False
            self._waiting.add(kind)
        try:
            self._sleep(_seconds_left(runtime, work, ConnectionName(connection)))
        finally:
            with self._lock:
                self._waiting.remove(kind)
        return True


def _seconds_left(runtime: Runtime, work: str, connection: ConnectionName) -> float:
    if connection not in runtime.connectors:
        return 0.0
    able, now = runtime.connector(connection).capabilities, runtime.database.clock()
    full = able.write_batch if work == "push" else able.read_batch
    due = _due_since(runtime, work, connection, now, full)
    if not due or len(due) == full:
        return 0.0
    # Whatever another machine's clock says of the work, nobody waits longer than the window.
    return min(max(WINDOW - (now - due[0]), timedelta(0)), WINDOW).total_seconds()


def _due_since(
    runtime: Runtime, work: str, connection: ConnectionName, now: datetime, limit: int
) -> list[datetime]:
    """Return since when work is due, oldest first, at most `limit` of it."""
    outbox = select(OutboxRow.due_at).where(
        OutboxRow.connection == connection,
        OutboxRow.state == "open",
        OutboxRow.done < OutboxRow.wanted,
        OutboxRow.due_at <= now,
    )
    inbox = select(InboxRow.due_at).where(
        InboxRow.connection == connection,
        InboxRow.read < InboxRow.noticed,
        InboxRow.due_at <= now,
    )
    query, column = (outbox, OutboxRow.due_at) if work == "push" else (inbox, InboxRow.due_at)
    with runtime.database.read() as session:
        return list(session.scalars(query.order_by(column).limit(limit)))
