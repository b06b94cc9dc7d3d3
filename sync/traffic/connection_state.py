"""The one row that all workers share of a connection, held for a change."""

from __future__ import annotations

from registration_core.store.database import UnitOfWork
from sync.ledger.tables import ConnectionStateRow


def held(unit: UnitOfWork, connection: str) -> ConnectionStateRow:
    """Return a connection's row, made if need be, for nobody else to change until the commit."""
    unit.hold(f"connection:{connection}")  # a row that is not there yet cannot be locked
    row = unit.session.get(ConnectionStateRow, connection)
    if row is None:
        row = ConnectionStateRow.fresh(connection)
        unit.session.add(row)
    return row
