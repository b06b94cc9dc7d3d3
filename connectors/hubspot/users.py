"""Looks users up: HubSpot developer documentation, "Owners guide"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from connectors.hubspot.gateway import Gateway
from connectors.people import by_address

_OPERATION = "read owners"


def owners(gateway: Gateway, addresses: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Find owners that are not archived by e-mail address, a call for each."""
    api = gateway.client.crm.owners.owners_api
    found: list[tuple[str, str]] = []
    for address in dict.fromkeys(address.casefold() for address in addresses):
        answer = gateway.read(_OPERATION, api.get_page, email=address)
        if "results" not in answer.body:
            raise gateway.strange(_OPERATION)
        found += [(str(row.get("email")), str(row["id"])) for row in answer.body["results"]]
    return by_address(addresses, found)
