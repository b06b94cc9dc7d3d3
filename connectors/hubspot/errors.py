"""HubSpot's answers that are not a success, turned into our errors and outcomes.

Bodies are read from `errors[]`, never from the message, which embeds JSON text. Source: HubSpot
developer documentation, "Error handling" and "Usage guidelines and limits".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from connectors.errors import (
    AuthenticationFailed,
    CallRejected,
    ConnectorError,
    CrmUnavailable,
    NotPermitted,
    RateLimited,
)
from connectors.port import Deferred, Refused

#: Longest text of HubSpot's that we pass on, in characters.
_MESSAGE_MAX = 300
_UNIQUE_CONFLICT = "CONFLICTING_UNIQUE_VALUE"
#: What a contact with a taken e-mail address is refused with, in place of an inner code.
_CONFLICT = "CONFLICT"
#: Seconds to wait where HubSpot names a policy and no time.
_POLICY_PAUSE = {"SECONDLY": 1.0, "TEN_SECONDLY_ROLLING": 10.0}
#: The same for the calls of a day, while it is not known when the account's day ends.
DAILY_PAUSE = 3600.0
_PAUSE_DEFAULT = 10.0
#: Records are locked by bulk work: come back after at least two seconds (status 423).
_LOCK_PAUSE = 2.0
#: The account is moving between data centres: HubSpot says how long in `Retry-After` (477).
_MOVE_PAUSE = 600.0
#: What to do about a refused row, by HubSpot's code.
_ROW_HINTS: Mapping[str, str] = {
    "PROPERTY_DOESNT_EXIST": "Create it (dealreg connection provision), or correct the mapping.",
    "READ_ONLY_VALUE": "Let it flow from HubSpot only, or map another property.",
    "INVALID_OPTION": "Add the option to the property in HubSpot, or correct the mapping.",
    "INVALID_OWNER_ID": "Map the owner to one that HubSpot has.",
    "MISSING_REQUIRED_PROPERTY": "HubSpot's forms demand it: map it, or relax the rule there.",
    "MISSING_CONDITIONAL_REQUIRED_PROPERTY": (
        "HubSpot's forms demand it for this value: map it, or relax the rule there."
    ),
    "MISSING_REQUIRED_ASSOCIATION": "Map associations.contacts: no lead is without a contact.",
    _UNIQUE_CONFLICT: "Another record has that value: find it in HubSpot.",
    _CONFLICT: "Another record has that value: find it in HubSpot.",
    "INVALID_OBJECT_IDS": "The record to associate with is not in HubSpot any more.",
}
#: Codes which say that the definitions we keep are not those that HubSpot has now.
_OUTDATED = ("PROPERTY_DOESNT_EXIST", "READ_ONLY_VALUE", "INVALID_OPTION")
#: What to do about an outage, by status; 521 and above are the network in front of HubSpot.
_OUTAGE_HINTS: Mapping[int, str] = {
    522: "HubSpot's network did not reach it: see status.hubspot.com if this stays.",
    525: "The TLS handshake failed: check base_url and ca_file, then ask HubSpot.",
    526: "A certificate was not valid: check base_url and ca_file, then ask HubSpot.",
}
#: Row categories that pass.
_PASSING = ("RATE_LIMITS", "INTERNAL_ERROR", "LOCKED", "SERVICE_UNAVAILABLE")


class CallRefused(CallRejected):
    """4xx: nothing was written; `body` is what HubSpot said, shaped as an entry of `errors`."""

    def __init__(self, message: str, *, body: Mapping[str, Any], **about: str) -> None:
        super().__init__(message, **about)
        self.body = body


class RecordMissing(CallRefused):
    """404: no such record, or no such path."""


def failure(
    status: int,
    headers: Mapping[str, str],
    raw: bytes,
    *,
    write: bool,
    connection: str,
    operation: str,
    day_left: float = DAILY_PAUSE,
) -> ConnectorError:
    """Tell what a status and body mean for the caller; header names are lower case.

    `day_left` are the seconds until the account's midnight.
    """
    body = _body(raw)
    about = {
        "connection": connection,
        "operation": operation,
        "request_id": str(
            headers.get("x-hubspot-correlation-id") or body.get("correlationId") or ""
        ),
    }
    words = describe(body) or f"status {status}"
    if status == 401:
        return AuthenticationFailed(
            f"HubSpot refused the access token: {words}",
            hint=(
                "Set the connection's access_token to the app's or service key's present one; "
                "an OAuth app has to be installed again."
            ),
            **about,
        )
    if status == 403:
        scopes = _scopes(body)
        return NotPermitted(
            f"HubSpot does not permit {operation}: "
            + (f"the app lacks {scopes}" if scopes else words),
            hint=(
                f"Grant the app these scopes in HubSpot: {scopes}."
                if scopes
                else "Look up whether the app, its user and HubSpot's edition may do this."
            ),
            **about,
        )
    if status in (423, 429, 477):
        return RateLimited(
            f"HubSpot asks to wait: {words}",
            retry_after_seconds=_pause(status, headers, body, day_left),
            hint=_wait_hint(status, body),
            **about,
        )
    if status == 404:
        return RecordMissing(
            f"HubSpot knows nothing of that for {operation}: {words}", body=body, **about
        )
    if status == 408 or status >= 500 or status < 400:
        return CrmUnavailable(
            f"HubSpot cannot answer right now: {words}",
            may_have_happened=write,
            hint=_OUTAGE_HINTS.get(status, ""),
            **about,
        )
    return CallRefused(f"HubSpot refused {operation}: {words}", body=body, **about)


def describe(body: Mapping[str, Any]) -> str:
    """Word an error body in one line: its inner errors where it has any, else its message."""
    inner = [
        " ".join(str(part) for part in (error.get("code"), error.get("message")) if part)
        for error in _inner(body)
    ]
    words = "; ".join(inner) or str(body.get("message") or body.get("category") or "")
    return words[:_MESSAGE_MAX]


def is_unique_conflict(error: Mapping[str, Any]) -> bool:
    """True where a row was refused because a unique value is taken."""
    codes = [inner.get("code") for inner in _inner(error)]
    return _UNIQUE_CONFLICT in codes or error.get("category") == _CONFLICT


def is_search_limit(status: int, raw: bytes) -> bool:
    """True where a call was one search too many in this second."""
    return status == 429 and _body(raw).get("policyName") == "SECONDLY"


def has_ended(status: int, raw: bytes) -> bool:
    """True where HubSpot says that the token was good and has ended."""
    return status == 401 and _body(raw).get("category") == "EXPIRED_AUTHENTICATION"


def is_missing(error: Mapping[str, Any]) -> bool:
    """True where a row was refused because its record is not there."""
    return error.get("category") == "OBJECT_NOT_FOUND"


def row_outcome(error: Mapping[str, Any]) -> Refused | Deferred:
    """Tell what one entry of a batch's `errors` means for its row."""
    if error.get("category") in _PASSING:
        return Deferred(describe(error), retry_after_seconds=_LOCK_PAUSE)
    inner = _inner(error)
    first = inner[0] if inner else {}
    code = first.get("code") or error.get("subCategory") or error.get("category") or "REFUSED"
    names = _context(first).get("propertyName") or []
    words = f"{describe(error)} {_ROW_HINTS.get(str(code), '')}".strip()
    return Refused(str(code), words, str(names[0]) if names else None)


def is_outdated(outcome: object) -> bool:
    """True where a row was refused by definitions that we know otherwise."""
    return isinstance(outcome, Refused) and outcome.code in _OUTDATED


def seconds_to_midnight(now: datetime, time_zone: str) -> float:
    """Return how long the day of an account in this zone still lasts; an hour if it is unknown."""
    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        return DAILY_PAUSE
    tomorrow = now.astimezone(zone).date() + timedelta(days=1)
    return (datetime.combine(tomorrow, time.min, zone) - now).total_seconds()


def _pause(
    status: int, headers: Mapping[str, str], body: Mapping[str, Any], day_left: float
) -> float:
    told = headers.get("retry-after", "")
    if told.isdigit():
        return float(told)
    if status == 423:
        return _LOCK_PAUSE
    if status == 477:
        return _MOVE_PAUSE
    if body.get("policyName") == "DAILY":
        return day_left
    return _POLICY_PAUSE.get(str(body.get("policyName")), _PAUSE_DEFAULT)


def _wait_hint(status: int, body: Mapping[str, Any]) -> str:
    if status == 477:
        return "HubSpot moves the account to another data centre; nothing is to be done."
    if body.get("policyName") == "DAILY":
        return "The calls of the day are used up; they come back at the account's midnight."
    return ""


def _scopes(body: Mapping[str, Any]) -> str:
    scopes = [
        str(scope)
        for error in _inner(body)
        for scope in _context(error).get("requiredGranularScopes") or ()
    ]
    return ", ".join(scopes)


def _inner(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    errors = body.get("errors")
    return [e for e in errors if isinstance(e, dict)] if isinstance(errors, list) else []


def _context(error: Mapping[str, Any]) -> Mapping[str, Any]:
    context = error.get("context")
    return context if isinstance(context, dict) else {}


def _body(raw: bytes) -> Mapping[str, Any]:
    """Read an error body; a proxy's HTML says nothing."""
    try:
        body = json.loads(raw)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
