"""Credit for won deals: recorded once per win, reversed by a reopen, never deleted."""

from __future__ import annotations

from sqlalchemy import func, select

from registration_core.model import Registration
from registration_core.store import audit
from registration_core.store.database import UnitOfWork
from registration_core.store.tables import AttributionRow


def record(unit: UnitOfWork, won: Registration) -> None:
    """Record the provisional credit of this win; a second call for the same win adds nothing."""
    open_credit = select(AttributionRow).where(
        AttributionRow.registration_id == won.id, AttributionRow.reversed_at.is_(None)
    )
    if unit.session.scalars(open_credit).first() is not None:
        return
    wins = unit.session.scalar(
        select(func.count())
        .select_from(AttributionRow)
        .where(AttributionRow.registration_id == won.id)
    )
    unit.session.add(
        AttributionRow(
            id=unit.ids.new(), registration_id=won.id, win=(wins or 0) + 1, partner_id=won.partner_id,
            kind="provisional", amount=won.won_amount, currency=won.currency, recorded_at=unit.now,
            reversed_at=None,
        )
    )  # fmt: skip
    audit.record(
        unit, f"registration:{won.id}", "record attribution", {"amount": won.won_amount, "currency": won.currency},
        partner={"credited": str(won.won_amount), "currency": won.currency},
    )  # fmt: skip


def reverse(unit: UnitOfWork, registration_id: str) -> None:
    """Take the standing credit of a reopened deal back; idempotent."""
    open_credit = select(AttributionRow).where(
        AttributionRow.registration_id == registration_id, AttributionRow.reversed_at.is_(None)
    )
    for row in unit.session.scalars(open_credit):
        row.reversed_at = unit.now
        audit.record(
            unit, f"registration:{registration_id}", "reverse attribution", {"win": row.win},
            partner={"message": "The credit was taken back because the deal was reopened."},
        )  # fmt: skip
