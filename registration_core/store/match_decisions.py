"""What people said about matches: this account, or that customer, is the same one or another.

Kept by resolved customer, so that it holds for every registration of that customer and for
every later check; a later word replaces the earlier one, the audit trail has both.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import bindparam, delete, or_, select
from sqlalchemy.orm import Session

from registration_core.contracts import ConnectionName
from registration_core.model import Account
from registration_core.store.database import UnitOfWork
from registration_core.store.tables import CustomerRow, MatchDecisionRow

_SAID_OF = select(MatchDecisionRow.other, MatchDecisionRow.same).where(
    MatchDecisionRow.customer_id == bindparam("customer")
)


def account_key(account: Account) -> str:
    """Return the name by which decisions know an account."""
    return f"account:{account.connection}:{account.record_id}"


def made_for(
    unit: UnitOfWork, customer_id: str, connection: ConnectionName, record_id: str
) -> None:
    """Remember that an account was made here for a customer: no check need ask whose it is."""
    reason = "made here for this customer"
    keep(unit, customer_id, f"account:{connection}:{record_id}", same=True, reason=reason)


def customer_key(customer_id: str) -> str:
    """Return the name by which decisions know another customer."""
    return f"customer:{customer_id}"


def of_customer(session: Session, customer_id: str) -> dict[str, bool]:
    """Return what was said about a customer: key of the other → whether it is the same."""
    rows = session.execute(_SAID_OF, {"customer": customer_id})
    return {row.other: row.same for row in rows}


def said(session: Session, customer_id: str | None) -> list[dict[str, object]]:
    """Return what was said, newest first, about one customer or about all, for people to read."""
    query = select(MatchDecisionRow, CustomerRow.name).join(
        CustomerRow, CustomerRow.id == MatchDecisionRow.customer_id
    )
    if customer_id is not None:
        query = query.where(MatchDecisionRow.customer_id == customer_id)
    return [
        {
            "customer": name, "other": row.other, "said": "the same" if row.same else "another",
            "reason": row.reason, "decided_by": row.decided_by, "decided_at": row.decided_at,
        }
        for row, name in session.execute(query.order_by(MatchDecisionRow.decided_at.desc()))
    ]  # fmt: skip


def keep(unit: UnitOfWork, customer_id: str, other: str, *, same: bool, reason: str) -> None:
    """Remember what was said, on both sides where the other is a customer too."""
    sides = [(customer_id, other)]
    if other.startswith("customer:"):
        sides.append((other.removeprefix("customer:"), customer_key(customer_id)))
    for about, key in sides:
        _put(unit, MatchDecisionRow(
            customer_id=about, other=key, same=same, reason=reason,
            decided_by=str(unit.actor), decided_at=unit.now,
        ))  # fmt: skip


def join(unit: UnitOfWork, *, loser: str, winner: str) -> None:
    """Carry what was said about a customer over to the one that it turned out to be."""
    session = unit.session
    mine = of_customer(session, winner)
    gone = or_(MatchDecisionRow.customer_id == loser, MatchDecisionRow.other == customer_key(loser))
    rows = [_copied(row) for row in session.scalars(select(MatchDecisionRow).where(gone))]
    session.execute(delete(MatchDecisionRow).where(gone))
    session.expire_all()
    for row in rows:
        if row.customer_id == loser:
            row.customer_id = winner
        if row.other == customer_key(loser):
            row.other = customer_key(winner)
        about_itself = row.other == customer_key(row.customer_id)
        if not about_itself and not (row.customer_id == winner and row.other in mine):
            _put(unit, row)


def _put(unit: UnitOfWork, row: MatchDecisionRow) -> None:
    unit.session.merge(row)
    unit.session.flush()


def _copied(row: MatchDecisionRow) -> MatchDecisionRow:
    columns: Mapping[str, object] = {
        c.key: getattr(row, c.key) for c in MatchDecisionRow.__table__.columns
    }
    return MatchDecisionRow(**columns)
