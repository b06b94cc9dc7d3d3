"""HubSpot's webhook deliveries: verified by their signature, then read as rumours.

The v3 signature covers time and address and is what is taken. v1 and v2 cover neither, so that a
delivery can be sent again by whoever saw it; they are taken only where the connection names one,
which old private apps need.

A delivery says which records changed and nothing that is believed: values are read from the
record. Sources: HubSpot developer documentation, "Validating requests" and "Webhooks API".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from connectors.deliveries import ChangeNotice, WebhookDelivery, WebhookRequest
from connectors.errors import WebhookRejected
from connectors.hubspot.links import is_link
from connectors.hubspot.wire import moment

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
#: Custom objects are named by their type ids, here and in mappings.
_OBJECT_TYPE_IDS = {"0-1": "contacts", "0-2": "companies", "0-3": "deals", "0-136": "leads"}
#: What no app can subscribe to, and what never changes.
_UNTOLD = ("hs_lastmodifieddate", "lastmodifieddate", "hs_object_id", "createdate")


def subscriptions(object_name: str, fields: Iterable[str]) -> str:
    """Word the subscriptions which tell of every change of an object that is read here."""
    nouns = {plural: noun for noun, plural in _OBJECTS.items()}
    ids = {plural: type_id for type_id, plural in _OBJECT_TYPE_IDS.items()}
    wanted = list(dict.fromkeys(fields))
    verbs = ["creation", "deletion", "merge", "restore"]
    verbs += ["associationChange"] if any(map(is_link, wanted)) else []
    properties = [name for name in wanted if not is_link(name) and name not in _UNTOLD]
    noun = nouns.get(object_name, "object")
    about = "" if noun != "object" else f", objectType {ids.get(object_name, object_name)}"
    return (
        f"{', '.join(f'{noun}.{verb}' for verb in verbs)}{about}; "
        f"{noun}.propertyChange of each of {', '.join(properties)}"
    )


def read_delivery(request: WebhookRequest, options: Mapping[str, str]) -> WebhookDelivery:
    """Verify a delivery and tell what it says; `WebhookRejected` 400 unreadable, 401 not genuine.

    Of the options, `secret` signs, `previous_secret` did until it was replaced, and `version` is
    the signature to verify; a v3 one is verified wherever there is one.
    """
    if len(request.body) > BODY_MAX:
        raise WebhookRejected("The delivery is larger than HubSpot sends.", status=400)
    headers = {name.lower(): value for name, value in request.headers.items()}
    version = options.get("version", "v3")
    secrets = [options.get(name, "") for name in ("secret", "previous_secret")]
    if version == "v3" or "x-hubspot-signature-v3" in headers:
        _verify(request, headers, list(filter(None, secrets)))
    else:
        _verify_old(request, headers, list(filter(None, secrets)), version)
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
    url = _decoded(url)
    signed = f"{method}{url}".encode() + body + timestamp.encode()
    return base64.b64encode(hmac.digest(secret.encode(), signed, "sha256")).decode()


def _decoded(url: str) -> str:
    url = url.partition("#")[0]
    for code, character in _DECODED.items():
        url = url.replace(code, character)
    return url


def _verify_old(
    request: WebhookRequest, headers: Mapping[str, str], secrets: Sequence[str], version: str
) -> None:
    """Verify a v1 or v2 signature: the secret and the body, in v2 with method and address."""
    given = headers.get("x-hubspot-signature", "")
    if not (secrets and given) or headers.get("x-hubspot-signature-version") != version:
        raise WebhookRejected(f"The delivery carries no HubSpot {version} signature.", status=401)
    about = f"{request.method.upper()}{_decoded(request.url)}" if version == "v2" else ""
    _require_one_of(
        (
            hashlib.sha256(f"{secret}{about}".encode() + request.body).hexdigest()
            for secret in secrets
        ),
        given,
    )


def _require_one_of(expected: Iterable[str], given: str) -> None:
    fits = [hmac.compare_digest(each.encode(), given.encode()) for each in expected]
    if not any(fits):
        raise WebhookRejected("The delivery's signature is not HubSpot's.", status=401)


def _verify(request: WebhookRequest, headers: Mapping[str, str], secrets: Sequence[str]) -> None:
    given = headers.get("x-hubspot-signature-v3", "")
    timestamp = headers.get("x-hubspot-request-timestamp", "")
    if not (secrets and given and timestamp.isascii() and timestamp.isdigit()):
        raise WebhookRejected("The delivery carries no HubSpot v3 signature.", status=401)
    _require_one_of(
        (
            signature(secret, request.method.upper(), request.url, request.body, timestamp)
            for secret in secrets
        ),
        given,
    )
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
