"""Which claims a change concerns, so that their checks are asked for."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.orm import Session

from registration_core.matching import MatchKey, Organisation
from registration_core.store import repository
from registration_core.store.rivals import protected_kin, protected_of


def concerned(
    session: Session, changed: Iterable[Organisation], keys: Iterable[MatchKey]
) -> set[str]:
    """Return the ids of every protected registration that these organisations may concern.

    Found by the exact keys of their customers and by the same evidence that a check goes by.
    """
    owners = repository.customers_with(session, keys)
    found = {key for key, _ in protected_of(session, list(owners))}
    return found.union(*protected_kin(session, list(changed)))
