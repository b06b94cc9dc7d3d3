"""Bodies of requests: read whole up to a limit, and refused in Salesforce's words when they are odd."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request

from sandbox.salesforce.bulk import UPLOAD_MAX
from sandbox.salesforce.errors import SalesforceError

BODY_MAX = UPLOAD_MAX


async def read(request: Request) -> bytes:
    """Read a body; 413 over the limit."""
    parts = bytearray()
    async for chunk in request.stream():
        parts += chunk
        if len(parts) > BODY_MAX:
            raise SalesforceError(
                "REQUEST_ENTITY_TOO_LARGE", f"The request body exceeds {BODY_MAX} bytes", status=413
            )
    return bytes(parts)


def json_of(body: bytes) -> object:
    """Read a body as JSON."""
    try:
        return json.loads(body)
    except ValueError as wrong:
        raise SalesforceError(
            "JSON_PARSER_ERROR", f"The request body is not JSON: {wrong}"
        ) from wrong


def mapping_of(body: bytes) -> dict[str, Any]:
    """Read a body as a JSON object."""
    found = json_of(body)
    if not isinstance(found, dict):
        raise SalesforceError("JSON_PARSER_ERROR", "The request body is no object")
    return found
