"""Composite: up to 25 requests in one, each with its own headers and answer.

REST API Developer Guide, "Composite" and "Conditional Request Headers". The connector sends patches
of single records with `If-Unmodified-Since`, and nothing else is played. Of the outer headers
a request inherits only Accept, Authorization and Content-Type, which none of these is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from sandbox.salesforce import rows
from sandbox.salesforce.engine import SalesforceOrg
from sandbox.salesforce.errors import SalesforceError, Unsupported

REQUESTS_MAX = 25
_ROW = re.compile(r"/services/data/v\d+\.0/sobjects/(\w+)/(\w+)")
_REFERENCE = re.compile(r"\w+")


def run(org: SalesforceOrg, body: object, by: str) -> dict[str, Any]:
    """Carry out a composite (POST /composite): HTTP 200 whatever its requests answer."""
    if not isinstance(body, Mapping) or not isinstance(body.get("compositeRequest"), list):
        raise SalesforceError("JSON_PARSER_ERROR", "The request body has no compositeRequest")
    if body.get("allOrNone") not in (None, False):
        raise Unsupported("allOrNone is not played by the Salesforce stand-in")
    asked: list[Mapping[str, Any]] = body["compositeRequest"]
    if len(asked) > REQUESTS_MAX:
        raise SalesforceError(
            "LIMIT_EXCEEDED", f"Limit Exceeded. Max number of subrequests is {REQUESTS_MAX}"
        )
    names = [str(one.get("referenceId", "")) for one in asked]
    if len(set(names)) < len(names) or not all(map(_REFERENCE.fullmatch, names)):
        raise SalesforceError("INVALID_INPUT", "referenceId is missing, odd or used twice")
    return {"compositeResponse": [_answer(org, one, by) for one in asked]}


def _answer(org: SalesforceOrg, asked: Mapping[str, Any], by: str) -> dict[str, Any]:
    try:
        status, told = _patch(org, asked, by)
    except SalesforceError as refusal:
        error = {"message": refusal.text, "errorCode": refusal.code}
        fields = {"fields": list(refusal.fields)} if refusal.fields else {}
        status, told = refusal.status, [{**error, **fields}]
    return {
        "body": told,
        "httpHeaders": {},
        "httpStatusCode": status,
        "referenceId": asked["referenceId"],
    }


def _patch(org: SalesforceOrg, asked: Mapping[str, Any], by: str) -> rows.Answer:
    where = _ROW.fullmatch(str(asked.get("url", "")))
    if asked.get("method") != "PATCH" or where is None:
        raise Unsupported("only PATCH of single records is played within a composite")
    thing = org.object_named(where[1])
    if thing is None:
        raise SalesforceError("NOT_FOUND", "The requested resource does not exist", status=404)
    headers = {str(n).lower(): str(v) for n, v in (asked.get("httpHeaders") or {}).items()}
    with org.store.exclusive():
        if "if-unmodified-since" in headers:
            row = org.live(thing, where[2])
            if row.modified_at.replace(microsecond=0) > _moment(headers["if-unmodified-since"]):
                return 412, None
        return rows.change(org, thing, where[2], asked.get("body"), by, headers)


def _moment(text: str) -> datetime:
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except ValueError as wrong:
        raise SalesforceError("INVALID_HTTP_HEADER", f"no HTTP date: {text}") from wrong
