"""One call on the Web API and its answer, apart from any server.

Dataverse developer guide, "Compose HTTP requests and handle errors".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from sandbox.dynamics365.errors import WebApiError, payload_error
from sandbox.dynamics365.multipart import Operation

API = "/api/data/v9.2/"
#: Longest address, and longest of an operation in a batch: Dataverse developer guide, "Query data
#: using the Web API".
URL_MAX, URL_MAX_IN_BATCH = 32_768, 65_536


@dataclass(frozen=True)
class Call:
    """A request of a signed-in user; header names in lower case, path and query decoded."""

    method: str
    #: Below the root of the API.
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    user_id: str
    #: Absolute root of the API, for links.
    root: str

    def prefers(self, preference: str) -> bool:
        """Tell whether a preference was sent."""
        return preference in re.split(r"\s*,\s*", self.headers.get("prefer", ""))

    def annotates(self, name: str) -> bool:
        """Tell whether an annotation was asked for."""
        match = re.search(r'odata\.include-annotations="([^"]*)"', self.headers.get("prefer", ""))
        wanted = match.group(1).split(",") if match else []
        return any(one in (name, "*") for one in wanted)

    @property
    def page_size(self) -> int:
        """Rows a page: what was asked for, at most 5,000."""
        match = re.search(r"odata\.maxpagesize=(\d+)", self.headers.get("prefer", ""))
        return max(1, min(5000, int(match.group(1)))) if match else 5000

    def json(self, set_name: str) -> dict[str, Any]:
        """Read the body as one JSON object."""
        try:
            body = json.loads(self.body or b"{}")
        except ValueError:
            raise payload_error(set_name, "The body is not JSON.") from None
        if not isinstance(body, dict):
            raise payload_error(set_name, "The body is not a JSON object.")
        return body


@dataclass(frozen=True)
class Answer:
    """What is answered: JSON for a mapping, text for a string, raw bytes as they are."""

    status: int
    body: Mapping[str, Any] | str | bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    #: Address, by id, of the record that was created; empty when none was.
    created: str = ""

    def encoded(self) -> bytes:
        """The body in bytes."""
        if self.body is None:
            return b""
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


def refusal(error: WebApiError) -> Answer:
    """Word a refusal as the Web API does."""
    body = {"error": {"code": error.code, "message": error.message}}
    return Answer(error.status, body, dict(error.headers))


def inner_call(outer: Call, operation: Operation) -> Call:
    """Turn an operation of a batch into a call; its address is absolute or from the root."""
    if len(operation.url) > URL_MAX_IN_BATCH:
        raise WebApiError(400, "0x80060888", "The address of an operation is too long.")
    address = urlsplit(operation.url)
    path = unquote(address.path)
    if not path.startswith(API):
        raise WebApiError(400, "0x80060888", f"'{operation.url}' is not an address of this API.")
    return replace(
        outer,
        method=operation.method,
        path=path.removeprefix(API),
        query=dict(parse_qsl(address.query, keep_blank_values=True)),
        headers=operation.headers,
        body=operation.body,
    )
