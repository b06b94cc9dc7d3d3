"""Looks users up: Salesforce, "SOAP API Developer Guide", User (Email, IsActive)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from connectors.people import by_address
from connectors.salesforce.asking import rows_in
from connectors.salesforce.transport import Transport
from connectors.salesforce.wire import to_18
from registration_core.contracts import FieldSchema, FieldType

_EMAIL = FieldSchema("Email", FieldType.TEXT)


def active_users(transport: Transport, addresses: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Find active users by e-mail address, which Salesforce compares without regard to case."""
    rows = rows_in(
        transport, ["Id", "Email"], "User", _EMAIL, addresses,
        operation="users", also="IsActive = true", tail="ORDER BY Id",
    )  # fmt: skip
    return by_address(addresses, ((str(row["Email"]), to_18(str(row["Id"]))) for row in rows))
