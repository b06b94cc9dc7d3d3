"""What every CRM stand-in offers to the shared parts: control door, faults, webhooks, seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from sandbox.records import Event, Json, RecordStore, Row


class SandboxError(Exception):
    """A person's edit at the control door that the CRM would refuse; the message is the CRM's."""


@dataclass(frozen=True)
class Delivery:
    """One webhook delivery in the vendor's own format."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    #: Bytes that the receiver's answer must contain to count as taken; empty = any 2xx.
    expects: bytes = b""
    #: Words and signs it anew for its nth repetition, where the vendor does so.
    again: Callable[[int], Delivery] | None = None


class Org(Protocol):
    """The HTTP-free record engine of one stand-in (`sandbox/<crm>/engine.py`)."""

    #: `salesforce`, `dynamics365` or `hubspot`.
    crm: str
    org_id: str
    store: RecordStore

    def add(self, object_name: str, fields: Mapping[str, Json], user: str) -> Row:
        """Create a record as a person would in the CRM's own screens; `SandboxError` if refused."""

    def edit(self, object_name: str, record_id: str, fields: Mapping[str, Json], user: str) -> Row:
        """Change a record as a person would (closing included); `SandboxError` if refused."""

    def remove(self, object_name: str, record_id: str, user: str) -> None:
        """Delete a record as a person would."""

    def merge(self, object_name: str, loser_id: str, winner_id: str, user: str) -> None:
        """Merge two records as a person would, with the CRM's own consequences."""

    def seed(self) -> None:
        """Fill a new org: users, stages, currencies, accounts of `sandbox/data/accounts.json`."""

    def expire_tokens(self) -> None:
        """Make every access token handed out so far worthless."""

    def deliveries(self, events: list[Event], webhook_base: str) -> list[Delivery]:
        """Word these events as the vendor's webhooks, or none for objects without a subscription."""
