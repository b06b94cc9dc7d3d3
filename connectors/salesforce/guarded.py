"""Patches of records that somebody else may be changing, each with a precondition of its own.

REST API Developer Guide, "Composite" (25 requests, each with headers and a status of its own) and
"Conditional Request Headers": a row modified after `If-Unmodified-Since` answers 412. The stamp has
whole seconds, so a save within the same second passes; the audit of overwrites finds that one.
Collections take no header, which is why only such records come here. A request within a composite
has of the outer headers only Accept, Authorization and Content-Type: it carries all others itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from email.utils import format_datetime
from typing import Any

from connectors.errors import CrmUnavailable
from connectors.salesforce.records import floor_second
from connectors.salesforce.transport import WRITE_HEADERS, Transport

#: Most requests of one composite.
REQUESTS_MAX = 25
_STALE = 412


def patch(
    transport: Transport,
    object_name: str,
    rows: Mapping[str, Mapping[str, Any]],
    since: Mapping[str, datetime],
    connection: str,
) -> dict[str, Mapping[str, Any] | None]:
    """Patch at most 25 records by id; returns what a collection would say of each, None if stale.

    Raises `ConnectorError`; `CrmUnavailable.may_have_happened` tells whether any may be written.
    """
    requests = [
        {
            "method": "PATCH",
            "url": f"{transport.api_path}/sobjects/{object_name}/{record_id}",
            "referenceId": f"row{place}",
            "httpHeaders": {**WRITE_HEADERS, "If-Unmodified-Since": _http_date(since[record_id])},
            "body": {n: v for n, v in row.items() if n not in ("attributes", "id")},
        }
        for place, (record_id, row) in enumerate(rows.items())
    ]
    what = f"update {object_name}"
    payload = {"allOrNone": False, "compositeRequest": requests}
    answer = transport.write("POST", "composite", operation=what, payload=payload)
    told: Sequence[Mapping[str, Any]] = (answer.data or {}).get("compositeResponse") or ()
    if len(told) != len(requests):
        raise CrmUnavailable(
            f"{connection}: Salesforce did not answer {what} row by row ({len(requests)} sent).",
            may_have_happened=True,
            connection=connection,
            operation=what,
        )
    return {record_id: _result(record_id, each) for record_id, each in zip(rows, told, strict=True)}


def _http_date(moment: datetime) -> str:
    return format_datetime(floor_second(moment), usegmt=True)


def _result(record_id: str, told: Mapping[str, Any]) -> Mapping[str, Any] | None:
    status = int(told["httpStatusCode"])
    if status == _STALE:
        return None
    if status < 300:
        return {"id": record_id, "success": True, "errors": []}
    errors = told.get("body")
    if not isinstance(errors, list):  # not the API's words: nothing is said against the record
        errors = [{"errorCode": "SERVER_UNAVAILABLE", "message": f"HTTP {status}"}]
    return {"success": False, "errors": errors}
