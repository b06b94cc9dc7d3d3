"""Which claims a change concerns, and the checks that are asked for because of it."""

from __future__ import annotations

from collections.abc import Iterable

from registration_core.matching import MatchKey, Organisation
from registration_core.store import repository, work
from registration_core.store.database import UnitOfWork
from registration_core.store.rivals import protected_kin, protected_of


def request(
    unit: UnitOfWork,
    changed: Iterable[Organisation],
    keys: Iterable[MatchKey],
    reason: str,
) -> int:
    """Ask for a check of every protected registration that these organisations may concern.

    Found by the exact keys of their customers and by the same evidence that a check goes by.
    Returns how many registrations that are.
    """
    owners = repository.customers_with(unit.session, keys)
    found = {key for key, _ in protected_of(unit.session, list(owners))}
    found.update(*protected_kin(unit.session, list(changed)))
    for registration_id in sorted(found):  # as others lock them: no circle of waiting
        work.request_check(unit, registration_id, reason)
    return len(found)
