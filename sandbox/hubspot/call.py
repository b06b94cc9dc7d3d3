"""One request to the portal, as its handlers see it."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request

from sandbox.hubspot.engine import HubSpotOrg
from sandbox.hubspot.schema import ObjectType
from sandbox.hubspot.values import HubSpotError

Json = dict[str, Any]


class Call:
    """One authenticated request with its body read."""

    def __init__(self, org: HubSpotOrg, request: Request, raw: bytes) -> None:
        self.org = org
        self.params = request.path_params
        self.query = request.query_params
        self.dated = "/crm/v" not in request.url.path
        #: By the paths of 2026-09, whose answers differ from those before in places.
        self.latest = "/2026-09/" in request.url.path
        self.raw = raw

    def kind(self, name: str = "type") -> ObjectType:
        """Find the object type that a part of the path names."""
        return self.org.kind(self.params[name])

    def body(self) -> Json:
        """Read the body; 400 unless it is a JSON object."""
        try:
            body = json.loads(self.raw or b"{}")
        except ValueError as error:
            raise HubSpotError(
                400, f"Invalid input JSON on line 1: {error}", "VALIDATION_ERROR"
            ) from None
        if not isinstance(body, dict):
            raise HubSpotError(
                400, "Invalid input JSON: an object was expected", "VALIDATION_ERROR"
            )
        return body

    def names(self, parameter: str) -> list[str]:
        """A list of names, repeated or joined by commas."""
        return [n for text in self.query.getlist(parameter) for n in text.split(",") if n]

    def flag(self, parameter: str) -> bool:
        """Read a yes or no; Python clients send a capital."""
        return self.query.get(parameter, "false").lower() == "true"

    def scope(self, kind: ObjectType, verb: str) -> None:
        """Refuse with 403 without the scope of an object type."""
        self.org.access.require(f"crm.objects.{kind.scope}.{verb}")

    def schema_scope(self, kind: ObjectType, verb: str) -> None:
        """Definitions have scopes of their own, but for leads."""
        area = "objects" if kind.name == "leads" else "schemas"
        self.org.access.require(f"crm.{area}.{kind.scope}.{verb}")
