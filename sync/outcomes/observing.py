"""Below mode `push`: what would be written is recorded, and nothing is written."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, exists, update

from registration_core.store.tables import OutboxRow
from sync.gates.ladder import Rung, split
from sync.outcomes.settling import intend
from sync.plans.jobs import Planned
from sync.process.runtime import Runtime


def are_waiting(stands: Rung) -> ColumnElement[bool]:
    """Return the condition that rows were only recorded and need not be, at mode `push`."""
    return exists().where(*_watched(stands))


def _watched(stands: Rung) -> tuple[ColumnElement[bool], ...]:
    back = [_held_back(name) for name in stands.held_back]
    mine = OutboxRow.connection == stands.connection
    return mine, OutboxRow.state == "observed", OutboxRow.reason.not_in(back)


def _held_back(object_name: str) -> str:
    return f"{object_name} is held back: only recorded"


def end_observing(runtime: Runtime, stands: Rung) -> None:
    """Let rows that were only recorded go on, when the configuration has raised the mode."""
    with runtime.database.begin() as unit:
        unit.session.execute(
            update(OutboxRow)
            .where(*_watched(stands))
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
            name = p.job.mapping.object
            back = name in stands.held_back
            reason = _held_back(name) if back else f"mode {stands.mode}: only recorded"
            if p.plan.write:
                intent = intend(unit, stands.connection, p, p.job.link, {})
                intent.state, intent.settled_at = "observed", unit.now
            unit.session.execute(
                update(OutboxRow)
                .where(
                    OutboxRow.registration_id == p.job.registration.id,
                    OutboxRow.connection == stands.connection,
                )
                .values(state="observed", reason=reason)
            )
