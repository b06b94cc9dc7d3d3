"""Disputes of protected registrations: why each was opened, and how a person decided it."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from registration_core.store.database import UnitOfWork
from registration_core.store.tables import DisputeRow, RegistrationRow


def note(unit: UnitOfWork, registration_id: str, because: str) -> None:
    """Note a dispute; one that is open already gets the new reason besides its own."""
    row = _open_row(unit.session, registration_id)
    if row is None:
        unit.session.add(
            DisputeRow(
                id=unit.ids.new(), registration_id=registration_id, because=because,
                opened_at=unit.now, decision="", reason="", decided_by="", decided_at=None,
            )
        )  # fmt: skip
    elif because not in row.because:
        row.because = f"{row.because}; {because}"
    unit.session.flush()


def settle(unit: UnitOfWork, registration_id: str, decision: str, reason: str) -> None:
    """Note how the open dispute of a registration was decided; nothing where there is none."""
    row = _open_row(unit.session, registration_id)
    if row is not None:
        row.decision, row.reason = decision, reason
        row.decided_by, row.decided_at = str(unit.actor), unit.now
        unit.session.flush()


def listed(session: Session, *, number: str = "", everything: bool) -> list[dict[str, object]]:
    """Return disputes for people to read, newest first; open ones, or all."""
    query = select(DisputeRow, RegistrationRow).join(
        RegistrationRow, RegistrationRow.id == DisputeRow.registration_id
    )
    if not everything:
        query = query.where(DisputeRow.decided_at.is_(None))
    if number:
        query = query.where(RegistrationRow.number == number.upper())
    return [
        {
            "number": registration.number, "customer": registration.customer.name,
            "product": registration.product_line, "protection": registration.protection_state,
            "because": row.because, "opened_at": row.opened_at, "decision": row.decision,
            "reason": row.reason, "decided_by": row.decided_by, "decided_at": row.decided_at,
        }
        for row, registration in session.execute(query.order_by(DisputeRow.opened_at.desc()))
    ]  # fmt: skip


def _open_row(session: Session, registration_id: str) -> DisputeRow | None:
    return session.scalars(
        select(DisputeRow).where(
            DisputeRow.registration_id == registration_id, DisputeRow.decided_at.is_(None)
        )
    ).first()
