"""HubSpot's webhook deliveries: verified by the v3 signature, then read as rumours.

A delivery says which records changed and nothing that is believed: values are read from the
record. Sources: HubSpot developer documentation, "Validating requests" and "Webhooks API".
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from connectors.errors import WebhookRejected
from connectors.hubspot.wire import moment
from connectors.port import ChangeNotice, WebhookDelivery, WebhookRequest

#: Largest body taken, in bytes: 100 events, of which a few may carry very long text.
BODY_MAX = 2 * 1024 * 1024
#: Deliveries older than this, or further in the future, are refused.
AGE_MAX = timedelta(minutes=5)

#: What HubSpot decodes in the URI before it signs; a general unquoting breaks the signature.
_DECODED = {
    "%3A": ":",
    "%2F": "/",
    "%3F": "?",
    "%40": "@",
    "%21": "!",
    "%24": "$",
    "%27": "'",
    "%28": "(",
    "%29": ")",
    "%2A": "*",
    "%2C": ",",
    "%3B": ";",
}
_OBJECTS = {
    "contact": "contacts",
    "company": "companies",
    "deal": "deals",
    "ticket": "tickets",
    "product": "products",
    "line_item": "line_items",
}
_OBJECT_TYPE_IDS = {"0-1": "contacts", "0-2": "companies", "0-3": "deals"}


def read_delivery(request: WebhookRequest, secret: str) -> WebhookDelivery:
    """Verify a delivery and tell what it says; `WebhookRejected` 400 unreadable, 401 not genuine."""
    if len(request.body) > BODY_MAX:
        raise WebhookRejected("The delivery is larger than HubSpot sends.", status=400)
    _verify(request, secret)
    try:
        events = json.loads(request.body)
        portals = {str(event["portalId"]) for event in events}
        notices = tuple(dict.fromkeys(n for event in events for n in _notices(event)))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise WebhookRejected("The delivery is not a list of HubSpot events.", status=400) from None
    if len(portals) != 1:
        raise WebhookRejected("The delivery is not about exactly one account.", status=400)
    return WebhookDelivery(org_id=portals.pop(), notices=notices)


def signature(secret: str, method: str, url: str, body: bytes, timestamp: str) -> str:
    """Compute the v3 signature over the bytes as they came, base64."""
    url = url.partition("#")[0]
    for code, character in _DECODED.items():
        url = url.replace(code, character)
    signed = f"{method}{url}".encode() + body + timestamp.encode()
    return base64.b64encode(hmac.digest(secret.encode(), signed, "sha256")).decode()


def _verify(request: WebhookRequest, secret: str) -> None:
    headers = {name.lower(): value for name, value in request.headers.items()}
    given = headers.get("x-hubspot-signature-v3", "")
    timestamp = headers.get("x-hubspot-request-timestamp", "")
    if not (secret and given and timestamp.isascii() and timestamp.isdigit()):
        raise WebhookRejected("The delivery carries no HubSpot v3 signature.", status=401)
    expected = signature(secret, request.method.upper(), request.url, request.body, timestamp)
    if not hmac.compare_digest(expected.encode(), given.encode()):
        raise WebhookRejected("The delivery's signature is not HubSpot's.", status=401)
    try:
        age = abs(request.received_at - moment(timestamp))
    except OverflowError:
        age = AGE_MAX * 2
    if age > AGE_MAX:
        raise WebhookRejected("The delivery was signed more than five minutes away.", status=401)


def _notices(event: Mapping[str, Any]) -> Iterator[ChangeNotice]:
    noun, _, verb = str(event.get("subscriptionType") or event["eventType"]).partition(".")
    object_name = _object(noun, event)
    if object_name is None:
        return
    ids = [event.get("objectId"), event.get("newObjectId"), event.get("primaryObjectId")]
    if verb == "associationChange":
        ids = [event.get("fromObjectId")]
    merged = event.get("mergedObjectIds") or []
    # A retried delivery says the same again, save for `attemptNumber`; `eventId` is not unique.
    stamp = "-".join(
        str(event.get(part, "")) for part in ("eventId", "subscriptionId", "occurredAt")
    )
    for record_id in dict.fromkeys(str(each) for each in [*ids, *merged] if each is not None):
        yield ChangeNotice(
            object=object_name,
            record_id=record_id,
            event_id=f"{stamp}-{record_id}",
            deleted=verb in ("deletion", "privacyDeletion"),
        )


def _object(noun: str, event: Mapping[str, Any]) -> str | None:
    if noun != "object":
        return _OBJECTS.get(noun)
    type_id = str(event.get("objectTypeId") or event.get("fromObjectTypeId") or "")
    return _OBJECT_TYPE_IDS.get(type_id, type_id or None)
