"""Work that a commit makes due: outbox rows and check requests.

Each function joins the caller's transaction and notes a nudge that is sent after the commit;
a lost nudge costs seconds, the row stays.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from sqlalchemy import or_, select

from registration_core.contracts import ConnectionName
from registration_core.model import ProtectionState, Registration
from registration_core.program import Role
from registration_core.store.database import UnitOfWork
from registration_core.store.tables import CheckRequestRow, OutboxRow


def request_push(
    unit: UnitOfWork, registration: Registration, *, only: ConnectionName | None = None
) -> None:
    """Ask that every home and mirror of an approved registration is brought up to date.

    Safe to repeat: requests coalesce. A registration that was never approved is pushed nowhere.
    """
    if registration.protection_state is ProtectionState.NONE:
        return
    wanted = [
        connection
        for connection, role in registration.roles.items()
        if role is not Role.CHECK_ONLY and only in (None, connection)
    ]
    mine = OutboxRow.registration_id == registration.id
    rows = unit.session.scalars(
        select(OutboxRow)
        .where(mine, OutboxRow.connection.in_(wanted))
        .order_by(OutboxRow.connection)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    known = {row.connection: row for row in rows}
    for connection in wanted:
        row = known.get(connection)
        if row is None:
            row = OutboxRow(
                registration_id=registration.id,
                connection=connection,
                wanted=0,
                done=0,
                reason="",
                state="open",
                attempts=0,
                due_at=unit.now,
                changed_at=unit.now,
            )
            unit.session.add(row)
        row.wanted += 1
        row.due_at, row.changed_at = unit.now, unit.now
        if row.state in ("dead", "observed"):  # what changed may be the very thing refused
            row.state, row.attempts, row.reason = "open", 0, ""
        unit.nudges.add(f"push:{connection}")
    unit.session.flush()


def to_be_checked(unit: UnitOfWork, registration_ids: Collection[str]) -> dict[str, datetime]:
    """Return those of the registrations whose check is due or under way, or is to be repeated.

    With the time when it is, or was, due.
    """
    rows = unit.session.execute(
        select(CheckRequestRow.registration_id, CheckRequestRow.due_at).where(
            CheckRequestRow.registration_id.in_(registration_ids),
            or_(CheckRequestRow.due_at <= unit.now, CheckRequestRow.attempts > 0),
        )
    )
    return {row.registration_id: row.due_at for row in rows}


def request_checks(unit: UnitOfWork, reasons: Mapping[str, str]) -> None:
    """Ask for the checks of several registrations, each with its reason.

    All that a commit asks for at once: a circle of waiting is impossible only while everybody
    locks requests in one order.
    """
    for registration_id in sorted(reasons):
        request_check(unit, registration_id, reasons[registration_id])


def request_check(
    unit: UnitOfWork, registration_id: str, reason: str, after: timedelta = timedelta(0)
) -> None:
    """Ask for a conflict check; an earlier request keeps its earlier time."""
    due_at: datetime = unit.now + after
    row = unit.session.get(CheckRequestRow, registration_id, with_for_update=True)
    if row is None:
        unit.session.add(
            CheckRequestRow(
                registration_id=registration_id, reason=reason, due_at=due_at, attempts=0, version=1
            )
        )
    else:
        row.due_at, row.version = min(row.due_at, due_at), row.version + 1
        row.reason = reason
    unit.session.flush()
    if not after:
        unit.nudges.add("check")
