"""How the REST API words an answer: JSON, dated by the org's clock, errors as a list.

REST API Developer Guide, "Status Codes and Error Responses".
"""

from __future__ import annotations

import json
from datetime import UTC
from email.utils import format_datetime
from typing import Any

from starlette.responses import Response

from sandbox.salesforce.engine import SalesforceOrg
from sandbox.salesforce.errors import SalesforceError

#: The last version seen to misspell the key of a duplicate rule's findings. The guide names the right
#: spelling alone; answers of v51 have the wrong one and answers of v60 the right one.
MISSPELT_UNTIL = 51


def as_json(content: object, status: int, org: SalesforceOrg) -> Response:
    """Answer JSON."""
    return Response(
        json.dumps(content),
        status,
        date_header(org),
        media_type="application/json;charset=UTF-8",
    )


def refused(refusal: SalesforceError, org: SalesforceOrg, version: str = "") -> Response:
    """Answer a refusal as a version of the API (`67.0`) words it."""
    error = _error(refusal.code, refusal.text, *refusal.fields)
    if refusal.duplicates is not None:
        old = version and float(version) <= MISSPELT_UNTIL
        error["duplicateResut" if old else "duplicateResult"] = refusal.duplicates
    return as_json([error], refusal.status, org)


def not_played(message: str, org: SalesforceOrg) -> Response:
    """Say that this part of the API is not here."""
    return as_json([_error("NOT_IMPLEMENTED", message)], 501, org)


def date_header(org: SalesforceOrg) -> dict[str, str]:
    """Return the Date header: the engine's clock, in whole seconds."""
    now = org.store.clock().astimezone(UTC).replace(microsecond=0)
    return {"Date": format_datetime(now, usegmt=True)}


def _error(code: str, message: str, *fields: str) -> dict[str, Any]:
    error: dict[str, Any] = {"message": message, "errorCode": code}
    return {**error, "fields": list(fields)} if fields else error
