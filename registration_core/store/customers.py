"""Resolved customers: which registrations are about the same organisation.

Every function joins the caller's transaction and expects the store lock (`protection.hold_lock`)
to be held, because claims hang on customers.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select, update

from registration_core.matching import MatchKey
from registration_core.model import ClaimState, DisputeState, ProtectionState
from registration_core.store import audit, repository
from registration_core.store.database import UnitOfWork
from registration_core.store.tables import ClaimRow, CustomerKeyRow, CustomerRow, RegistrationRow

#: Keys that identify by themselves, strongest first. Domain or name alone never joins customers.
_IDENTIFYING = ("tax_id", "duns")


def resolve(unit: UnitOfWork, name: str, keys: Iterable[MatchKey]) -> str:
    """Return the id of the customer that these keys identify; makes one where there is none.

    Tax id and DUNS identify; domain and name together do. Whatever else is known is added.
    """
    keys = frozenset(keys)
    owners = repository.customers_with(unit.session, keys)
    found = _identified(keys, owners)
    if found is None:
        found = unit.ids.new()
        unit.session.add(CustomerRow(id=found, name=name, created_at=unit.now))
        unit.session.flush()
    _add_keys(unit, found, keys - owners.keys())
    return found


def learn(unit: UnitOfWork, customer_id: str, keys: Iterable[MatchKey]) -> str:
    """Add what a strongly matched account knows of a customer; returns the customer's id.

    Where the account's identifiers belong to another customer, the two are one: they are
    joined, and claims that now overlap are marked contested with a dispute, no loser chosen.
    """
    keys = frozenset(k for k in keys if k.kind in _IDENTIFYING)
    owners = repository.customers_with(unit.session, keys)
    for other in sorted(set(owners.values()) - {customer_id}):
        _join(unit, loser=other, winner=customer_id)
    _add_keys(unit, customer_id, keys - owners.keys())
    return customer_id


def _identified(keys: frozenset[MatchKey], owners: dict[MatchKey, str]) -> str | None:
    for kind in _IDENTIFYING:
        for key in sorted(keys, key=lambda k: (k.kind, k.value)):
            if key.kind == kind and key in owners:
                return owners[key]
    by_kind = {key.kind: owner for key, owner in owners.items()}
    both = by_kind.get("domain"), by_kind.get("name_country")
    return both[0] if both[0] is not None and both[0] == both[1] else None


def _add_keys(unit: UnitOfWork, customer_id: str, keys: Iterable[MatchKey]) -> None:
    unit.session.add_all(
        CustomerKeyRow(kind=k.kind, value=k.value, customer_id=customer_id) for k in keys
    )
    unit.session.flush()


def _join(unit: UnitOfWork, *, loser: str, winner: str) -> None:
    session = unit.session
    standing = ClaimRow.state == ClaimState.STANDING.value
    mine = {
        (c.product_line, c.slot): c
        for c in session.scalars(select(ClaimRow).where(ClaimRow.customer_id == winner, standing))
    }
    for claim in session.scalars(select(ClaimRow).where(ClaimRow.customer_id == loser, standing)):
        rival = mine.get((claim.product_line, claim.slot))
        if rival is not None:
            _contest(unit, claim, rival)
    session.flush()
    for table in (CustomerKeyRow, RegistrationRow, ClaimRow):
        session.execute(update(table).where(table.customer_id == loser).values(customer_id=winner))
    audit.record(unit, f"customer:{winner}", "join customers", {"joined": loser})


def _contest(unit: UnitOfWork, *claims: ClaimRow) -> None:
    for claim in claims:
        claim.state = ClaimState.CONTESTED.value
        row = unit.session.get_one(RegistrationRow, claim.registration_id)
        row.protection_state = ProtectionState.CONTESTED.value
        row.dispute_state = DisputeState.OPEN.value
        row.version, row.updated_at = row.version + 1, unit.now
        audit.record(
            unit,
            f"registration:{row.id}",
            "open dispute",
            {"because": "two protected customers turned out to be one", "claim": claim.id},
            partner={"message": "Your protection is being reviewed."},
        )
