"""OAuth tokens of the Salesforce stand-in: client credentials only, opaque, revocable at once."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sandbox.salesforce.errors import SalesforceError


class OAuthError(Exception):
    """A refusal of the token endpoint: `error` and `error_description` of RFC 6749."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description


@dataclass(frozen=True)
class Grant:
    """A token that was handed out."""

    access_token: str
    issued_at: datetime
    signature: str


class Sessions:
    """Hands out and checks tokens for one org and its integration user."""

    def __init__(self, org_id: str, credentials: Mapping[str, str]) -> None:
        self._org_id = org_id
        self._client_id = credentials["client_id"]
        self._secret = credentials["client_secret"]
        self._live: set[str] = set()
        self._number = 0

    def sign_in(self, form: Mapping[str, str], now: datetime) -> Grant:
        """Answer a token request; `OAuthError` with the vendor's codes."""
        if form.get("grant_type") != "client_credentials":
            raise OAuthError("unsupported_grant_type", "grant type not supported")
        if not hmac.compare_digest(form.get("client_id", "").encode(), self._client_id.encode()):
            raise OAuthError("invalid_client_id", "client identifier invalid")
        if not hmac.compare_digest(form.get("client_secret", "").encode(), self._secret.encode()):
            raise OAuthError("invalid_client", "invalid client credentials")
        self._number += 1
        seed = f"{self._org_id}:{self._number}:{now.isoformat()}"
        opaque = hmac.new(self._secret.encode(), seed.encode(), hashlib.sha256).hexdigest()
        token = f"{self._org_id[:15]}!{opaque}"
        self._live.add(token)
        return Grant(token, now, opaque[:24])

    def check(self, authorization: str) -> None:
        """Admit a request by its Authorization header, or INVALID_SESSION_ID with 401."""
        scheme, _, token = authorization.partition(" ")
        if scheme not in ("Bearer", "OAuth") or token not in self._live:
            raise SalesforceError("INVALID_SESSION_ID", "Session expired or invalid", status=401)

    def expire_all(self) -> None:
        """Kill every token at once."""
        self._live.clear()
