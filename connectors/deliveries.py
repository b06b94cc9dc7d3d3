"""What comes in at the webhook door, and what is read from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class WebhookRequest:
    """A delivery as it came in, unread."""

    method: str
    #: Public URL the sender called, query included (HubSpot signs it).
    url: str
    headers: Mapping[str, str]
    body: bytes
    received_at: datetime
    #: Last path segment of the door, where a kind puts a secret there.
    path_secret: str = ""


@dataclass(frozen=True)
class ChangeNotice:
    """A rumour that a record changed: read it to know."""

    object: str
    record_id: str
    event_id: str
    deleted: bool = False


@dataclass(frozen=True)
class WebhookDelivery:
    """An authentic delivery: who it says it is from, what it says, what to answer."""

    org_id: str
    notices: tuple[ChangeNotice, ...]
    reply_status: int = 200
    reply_body: bytes = b""
    reply_type: str = "text/plain"
