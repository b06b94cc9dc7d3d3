"""Notices: rumours that CRM records changed, from webhooks, polls and commands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

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
    unique = sorted(set(notices), key=lambda n: (n.object, n.record_id))
    for notice in unique:
        key = (connection, notice.object, notice.record_id)
        row = unit.session.get(InboxRow, key, with_for_update=True)
        if row is None:
            row = InboxRow(
                connection=connection, object=notice.object, record_id=notice.record_id,
                noticed=0, read=0, source=source, noticed_at=unit.now, due_at=unit.now, attempts=0,
            )  # fmt: skip
            unit.session.add(row)
        row.noticed += 1
        row.source, row.noticed_at, row.due_at = source, unit.now, unit.now
    if unique:
        unit.session.flush()
        unit.nudges.add(f"pull:{connection}")
    return len(unique)
