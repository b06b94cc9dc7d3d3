"""Salesforce's errors to ours: whole calls to `ConnectorError`, rows of a batch to an `Outcome`.

Codes are those of "Status Codes and Error Responses" in the REST API Developer Guide and of the
SOAP API's `StatusCode`. Single calls say `errorCode` beside an HTTP status; rows of sObject
Collections say `statusCode` inside HTTP 200.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.errors import (
    CallRejected,
    ConnectorError,
    CrmUnavailable,
    NotPermitted,
    RateLimited,
)
from connectors.port import Absence, AlreadyExists, Deferred, Gone, Outcome, Refused
from connectors.salesforce.advice import advice
from connectors.salesforce.wire import to_18

#: Daily quota: probe again after this long. It rolls over 24 hours, nobody says when.
QUOTA_PAUSE_SECONDS = 900.0
#: Too many long requests at once: gone within seconds.
CONCURRENCY_PAUSE_SECONDS = 5.0
#: Salesforce itself waits 10 seconds for a row lock.
LOCK_PAUSE_SECONDS = 10.0
#: An approval process holds a record until a person decides.
APPROVAL_PAUSE_SECONDS = 900.0

_TRANSIENT = frozenset(
    {
        "UNABLE_TO_LOCK_ROW",
        "SERVER_UNAVAILABLE",
        # The oldest of a user's ten cursors is dropped: the next round asks anew.
        "INVALID_QUERY_LOCATOR",
        "REQUEST_RUNNING_TOO_LONG",
        "TXN_SECURITY_METERING_ERROR",
        "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE",
    }
)
#: What was asked for is too much at once: less of it may do, and later perhaps all of it.
_TOO_MUCH = frozenset({"QUERY_TIMEOUT", "OPERATION_TOO_LARGE", "QUERY_TOO_COMPLICATED"})
_DENIED = frozenset(
    {
        "API_CURRENTLY_DISABLED",
        "API_DISABLED_FOR_ORG",
        "INSUFFICIENT_ACCESS",
        "INSUFFICIENT_ACCESS_OR_READONLY",
    }
)
_ABSENT = frozenset({"ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY", "NOT_FOUND"})
#: The edge in front of the API answers these before a request reaches it.
_EDGE_STATUSES = frozenset({406, 420})
_TOO_LONG_STATUSES = frozenset({413, 414, 431})
#: A duplicate rule refused the record: a policy of the org, and a hint at what it knows.
DUPLICATES_DETECTED = "DUPLICATES_DETECTED"
_DUPLICATE = re.compile(r"duplicate value found: (\S+) duplicates value on record with id: (\w+)")
_MESSAGE_MAX = 500


class QueryTooLarge(CrmUnavailable):
    """A query took too long or covered too much; asked for less, it may be answered."""


@dataclass(frozen=True)
class Failure:
    """What came back instead of an answer."""

    status: int
    #: Parsed JSON, or text where it was none.
    content: Any
    request_id: str = ""
    retry_after_seconds: float | None = None

    @property
    def code(self) -> str:
        """Vendor's code, or empty."""
        return str(self._entry().get("errorCode", ""))

    @property
    def message(self) -> str:
        """Vendor's words, shortened; never the page of a proxy."""
        return str(self._entry().get("message", ""))[:_MESSAGE_MAX]

    @property
    def readable(self) -> bool:
        """The answer came from the API and not from something in front of it."""
        return bool(self._entry())

    @property
    def session_is_over(self) -> bool:
        """A new token helps; not so when a policy keeps the session out of the REST API."""
        return self.code == "INVALID_SESSION_ID" and "not valid for use" not in self.message

    @property
    def entries(self) -> list[Mapping[str, Any]]:
        """Every error of the answer; a single record can have several."""
        listed = self.content if isinstance(self.content, list) else [self.content]
        return [entry for entry in listed if isinstance(entry, Mapping)]

    def _entry(self) -> Mapping[str, Any]:
        return next(iter(self.entries), {})


def call_error(failure: Failure, *, connection: str, operation: str, write: bool) -> ConnectorError:
    """Name what a failed call means to its caller. Status 401 is the transport's own business."""
    where: dict[str, str] = {
        "connection": connection,
        "operation": operation,
        "request_id": failure.request_id,
    }
    told = f"{failure.code} {failure.message}".strip() or f"HTTP {failure.status}"
    said = f"{connection}: Salesforce answered {operation} with {told}."
    if failure.status == 429 or failure.code == "REQUEST_LIMIT_EXCEEDED":
        pause = failure.retry_after_seconds
        if pause is None:
            pause = _pause(failure.message) if failure.code else CONCURRENCY_PAUSE_SECONDS
        hint = advice("REQUEST_LIMIT_EXCEEDED") if pause == QUOTA_PAUSE_SECONDS else ""
        return RateLimited(said, retry_after_seconds=pause, hint=hint, **where)
    if failure.code in _TOO_MUCH and failure.status < 500:
        hint = advice(failure.code)
        return QueryTooLarge(said, may_have_happened=False, hint=hint, **where)
    if failure.code in _TRANSIENT and failure.status < 500:
        return CrmUnavailable(said, may_have_happened=False, **where)
    if failure.status >= 500 or failure.status in _EDGE_STATUSES:
        reached = write and failure.status >= 500
        return CrmUnavailable(said, may_have_happened=reached, **where)
    if failure.status == 403 or failure.code in _DENIED:
        permission = "Give the integration user the permission and run the connection check again."
        hint = advice(failure.code) or permission
        return NotPermitted(said, hint=hint, **where)
    if failure.status < 400:
        hint = "Set base_url to the org's My Domain address (https://….my.salesforce.com)."
        return CallRejected(said, hint=hint, **where)
    if failure.status == 410:
        return CallRejected(said, hint="Set api_version to a version this org offers.", **where)
    if not failure.readable and failure.status not in (404, *_TOO_LONG_STATUSES):
        return CrmUnavailable(said, may_have_happened=write, **where)
    return CallRejected(said, hint=advice(failure.code), **where)


def _pause(message: str) -> float:
    """Tell by the words of REQUEST_LIMIT_EXCEEDED how long it lasts: one code stands for both."""
    return CONCURRENCY_PAUSE_SECONDS if "Concurrent" in message else QUOTA_PAUSE_SECONDS


def row_outcome(
    errors: Sequence[Mapping[str, Any]], *, record_id: str, key_field: str, object_name: str = ""
) -> Outcome:
    """Name what the errors of one row mean. `record_id` is empty for a create.

    `Gone` for an update is a guess until the record has been looked for: a lookup to a deleted
    record is refused with the same codes.
    """
    first: Mapping[str, Any] = errors[0] if errors else {}
    code = str(first.get("statusCode") or first.get("errorCode") or "UNKNOWN_EXCEPTION")
    message = str(first.get("message") or "")[:_MESSAGE_MAX]
    fields = [str(name) for name in first.get("fields") or ()]
    if code == "DUPLICATE_VALUE" and not record_id:
        clash = _DUPLICATE.search(message)
        if clash and clash[1].lower() == key_field.lower():
            return AlreadyExists(to_18(clash[2]))
        if (not clash or clash[1] == "<unknown>") and key_field in (fields or [key_field]):
            return AlreadyExists(None)
    # A lock met inside a flow or trigger is reported as that flow's or trigger's own failure.
    if code in _TRANSIENT | _TOO_MUCH or "UNABLE_TO_LOCK_ROW" in message:
        return Deferred(f"{code}: {message}", LOCK_PAUSE_SECONDS)
    if code == "REQUEST_LIMIT_EXCEEDED":
        return Deferred(f"{code}: {message}", _pause(message), tried=False, throttled=True)
    if code == "ENTITY_IS_LOCKED":
        return Deferred(f"{code}: {message}", APPROVAL_PAUSE_SECONDS)
    if record_id and code == "CANNOT_UPDATE_CONVERTED_LEAD":
        return Gone(record_id, Absence.CONVERTED)
    if record_id and code in _ABSENT:
        deleted = code == "ENTITY_IS_DELETED"
        return Gone(record_id, Absence.DELETED if deleted else Absence.NOT_FOUND)
    matches = _matches(first, object_name) if code == DUPLICATES_DETECTED else []
    others = [f"{name} {found}" for name, found in matches if name != object_name]
    if others:
        message += f" Found too: {', '.join(others)}."
    duplicates = tuple(found for name, found in matches if name == object_name)
    return Refused(code, message, fields[0] if fields else None, duplicates, advice(code, fields))


def _matches(error: Mapping[str, Any], object_name: str) -> list[tuple[str, str]]:
    """Read which records a duplicate rule found, each with its object: a lead's may be a contact.

    Older versions of the API spell the key `duplicateResut`. Records that our user may not see
    are left out by Salesforce.
    """
    result = error.get("duplicateResult") or error.get("duplicateResut") or {}
    found = [
        (str(match.get("entityType") or object_name), to_18(str(record["Id"])))
        for match in result.get("matchResults") or ()
        for each in match.get("matchRecords") or ()
        if (record := each.get("record") or {}).get("Id")
    ]
    return list(dict.fromkeys(found))
