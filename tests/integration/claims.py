"""What must hold of claims and registrations at any moment."""

from __future__ import annotations

from collections import Counter

from registration_core.claims import ClaimState
from registration_core.model import DisputeState, ProtectionState, RegistrationState
from registration_core.store import audit, repository
from registration_core.store.database import Database

#: Slots of the product lines that protect.
SLOTS = {"platform": 1, "support": 2}


def standing(database: Database) -> Counter[tuple[str, str]]:
    """Return how many standing claims each customer and product line has."""
    with database.read() as session:
        claims = repository.claims(session)
    return Counter(
        (c.customer_id, c.product_line) for c in claims if c.state is ClaimState.STANDING
    )


def require_consistent(database: Database) -> None:
    """Every standing claim is an active registration's, and no scope has more than it may."""
    assert all(count <= SLOTS[line] for (_, line), count in standing(database).items())
    with database.read() as session:
        registrations = repository.registrations(session)
        claims = repository.claims(session)
        assert audit.verify(session)[1] == []
    held = [c.registration_id for c in claims if c.state is ClaimState.STANDING]
    contested = [c.registration_id for c in claims if c.state is ClaimState.CONTESTED]
    for registration in registrations:
        needs = registration.product_line in SLOTS
        running = registration.protection_state in (
            ProtectionState.ACTIVE,
            ProtectionState.EXPIRING,
        )
        is_contested = registration.protection_state is ProtectionState.CONTESTED
        assert held.count(registration.id) == (running and needs)
        assert contested.count(registration.id) == is_contested
        if running or is_contested:
            assert registration.state is RegistrationState.APPROVED
        if is_contested:
            assert registration.dispute_state is DisputeState.OPEN
    seqs = [r.receipt_seq for r in registrations]
    assert sorted(seqs) == list(range(1, len(seqs) + 1))
