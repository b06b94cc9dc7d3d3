"""Below mode `push`: what would be written is recorded, and nothing is written."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, exists, update

from registration_core.contracts import ConnectionName
from registration_core.store.tables import OutboxRow
from sync.gates.ladder import Rung, split
from sync.outcomes.settling import intend
from sync.plans.jobs import Planned
from sync.process.runtime import Runtime


def are_waiting(connection: ConnectionName) -> ColumnElement[bool]:
    """Return the condition that rows of a connection were only recorded."""
    return exists().where(*_watched(connection))


def _watched(connection: ConnectionName) -> tuple[ColumnElement[bool], ...]:
    return OutboxRow.connection == connection, OutboxRow.state == "observed"


def end_observing(runtime: Runtime, connection: ConnectionName) -> None:
    """Let rows that were only recorded go on, when the configuration has raised the mode."""
    with runtime.database.begin() as unit:
        unit.session.execute(
            update(OutboxRow)
            .where(*_watched(connection))
            .values(state="open", reason="", due_at=unit.now)
        )


def allowed(runtime: Runtime, stands: Rung, planned: Sequence[Planned]) -> list[Planned]:
    """Return the plans that are carried out on this rung; the others are only recorded."""
    going, watched = split(runtime, stands, planned)
    _observe(runtime, stands, watched)
    return going


def _observe(runtime: Runtime, stands: Rung, planned: Sequence[Planned]) -> None:
    """Record what would be written, write nothing, and let the rows wait for a promotion."""
    if not planned:
        return
    with runtime.database.begin() as unit:
        for p in planned:
            if p.plan.write:
                intent = intend(unit, stands.connection, p, p.job.link, {})
                intent.state, intent.settled_at = "observed", unit.now
            unit.session.execute(
                update(OutboxRow)
                .where(
                    OutboxRow.registration_id == p.job.registration.id,
                    OutboxRow.connection == stands.connection,
                )
                .values(state="observed", reason=f"mode {stands.mode}: only recorded")
            )
