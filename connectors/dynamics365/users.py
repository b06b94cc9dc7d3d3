"""Looks users up: Dynamics 365 table reference, "User (SystemUser)"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from connectors.dynamics365 import wire
from connectors.dynamics365.transport import Transport
from connectors.people import by_address

_EMAIL = "internalemailaddress"
#: Addresses in one query, so that it stays well below what a web address may hold.
_ASKED_MAX = 50


def enabled(transport: Transport, addresses: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Find users that are not disabled by e-mail address, compared without regard to case."""
    found: list[tuple[str, str]] = []
    for start in range(0, len(addresses), _ASKED_MAX):
        few = addresses[start : start + _ASKED_MAX]
        either = wire.either(f"{_EMAIL} eq {wire.quoted(address)}" for address in few)
        where = f"isdisabled eq false and {either}"
        address = wire.address("systemusers", select=f"systemuserid,{_EMAIL}", filter=where)
        rows = transport.get_json(address, "users")["value"]
        found += [(str(row[_EMAIL]), str(row["systemuserid"]).lower()) for row in rows]
    return by_address(addresses, found)
