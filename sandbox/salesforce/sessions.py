"""OAuth tokens of the Salesforce stand-in: three flows, opaque tokens, revocable at once.

Salesforce Help: "OAuth 2.0 Client Credentials Flow for Server-to-Server Integration", "OAuth 2.0
JWT Bearer Flow", "OAuth 2.0 Refresh Token Flow" and its Refresh Token Rotation. The host is always
a My Domain; login.salesforce.com is not played.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import jwt

from sandbox.salesforce.errors import SalesforceError

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
#: Who an assertion may be for.
AUDIENCES = ("https://login.salesforce.com", "https://test.salesforce.com")
#: Longest life of an assertion that is taken.
ASSERTION_MAX = timedelta(minutes=5)


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
    #: Handed out in place of the one that was used, where the app rotates them; else empty.
    refresh_token: str = ""


class Sessions:
    """Hands out and checks tokens for one org and its integration user."""

    def __init__(self, org_id: str, credentials: Mapping[str, str], user_name: str) -> None:
        self._org_id = org_id
        self._client_id = credentials["client_id"]
        self._secret = credentials["client_secret"]
        self._user_name = user_name
        self._live: set[str] = set()
        self._number = 0
        self._public_key = ""
        self._refresh_tokens: set[str] = set()
        self._spent: set[str] = set()
        self._rotating = False

    # What an admin does in Setup

    def trust(self, public_key: str) -> None:
        """Upload the app's certificate (here: its public key, PEM) for the JWT bearer flow."""
        self._public_key = public_key

    def authorize(self, *, rotating: bool) -> str:
        """Approve the app in the browser; returns its first refresh token."""
        self._rotating = rotating
        token = self._opaque("refresh")
        self._refresh_tokens = {token}
        return token

    # The token endpoint

    def sign_in(self, form: Mapping[str, str], now: datetime) -> Grant:
        """Answer a token request; `OAuthError` with the vendor's codes."""
        match form.get("grant_type"):
            case "client_credentials":
                self._check_app(form)
                return self._grant(now)
            case "refresh_token":
                self._check_app(form)
                return self._refresh(form.get("refresh_token", ""), now)
            case str(grant_type) if grant_type == JWT_BEARER:
                self._check_assertion(form.get("assertion", ""), now)
                return self._grant(now)
        raise OAuthError("unsupported_grant_type", "grant type not supported")

    def _check_app(self, form: Mapping[str, str]) -> None:
        if not hmac.compare_digest(form.get("client_id", "").encode(), self._client_id.encode()):
            raise OAuthError("invalid_client_id", "client identifier invalid")
        if not hmac.compare_digest(form.get("client_secret", "").encode(), self._secret.encode()):
            raise OAuthError("invalid_client", "invalid client credentials")

    def _refresh(self, token: str, now: datetime) -> Grant:
        if token not in self._refresh_tokens:
            if token in self._spent:
                # Somebody stole a spent one, or had it from before: the whole grant ends.
                self._refresh_tokens.clear()
            raise OAuthError("invalid_grant", "expired access/refresh token")
        if not self._rotating:
            return self._grant(now)
        self._spent.add(token)
        following = self._opaque("refresh")
        self._refresh_tokens = {following}
        return self._grant(now, following)

    def _check_assertion(self, assertion: str, now: datetime) -> None:
        try:
            claims = jwt.decode(
                assertion,
                self._public_key,
                algorithms=["RS256"],
                audience=AUDIENCES,
                options={"verify_exp": False, "require": ["iss", "sub", "aud", "exp"]},
            )
        except jwt.InvalidAudienceError as wrong:
            raise OAuthError("invalid_grant", "audience is invalid") from wrong
        except (jwt.PyJWTError, ValueError) as wrong:
            raise OAuthError("invalid_grant", "invalid assertion") from wrong
        if claims["iss"] != self._client_id:
            raise OAuthError("invalid_client_id", "client identifier invalid")
        if claims["sub"] != self._user_name:
            raise OAuthError("invalid_grant", "user hasn't approved this consumer")
        left = claims["exp"] - now.timestamp()
        if not 0 < left <= ASSERTION_MAX.total_seconds():
            raise OAuthError("invalid_grant", "invalid assertion")

    def _grant(self, now: datetime, refresh_token: str = "") -> Grant:
        opaque = self._opaque(now.isoformat())
        token = f"{self._org_id[:15]}!{opaque}"
        self._live.add(token)
        return Grant(token, now, opaque[:24], refresh_token)

    def _opaque(self, what: str) -> str:
        self._number += 1
        seed = f"{self._org_id}:{self._number}:{what}"
        return hmac.new(self._secret.encode(), seed.encode(), hashlib.sha256).hexdigest()

    # The API

    def check(self, authorization: str) -> None:
        """Admit a request by its Authorization header, or INVALID_SESSION_ID with 401."""
        scheme, _, token = authorization.partition(" ")
        if scheme not in ("Bearer", "OAuth") or token not in self._live:
            raise SalesforceError("INVALID_SESSION_ID", "Session expired or invalid", status=401)

    def expire_all(self) -> None:
        """Kill every access token at once."""
        self._live.clear()
