"""What registrations are worth here, beside what their home CRMs were last agreed to hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from registration_core.program import Role
from registration_core.store.tables import RegistrationRow
from sync.ledger.tables import LinkRow

Sums = dict[str, Decimal]


@dataclass
class AtHome:
    """The registrations of one state that have a record in one home CRM."""

    records: int = 0
    #: Estimated amounts by currency.
    here: Sums = field(default_factory=dict)
    there: Sums = field(default_factory=dict)


def at_home(session: Session) -> Mapping[tuple[str, str], AtHome]:
    """Add up by state and home CRM; calls no CRM: what stands there is what was agreed last."""
    found: dict[tuple[str, str], AtHome] = defaultdict(AtHome)
    linked = (
        select(
            RegistrationRow.state, RegistrationRow.roles, RegistrationRow.currency,
            RegistrationRow.amount, LinkRow.connection, LinkRow.base,
        )
        .join(LinkRow, LinkRow.registration_id == RegistrationRow.id)
        .where(LinkRow.role == "primary", LinkRow.state == "active")
        .execution_options(yield_per=1_000)
    )  # fmt: skip
    for state, roles, currency, amount, connection, base in session.execute(linked):
        if roles.get(connection) != Role.HOME.value:
            continue
        sums = found[state, connection]
        sums.records += 1
        add(sums.here, currency, amount)
        if isinstance(base.get("amount"), Decimal):
            add(sums.there, str(base.get("currency")), base["amount"])
    return dict(sorted(found.items()))


def add(sums: Sums, currency: str, amount: Decimal) -> None:
    """Add an amount to those of its currency."""
    sums[currency] = sums.get(currency, Decimal(0)) + amount


def worded(sums: Mapping[str, Decimal]) -> str:
    """Word sums for people."""
    return ", ".join(f"{amount:,.0f} {currency}" for currency, amount in sorted(sums.items()))
