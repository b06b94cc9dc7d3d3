"""How much of what registrations really say the tables of a mapping cover.

A table that maps partners to accounts, countries to owners or product lines to products is right
only as long as it names every value in use; the others wait, or go where the table's `"*"` says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mapping.schema import ConnectionMapping, Row
from mapping.transforms import ANY, Enum
from registration_core.customer_fields import SEVERAL
from registration_core.model import Customer
from registration_core.store.tables import PartnerRow, RegistrationRow

#: Most missing values that are named.
_SHOWN = 5
_PARTNERS = {
    "partner_code": PartnerRow.code,
    "partner_name": PartnerRow.name,
    "partner_tier": PartnerRow.tier,
}
_COLUMNS = {
    "product_line": RegistrationRow.product_line,
    "currency": RegistrationRow.currency,
    "deal_name": RegistrationRow.deal_name,
}
_CUSTOMERS = {f"customer_{f.name}": f.name for f in fields(Customer) if f.name not in SEVERAL}


@dataclass(frozen=True)
class Coverage:
    """One table held against the values in use."""

    where: str
    #: Our field, and the shared name of the table where it has one.
    field: str
    shared: str
    covered: int
    values: int
    #: Registrations with a covered value, of all that have one.
    registrations_covered: int
    registrations: int
    #: What is not in the table, the most used first.
    missing: tuple[str, ...]

    def __str__(self) -> str:
        name = f"table {self.shared} " if self.shared else "the table "
        return (
            f"{name}covers {self.covered} of {self.values} values of {self.field} in use, "
            f"{self.registrations_covered} of {self.registrations} registrations"
        )

    @property
    def remedy(self) -> str:
        """What to add."""
        if not self.missing:
            return ""
        more = f" and {len(self.missing) - _SHOWN} more" if len(self.missing) > _SHOWN else ""
        return f"add {', '.join(self.missing[:_SHOWN])}{more}"


def coverage(session: Session, mapping: ConnectionMapping) -> tuple[Coverage, ...]:
    """Hold every table over an open field of ours against the values that registrations have."""
    found: dict[tuple[str, str], Coverage] = {}
    users = [item.user.made for item in mapping.objects.values() if item.user is not None]
    for item in (*mapping.written().values(), *users):
        for row in item.rows:
            used = _in_use(session, row) if isinstance(row.transform, Enum) else None
            if used:
                found.setdefault((row.shared or row.where, row.ours.name), _of(row, used))
    return tuple(found.values())


def _of(row: Row, used: Mapping[str, int]) -> Coverage:
    assert isinstance(row.transform, Enum)
    listed = {option for option, _ in row.transform.options}
    missing = [] if ANY in listed else [value for value in used if value not in listed]
    missing.sort(key=lambda value: (-used[value], value))
    lost = sum(used[value] for value in missing)
    total = sum(used.values())
    return Coverage(
        row.where, row.ours.name, row.shared, len(used) - len(missing), len(used), total - lost,
        total, tuple(missing),
    )  # fmt: skip


def _in_use(session: Session, row: Row) -> Mapping[str, int] | None:
    """Return how many registrations have which value; None for a field that is not counted."""
    name = row.ours.name
    if name in _PARTNERS:
        column = _PARTNERS[name]
        query = select(column, func.count()).join(
            RegistrationRow, RegistrationRow.partner_id == PartnerRow.id
        )
        return {value: count for value, count in session.execute(query.group_by(column)) if value}
    if name in _COLUMNS:
        column = _COLUMNS[name]
        counted = session.execute(select(column, func.count()).group_by(column))
        return {value: count for value, count in counted if value}
    if name in _CUSTOMERS:
        customers = session.scalars(select(RegistrationRow.customer))
        values = (str(getattr(each, _CUSTOMERS[name])) for each in customers)
        return Counter(value for value in values if value)
    return None
