"""Which other registrations are about a customer, or its family, or may be: found by evidence."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy.orm import Session

from registration_core.finding_claims import Rival
from registration_core.matching import MatchKey, Organisation, match_customer
from registration_core.model import Band
from registration_core.store import match_index, repository
from registration_core.store.tables import RegistrationRow


def rivals_of(
    session: Session,
    customer: Organisation,
    known: frozenset[MatchKey] = frozenset(),
    without: Collection[str] = (),
) -> list[Rival]:
    """Return the live registrations whose customer is this one, its family, or possibly so.

    Live is pending or approved. Found and judged by the same evidence as accounts (names,
    domains, identifiers, places), whatever customer a registration was resolved to; each comes
    with band, relation and evidence, strong ones first. `known` are exact keys learned from the
    customer's accounts, which count like typed ones; `without` are ids of registrations to leave
    out. At most `blocking.CANDIDATES_MAX`, from a bounded number of rows; writes nothing.
    """
    receipts = match_index.search_registrations(session, customer, known)
    live = repository.registrations(
        session, RegistrationRow.receipt_seq.in_(receipts), RegistrationRow.id.not_in(without)
    )
    found = [Rival(r, m) for r in live if (m := match_customer(customer, known, r.customer))]
    return sorted(found, key=lambda rival: rival.match.band is not Band.STRONG)
