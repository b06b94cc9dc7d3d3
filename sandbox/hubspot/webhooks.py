"""Webhook deliveries of the portal's app: events in HubSpot's words, signed as v3 and v1.

Sources: HubSpot developer documentation, "Webhooks API" and "Validating requests".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import zlib
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from sandbox.hubspot.links import LINKS
from sandbox.hubspot.schema import OBJECT_TYPES, ObjectType
from sandbox.hubspot.values import epoch_millis
from sandbox.org import Delivery
from sandbox.records import Event, RecordStore, Row

EVENTS_MAX = 100


class Portal(Protocol):
    """What a delivery needs of the portal: its records, its clock and how its app signs."""

    org_id: str
    store: RecordStore
    clock: Callable[[], datetime]
    webhook_secret: str
    #: Who the app writes as, `app:` and its number.
    app_user: str
    #: Events are sent out of order, and some of them twice.
    webhooks_unruly: bool
    #: A merge keeps the primary record's id.
    keeps_primary_id: bool

    def disordered(self, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Shuffle events and say some of them again."""


#: In the signed URI these are decoded, and nothing else is (HubSpot, "Validating requests").
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


def signature_v3(secret: str, method: str, url: str, body: bytes, timestamp: str) -> str:
    """Sign a delivery: base64 HMAC-SHA-256 over method, URI, body and timestamp."""
    for code, character in _DECODED.items():
        url = url.replace(code, character)
    signed = f"{method}{url}".encode() + body + timestamp.encode()
    return base64.b64encode(hmac.digest(secret.encode(), signed, "sha256")).decode()


def deliveries(org: Portal, events: list[Event], webhook_base: str) -> list[Delivery]:
    """Word events, at most 100 to a delivery, all of them signed at the org's present time."""
    secret, worded = org.webhook_secret, [worded for e in events for worded in _worded(org, e)]
    if org.webhooks_unruly:
        worded = org.disordered(worded)
    url = f"{webhook_base}/webhooks/hubspot"
    chunks = [worded[start : start + EVENTS_MAX] for start in range(0, len(worded), EVENTS_MAX)]
    return [_delivery(org, secret, url, chunk, 0) for chunk in chunks]


def _delivery(
    org: Portal, secret: str, url: str, events: list[dict[str, Any]], attempt: int
) -> Delivery:
    """Word and sign one attempt; the next one says its number and is signed at its own time."""
    told = [{**event, "attemptNumber": attempt} for event in events]
    body = json.dumps(told, separators=(",", ":")).encode()
    headers = _headers(secret, url, body, org.clock())
    return Delivery(url, headers, body, again=partial(_delivery, org, secret, url, events))


def _headers(secret: str, url: str, body: bytes, now: datetime) -> dict[str, str]:
    timestamp = str(epoch_millis(now))
    return {
        "Content-Type": "application/json",
        "X-HubSpot-Signature": hashlib.sha256(secret.encode() + body).hexdigest(),
        "X-HubSpot-Signature-Version": "v1",
        "X-HubSpot-Request-Timestamp": timestamp,
        "X-HubSpot-Signature-v3": signature_v3(secret, "POST", url, body, timestamp),
        "User-Agent": "HubSpot Connect 2.0 (sandbox)",
    }


def _worded(org: Portal, event: Event) -> Iterator[dict[str, Any]]:
    if event.object == LINKS:
        yield from _association(org, event)
        return
    kind = OBJECT_TYPES.get(event.object)
    if kind is None:
        return
    if event.kind == "merged":
        yield from _merge(org, kind, event)
        return
    about = {"objectId": int(event.record_id), **_type_id(kind)}
    if event.kind == "created":
        yield _event(org, event, f"{_noun(kind)}.creation", **about)
    if event.kind in ("created", "updated"):
        for name, value in event.changed.items():
            yield _event(
                org,
                event,
                f"{_noun(kind)}.propertyChange",
                **about,
                propertyName=name,
                propertyValue="" if value is None else str(value),
            )
    elif event.kind in ("deleted", "restored"):
        type_ = "deletion" if event.kind == "deleted" else "restore"
        yield _event(org, event, f"{_noun(kind)}.{type_}", **about)


def _noun(kind: ObjectType) -> str:
    """The first word of a subscription: only a few types have one of their own."""
    return kind.singular if kind.name in ("contacts", "companies", "deals") else "object"


def _type_id(kind: ObjectType) -> dict[str, str]:
    return {"objectTypeId": kind.type_id} if _noun(kind) == "object" else {}


def _merge(org: Portal, kind: ObjectType, event: Event) -> Iterator[dict[str, Any]]:
    """One event for all that a merge takes away: told when the primary goes, else the other."""
    old = org.store.get(kind.name, event.record_id, deleted=True)
    survivor = _row(org, kind.name, old.merged_into if old else None)
    if survivor is None:
        return
    merged = str(survivor.fields["hs_merged_object_ids"]).split(";")
    primary, loser = [survivor.id, merged[-1]] if org.keeps_primary_id else merged[-2:]
    if event.record_id == (loser if org.keeps_primary_id else primary):
        yield _event(
            org,
            event,
            f"{_noun(kind)}.merge",
            **_type_id(kind),
            primaryObjectId=int(primary),
            mergedObjectIds=[int(primary), int(loser)],
            newObjectId=int(survivor.id),
            numberOfPropertiesMoved=len(survivor.fields),
        )


def _association(org: Portal, event: Event) -> Iterator[dict[str, Any]]:
    row = _row(org, LINKS, event.record_id)
    if row is None or (row.fields["from_type"], row.fields["to_type"]) != ("deals", "companies"):
        return
    deal, company = int(str(row.fields["from_id"])), int(str(row.fields["to_id"]))
    primary = "5" in str(row.fields["types"]).split(";")
    for type_, name, near, far in (
        ("deal.associationChange", "DEAL_TO_COMPANY", deal, company),
        ("company.associationChange", "COMPANY_TO_DEAL", company, deal),
    ):
        yield _event(
            org,
            event,
            type_,
            associationType=name,
            fromObjectId=near,
            toObjectId=far,
            associationRemoved=event.kind == "deleted",
            isPrimaryAssociation=primary,
        )


def _event(org: Portal, event: Event, type_: str, **rest: Any) -> dict[str, Any]:
    who, _, number = event.by.partition(":")
    app = who == "app"
    subscription = 2_000_000 + zlib.crc32(f"{type_}{rest.get('propertyName')}".encode()) % 900_000
    return {
        "eventId": zlib.crc32(f"{event.version}/{type_}/{rest.get('propertyName')}".encode()),
        "subscriptionId": subscription,
        "portalId": int(org.org_id),
        "appId": int(org.app_user.partition(":")[2]),
        "occurredAt": epoch_millis(event.at),
        "subscriptionType": type_,
        "changeSource": "INTEGRATION" if app else "CRM_UI" if who == "user" else "IMPORT",
        "sourceId": number if app else f"userId:{number}",
        **rest,
    }


def _row(org: Portal, object_name: str, record_id: str | None) -> Row | None:
    return org.store.get(object_name, record_id, deleted=True) if record_id else None
