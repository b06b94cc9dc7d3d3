"""Mode `observe`: what would be written is recorded, and nothing is written."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select, update

from registration_core.contracts import ConnectionName
from registration_core.store.tables import OutboxRow
from sync.jobs import Planned
from sync.runtime import Runtime
from sync.settling import intend

#: Why a row waits in mode `observe`.
OBSERVED = "mode observe: nothing is written"


def end_observing(runtime: Runtime, connection: ConnectionName) -> None:
    """Let rows that waited for mode `push` go on."""
    with runtime.database.read() as session:
        waiting = session.scalars(
            select(OutboxRow.registration_id)
            .where(OutboxRow.connection == connection, OutboxRow.reason == OBSERVED)
            .limit(1)
        ).first()
    if waiting is None:
        return
    with runtime.database.begin() as unit:
        unit.session.execute(
            update(OutboxRow)
            .where(OutboxRow.connection == connection, OutboxRow.reason == OBSERVED)
            .values(state="open", reason="", due_at=unit.now)
        )


def observe(runtime: Runtime, connection: ConnectionName, planned: Sequence[Planned]) -> None:
    """Record what would be written, write nothing, and let the rows wait for mode `push`."""
    with runtime.database.begin() as unit:
        for p in planned:
            if p.plan.write:
                intent = intend(unit, connection, p, p.job.link, {})
                intent.state, intent.settled_at = "observed", unit.now
            unit.session.execute(
                update(OutboxRow)
                .where(
                    OutboxRow.registration_id == p.job.registration.id,
                    OutboxRow.connection == connection,
                )
                .values(state="waiting", reason=OBSERVED)
            )
