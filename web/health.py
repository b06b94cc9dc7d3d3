"""Whether this process can do its work: the store answers and its tables are the program's.

A CRM that is away or a connection that is paused is not the process's failure, so it is told
and does not count. Answers name connections, and nothing that is in the store or a CRM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from migrations import standing
from migrations.standing import Tables
from registration_core.contracts import ConnectionName, Mode
from registration_core.store.database import StoreUnavailable
from sync.gates import ladder
from sync.ledger.tables import ConnectionStateRow
from sync.process.runtime import Runtime

#: What says that the store cannot do it now: unreachable, locked, full, out of connections.
STORE_AWAY = (StoreUnavailable, OperationalError, PoolTimeout)


@dataclass(frozen=True)
class Readiness:
    """What `/readyz` answers."""

    #: `answers` or `away`.
    store: str
    #: One of `Tables`, or `unknown` while the store is away.
    tables: str
    #: By connection: `ready`, `paused`, `off`, `unusable`, or `unknown` while the store is away.
    connections: Mapping[ConnectionName, str]

    @property
    def ready(self) -> bool:
        """Whether work may be sent here; a version takes away nothing that the one before needs."""
        return self.tables in (Tables.CURRENT, Tables.NEWER)

    def as_json(self) -> dict[str, object]:
        """Word it for the answer."""
        return {
            "ready": self.ready,
            "store": self.store,
            "tables": self.tables,
            "connections": dict(self.connections),
        }


def readiness(runtime: Runtime) -> Readiness:
    """Ask the store; two small reads, and no call to a CRM."""
    names = sorted({*runtime.modes, *runtime.problems})
    unknown = dict.fromkeys(names, "unknown")
    try:
        with runtime.database.read() as session:
            tables = standing.of(standing.version_in(session.connection())).tables
            if tables is Tables.OUTDATED:
                return Readiness("answers", tables, unknown)
            rows = session.scalars(select(ConnectionStateRow))
            paused = {ConnectionName(row.connection): row.paused_until for row in rows}
            stands = ladder.rungs(runtime, session, names)
    except STORE_AWAY:
        return Readiness("away", "unknown", unknown)
    now = runtime.database.clock()
    states = {name: _state(runtime, stands[name], paused.get(name), now) for name in names}
    return Readiness("answers", tables, states)


def _state(
    runtime: Runtime, stands: ladder.Rung, paused_until: datetime | None, now: datetime
) -> str:
    if stands.connection in runtime.problems:
        return "unusable"
    if stands.mode is Mode.OFF:
        return "off"
    return "paused" if paused_until is not None and paused_until > now else "ready"
