"""Users of a CRM by the e-mail address that somebody knows them by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping


def by_address(
    asked: Iterable[str], users: Iterable[tuple[str, str]]
) -> Mapping[str, tuple[str, ...]]:
    """Return ids by the addresses that were asked for; `users` are pairs of address and id.

    Addresses are one whatever their case, and one that nobody has stands for no ids.
    """
    ids: defaultdict[str, set[str]] = defaultdict(set)
    for address, user_id in users:
        ids[address.casefold()].add(user_id)
    return {address: tuple(sorted(ids[address.casefold()])) for address in asked}
