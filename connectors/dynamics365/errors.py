"""Refusals of the Web API, read and turned into our errors (whole call) or outcomes (one row).

By HTTP status first and by hexadecimal code second, because the code is often empty: Dataverse
developer guide, "Compose HTTP requests and handle errors" and "Web service error codes".
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from connectors.errors import (
    AuthenticationFailed,
    CallRejected,
    ConnectorError,
    CrmUnavailable,
    FeedExpired,
    NotPermitted,
    RateLimited,
)
from connectors.port import Absence, AlreadyExists, Deferred, Gone, Outcome, Refused, Stale

_KEY_TAKEN = frozenset({"0x80040237", "0x80060892"})
#: A duplicate detection rule of the environment found the record: a policy, and a hint.
DUPLICATE_RULE = "0x80040333"
_STALE = frozenset({"", "0x80060882"})
_ACCOUNT_DISABLED = frozenset({"0x8004a104", "0x8004a112"})
_STORAGE_FULL = frozenset({"0x80050401", "0x80050402"})
#: "Unexpected error": answered with 400 too, and gone the next time more often than not.
_UNEXPECTED = "0x80040216"
_PLUGIN = "0x80040265"
_DUPLICATE_REMEDY = (
    "Link the record that is there, merge the two in Dynamics 365, or let the duplicate detection "
    "rule pass it."
)
_FREE_STORAGE = "Free storage in the environment; it refuses writes until then."
_DEFAULT_RETRY_SECONDS = 10.0
_MESSAGE_MAX = 500


class CallTooLarge(CallRejected):
    """The body of a call was too long; a part of it may not be."""


class Answered(Protocol):
    """An answer with status, headers (lower case) and body."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...


@dataclass(frozen=True)
class Fault:
    """Code (lower case, may be empty) and message of a refusal."""

    code: str
    message: str


def read_fault(reply: Answered) -> Fault:
    """Read a refusal; gateways answer HTML and some routes another JSON, so expect anything."""
    try:
        body = json.loads(reply.body)
    except ValueError:
        return Fault("", f"HTTP {reply.status} without a message.")
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, dict):
        message = str(error.get("message") or "")
        return Fault(str(error.get("code") or "").lower(), message[:_MESSAGE_MAX])
    if isinstance(body, dict):
        message = str(body.get("Message") or body.get("ExceptionMessage") or error or "")
        return Fault(str(body.get("ErrorCode") or "").lower(), message[:_MESSAGE_MAX])
    return Fault("", f"HTTP {reply.status} without a message.")


def retry_after_seconds(headers: Mapping[str, str]) -> float:
    """Read how long we are asked to wait; ten seconds when it is not said."""
    told = headers.get("retry-after", "")
    return float(told) if re.fullmatch(r"\d+(\.\d+)?", told) else _DEFAULT_RETRY_SECONDS


def missing_privilege(message: str) -> str:
    """Find the privilege a refusal names, such as `prvWriteOpportunity`; empty if it names none."""
    found = re.search(r"\bprv\w+", message)
    return found.group() if found else ""


def expired_link(reply: Answered, connection: str, operation: str) -> FeedExpired | None:
    """Tell of a link that was kept and is not taken any more; None where it is something else.

    By status alone: the guide names no code for an expired delta token. A sign-in, a privilege or
    a throttle that is refused says nothing of the link.
    """
    if not 400 <= reply.status < 500 or reply.status in (401, 403, 429):
        return None
    reason = read_fault(reply).message or f"HTTP {reply.status}"
    return feed_expired(reason.removesuffix("."), connection, operation)


def feed_expired(reason: str, connection: str, operation: str) -> FeedExpired:
    """Say why a change feed starts again."""
    return FeedExpired(
        f"The change feed of {connection} cannot go on: {reason}.",
        connection=connection,
        operation=operation,
        hint="Read everything again, with no cursor.",
    )


def call_error(reply: Answered, connection: str, operation: str, *, writes: bool) -> ConnectorError:
    """Turn the refusal of a whole call into the error that says what to do about it."""
    fault = read_fault(reply)
    where: Any = {
        "connection": connection,
        "operation": operation,
        "request_id": reply.headers.get("x-ms-service-request-id")
        or reply.headers.get("req_id", ""),
    }
    told = f"Dynamics 365 refused {operation}: {fault.message or f'HTTP {reply.status}'}"
    if reply.status == 429:
        return RateLimited(
            f"Dynamics 365 asks to slow down: {fault.message}",
            retry_after_seconds=retry_after_seconds(reply.headers),
            **where,
        )
    if fault.code in _ACCOUNT_DISABLED:
        hint = "Enable the application user and the environment."
        return AuthenticationFailed(told, hint=hint, **where)
    if fault.code in _STORAGE_FULL:
        return CrmUnavailable(told, hint=_FREE_STORAGE, **where)
    if reply.status == 403:
        privilege = missing_privilege(fault.message)
        hint = (
            f"Add {privilege} to the security role of the application user."
            if privilege
            else "Add an application user for this app registration, with a security role."
        )
        return NotPermitted(told, hint=hint, **where)
    if (reply.status >= 500 and reply.status != 501) or fault.code == _UNEXPECTED:
        return CrmUnavailable(
            f"Dynamics 365 cannot answer {operation} right now (HTTP {reply.status}).",
            may_have_happened=writes,
            **where,
        )
    rejected = CallTooLarge if reply.status == 413 else CallRejected
    return rejected(f"{told} [{fault.code}]" if fault.code else told, **where)


def create_outcome(reply: Answered, fields: Collection[str]) -> Outcome:
    """Turn the refusal of one create into its outcome."""
    fault = read_fault(reply)
    if fault.code in _KEY_TAKEN or (reply.status == 412 and fault.code in _STALE):
        return AlreadyExists()
    return _row_outcome(reply, fault, fields)


def update_outcome(reply: Answered, record_id: str, fields: Collection[str]) -> Outcome:
    """Turn the refusal of one update into its outcome."""
    fault = read_fault(reply)
    if reply.status == 412 and fault.code in _STALE:
        return Stale(record_id)
    # A related record that is missing answers 404 too, and names its own id.
    named = re.findall(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", fault.message.lower())
    if reply.status == 404 and (not named or record_id in named):
        return Gone(record_id, Absence.NOT_FOUND)
    return _row_outcome(reply, fault, fields)


def _row_outcome(reply: Answered, fault: Fault, fields: Collection[str]) -> Outcome:
    if reply.status == 429:
        wait = retry_after_seconds(reply.headers)
        return Deferred(fault.message or "throttled", wait, tried=False, throttled=True)
    if fault.code == DUPLICATE_RULE:
        return Refused(fault.code, fault.message, remedy=_DUPLICATE_REMEDY)
    if (reply.status >= 500 and reply.status != 501) or fault.code == _UNEXPECTED:
        return Deferred(fault.message or f"HTTP {reply.status}")
    named = next((f for f in fields if re.search(rf"\b{re.escape(f)}\b", fault.message)), None)
    said = f"A plug-in of the environment says: {fault.message}" if fault.code == _PLUGIN else ""
    return Refused(fault.code or f"HTTP {reply.status}", said or fault.message, named)


def stops_the_call(reply: Answered, connection: str, operation: str) -> ConnectorError | None:
    """Tell of a part of a batch whose refusal concerns the whole call; rows before it were written."""
    fault = read_fault(reply)
    everywhere = _STORAGE_FULL | _ACCOUNT_DISABLED
    if fault.code not in everywhere and reply.status not in (401, 502, 503, 504):
        return None
    return CrmUnavailable(
        f"Dynamics 365 stopped inside {operation}: {fault.message}",
        may_have_happened=True,
        connection=connection,
        operation=operation,
        hint=_FREE_STORAGE if fault.code in _STORAGE_FULL else "",
    )
