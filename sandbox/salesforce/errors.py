"""How the Salesforce stand-in says no: the vendor's own status, code, message and fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.org import SandboxError


class SalesforceError(SandboxError):
    """A refusal in the vendor's words (REST API Developer Guide, Status Codes and Error Responses)."""

    def __init__(
        self, code: str, message: str, fields: tuple[str, ...] = (), *, status: int = 400
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.text = message
        self.fields = fields
        self.status = status
        #: What a duplicate rule found, for single-record requests (`rules.py`).
        self.duplicates: Mapping[str, Any] | None = None


class Unsupported(SandboxError):
    """A part of the vendor's API that this stand-in does not play; answered with 501."""
