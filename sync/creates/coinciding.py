"""Creates of one batch that may be of one and the same companion: one of them goes first. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from mapping.schema import CONTACT, PARTNER
from registration_core.matching import (
    Organisation,
    blocking,
    customer_keys,
    match_organisation,
    of_customer,
)
from registration_core.model import Customer
from sync.plans.jobs import Planned


def once_each(creates: Iterable[Planned]) -> list[Planned]:
    """Leave what another registration may be about to make to the next round, which finds it."""
    chosen: list[Planned] = []
    taken: set[tuple[str, str]] = set()
    customers = Customers()
    for p in creates:
        registration = p.job.registration
        if p.companion is not None and p.companion.name == CONTACT:
            itself = CONTACT, registration.contact_email.casefold()
        elif p.companion is not None and p.companion.name == PARTNER:
            itself = PARTNER, p.key
        else:
            itself = "", p.key
            if itself not in taken and not customers.add(registration.customer):
                continue
        if itself not in taken:
            taken.add(itself)
            chosen.append(p)
    return chosen


class Customers:
    """Customers of which no two may be one, found by their keys as in a search of the directory.

    Comparing each with each would take four times as long for twice as many.
    """

    def __init__(self) -> None:
        self._found: list[Organisation] = []
        #: By match key the first few that have it; a key of more tells nobody apart.
        self._by_key: defaultdict[str, list[int]] = defaultdict(list)

    def add(self, customer: Customer) -> bool:
        """Add a customer, unless it may be one of those that are here."""
        one, known = of_customer(customer), customer_keys(customer)
        keys = blocking.keys_of(one)
        hits = {key: self._by_key[key] for key in keys if key in self._by_key}
        counts = {key: len(places) for key, places in hits.items()}
        alike = blocking.rank(hits, counts, len(self._found))
        if any(match_organisation(one, known, self._found[place]) for place in alike):
            return False
        for key in keys:
            if len(self._by_key[key]) < blocking.CANDIDATES_MAX:
                self._by_key[key].append(len(self._found))
        self._found.append(one)
        return True
