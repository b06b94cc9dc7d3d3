"""Looks users up: Salesforce, "SOAP API Developer Guide", User (Email, IsActive)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from connectors.people import by_address
from connectors.salesforce.soql import chunks, one_of, select
from connectors.salesforce.transport import Transport
from connectors.salesforce.wire import to_18
from registration_core.contracts import FieldSchema, FieldType

_EMAIL = FieldSchema("Email", FieldType.TEXT)


def active_users(transport: Transport, addresses: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Find active users by e-mail address, which Salesforce compares without regard to case."""
    found = []
    for part in chunks(_EMAIL, addresses):
        where = f"{one_of(_EMAIL, part)} AND IsActive = true"
        soql = select(["Id", "Email"], "User", where, "ORDER BY Id")
        for page in transport.query(soql, operation="users"):
            found += [(str(row["Email"]), to_18(str(row["Id"]))) for row in page.data["records"]]
    return by_address(addresses, found)
