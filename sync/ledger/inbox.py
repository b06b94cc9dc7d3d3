"""Notices: rumours that CRM records changed, from webhooks, polls and commands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy.dialects import postgresql, sqlite

from registration_core.contracts import ConnectionName
from registration_core.store.database import UnitOfWork
from sync.ledger.tables import InboxRow


@dataclass(frozen=True)
class Notice:
    """One record that may have changed."""

    object: str
    record_id: str


def take_note(
    unit: UnitOfWork, connection: ConnectionName, notices: Iterable[Notice], source: str
) -> int:
    """Keep notices in the caller's transaction; repeats join. Returns how many records."""
    # In one order, so that two who note the same records wait for each other and never in a ring.
    unique = sorted(set(notices), key=lambda n: (n.object, n.record_id))
    if unique:
        rows = [
            {
                "connection": connection, "object": notice.object, "record_id": notice.record_id,
                "noticed": 1, "read": 0, "source": source, "noticed_at": unit.now,
                "due_at": unit.now, "attempts": 0,
            }
            for notice in unique
        ]  # fmt: skip
        unit.session.execute(_note(unit.session.get_bind().dialect.name), rows)
        unit.nudges.add(f"pull:{connection}")
    return len(unique)


def note_read(unit: UnitOfWork, rows: Sequence[InboxRow]) -> None:
    """Note what was read, up to the notices that had come before the read."""
    if not rows:
        return
    unit.lock_all(InboxRow, [(row.connection, row.object, row.record_id) for row in rows])
    for row in rows:
        now = unit.lock(InboxRow, (row.connection, row.object, row.record_id))
        if now is not None:
            now.read, now.attempts = max(now.read, row.noticed), 0


def _note(dialect: str) -> sqlite.Insert | postgresql.Insert:
    """Insert or join in one statement: the same news may come twice at the same moment."""
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    noted = insert(InboxRow)
    return noted.on_conflict_do_update(
        index_elements=["connection", "object", "record_id"],
        set_={
            "noticed": InboxRow.noticed + 1,
            "source": noted.excluded.source,
            "noticed_at": noted.excluded.noticed_at,
            "due_at": noted.excluded.due_at,
        },
    )
