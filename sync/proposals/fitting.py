"""How surely an existing CRM record is a registration's deal. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from rapidfuzz import fuzz

from connectors.port import RemoteRecord
from mapping.schema import ObjectMapping
from mapping.translate import to_store
from registration_core.contracts import Fields
from registration_core.matching import fold_name
from registration_core.model import Band, Registration

#: From so many per cent on, two names of a deal count as one.
_NAMES_ALIKE = 88.0
#: So far apart may two expected closes be that count as one.
_CLOSES_APART = timedelta(days=31)
_COMPARED = frozenset({"deal_name", "amount", "currency", "expected_close_on"})
#: What people are shown of a record, by our names.
_SHOWN = {
    "name": "deal_name", "stage": "sales_stage", "amount": "amount", "currency": "currency",
    "close": "expected_close_on", "owner": "owner",
}  # fmt: skip


@dataclass(frozen=True)
class Candidate:
    """An existing record that may be a registration's, how surely, and what speaks for it."""

    object: str
    record_id: str
    evidence: Mapping[str, str]
    band: Band = Band.REVIEW
    #: What of the deal is the same on both sides: `name`, `amount`, `close`.
    agrees: tuple[str, ...] = ()


def compare(
    registration: Registration,
    record: RemoteRecord,
    mapping: ObjectMapping,
    account: str,
    band: Band,
    *,
    same: bool = True,
) -> Candidate:
    """Compare the deal that a record holds with a registration.

    `account` is its account, for people, `band` how surely that is the customer, and `same` whether
    its name says so, and not only that it may be. Strong takes a customer that is surely the same
    and a deal that is (its name, or its amount together with its expected close), or one of the
    same name with a deal of the same name and amount.
    """
    theirs = to_store(mapping, record.fields).fields
    agrees = tuple(_agreements(registration, theirs))
    same_deal = "name" in agrees or {"amount", "close"} <= set(agrees)
    told = {shown: theirs.get(ours) for shown, ours in _SHOWN.items()}
    evidence = {shown: str(value) for shown, value in told.items() if value is not None}
    if record.created_at is not None:
        evidence["created"] = f"{record.created_at:%Y-%m-%d}"
    evidence["account"] = f"{account}, {_HOW_SURE[band]}"
    evidence["agrees"] = ", ".join(agrees) or "nothing"
    sure = (band is Band.STRONG and same_deal) or (same and {"name", "amount"} <= set(agrees))
    return Candidate(
        record.object, record.record_id, evidence, Band.STRONG if sure else Band.REVIEW, agrees
    )


def lost(
    evidence: Mapping[str, str],
    registration: Registration,
    record: RemoteRecord,
    mapping: ObjectMapping,
) -> list[str]:
    """Return what spoke for a record when it was compared, and does not any more."""
    still = set(_agreements(registration, to_store(mapping, record.fields).fields))
    return [each for each in compared(evidence) if each not in still]


def compared(evidence: Mapping[str, str]) -> list[str]:
    """Return what agreed, of a record that was compared; empty of one that something else named."""
    agreed = evidence.get("agrees", "").split(", ")
    return [each for each in ("name", "amount", "close") if each in agreed]


def reads_of(mapping: ObjectMapping) -> set[str]:
    """Return the CRM's fields that a record is compared by."""
    return {name for row in mapping.rows if row.ours.name in _COMPARED for name in row.theirs}


_HOW_SURE = {Band.STRONG: "surely the customer", Band.REVIEW: "perhaps the customer"}


def _agreements(registration: Registration, theirs: Fields) -> Iterator[str]:
    name = theirs.get("deal_name")
    if isinstance(name, str) and _alike(registration.deal_name, name):
        yield "name"
    currency = theirs.get("currency")
    if theirs.get("amount") == registration.amount and currency in (None, registration.currency):
        yield "amount"
    close = theirs.get("expected_close_on")
    if isinstance(close, date) and abs(close - registration.expected_close_on) <= _CLOSES_APART:
        yield "close"


def _alike(ours: str, theirs: str) -> bool:
    return fuzz.token_sort_ratio(fold_name(ours), fold_name(theirs)) >= _NAMES_ALIKE
