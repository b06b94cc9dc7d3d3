"""Signs in to HubSpot: with a token that does not end, or as an OAuth app with a refresh token.

A service key, a static-auth project app and an old private app all have one token that is simply
used. An OAuth app's access token lasts half an hour by HubSpot's word and is renewed a little
before, once for all workers (`connectors.tokens`); the refresh token that comes with it takes the
place of the old one, whether or not it differs. Sources: HubSpot developer documentation,
"Manage OAuth tokens", "Service keys", "Private apps"; the `2026-03` token paths as hubspot-sdk
0.1.0a9 sends them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from connectors.errors import AuthenticationFailed, CrmUnavailable, RateLimited
from connectors.port import ConnectionSettings
from connectors.tokens import StoredToken, TokenVault

#: How long before its end a token is renewed.
MARGIN = timedelta(minutes=2)
#: Lifetime of a token where the answer names none.
_LIFETIME_SECONDS = 1800
_RATE_LIMIT_PAUSE_SECONDS = 10.0
_OPERATION = "sign in"
_HINTS: Mapping[str, str] = {
    "invalid_grant": (
        "The refresh token was revoked or is of another app: install the app in the account "
        "again and set the new refresh_token."
    ),
    "BAD_HUB": "The app was removed from this account: install it again.",
    "invalid_client": "Check client_id and client_secret: the app's, from its Auth settings.",
}
_ANY_HINT = "Check client_id, client_secret and refresh_token of the connection."

#: Sends a form and returns status, headers and body; raises `CrmUnavailable` without an answer.
SendForm = Callable[[str, Mapping[str, str]], tuple[int, Mapping[str, str], bytes]]


class Tokens:
    """Hands out the token to use; thread-safe."""

    def __init__(
        self,
        settings: ConnectionSettings,
        version: str,
        send: SendForm,
        clock: Callable[[], datetime],
        vault: TokenVault,
    ) -> None:
        self._given = {name: value.strip() for name, value in settings.credentials.items()}
        self._connection = str(settings.name)
        self._url = settings.token_url or f"{settings.base_url.rstrip('/')}/oauth/{version}/token"
        self._send = send
        self._clock = clock
        self._vault = vault
        self._held: StoredToken | None = None

    @property
    def renewable(self) -> bool:
        """True where a token that has ended can be renewed without a person."""
        return "refresh_token" in self._given

    def current(self) -> StoredToken:
        """Return the token to use now, signing in where there is none or it is about to end."""
        if not self.renewable:
            return StoredToken(self._given.get("access_token", ""))
        held = self._held
        if held is None or self._ends_soon(held):
            held = self._held = self._lasting(self._vault.renew(held, self._sign_in))
        return held

    def renew(self, ended: StoredToken) -> StoredToken:
        """Return a newer token than the one that HubSpot says has ended."""
        self._held = self._vault.renew(ended, self._sign_in)
        return self._held

    def _lasting(self, token: StoredToken) -> StoredToken:
        """Return a token, or its successor where the stored one is about to end, too."""
        return self._vault.renew(token, self._sign_in) if self._ends_soon(token) else token

    def _ends_soon(self, token: StoredToken) -> bool:
        return token.expires_at is not None and token.expires_at - MARGIN <= self._clock()

    def _sign_in(self, stored: StoredToken | None) -> StoredToken:
        spent = stored.refresh_token if stored else ""
        form = {
            "grant_type": "refresh_token",
            "client_id": self._given.get("client_id", ""),
            "client_secret": self._given.get("client_secret", ""),
            "refresh_token": spent or self._given["refresh_token"],
        }
        status, headers, raw = self._send(self._url, form)
        try:
            answer = json.loads(raw)
        except ValueError:
            answer = None
        request_id = headers.get("x-hubspot-correlation-id", "")
        about = {"connection": self._connection, "operation": _OPERATION, "request_id": request_id}
        if status == 429:
            raise RateLimited(
                "HubSpot asks to wait before signing in again.",
                retry_after_seconds=_RATE_LIMIT_PAUSE_SECONDS,
                **about,
            )
        if status >= 500 or not isinstance(answer, dict):
            raise CrmUnavailable(
                f"HubSpot answered the sign-in with {status} and no token.",
                may_have_happened=False,
                **about,
            )
        if not 200 <= status < 300 or not answer.get("access_token"):
            words = str(
                answer.get("error_description") or answer.get("message") or f"status {status}"
            )
            raise AuthenticationFailed(
                f"HubSpot refused to sign in: {words[:200]}", hint=_hint(answer), **about
            )
        return self._read(answer, form["refresh_token"])

    def _read(self, answer: Mapping[str, Any], sent: str) -> StoredToken:
        lifetime = timedelta(seconds=int(answer.get("expires_in") or _LIFETIME_SECONDS))
        scopes = answer.get("scopes")
        return StoredToken(
            access_token=str(answer["access_token"]),
            expires_at=self._clock() + lifetime,
            refresh_token=str(answer.get("refresh_token") or sent),
            details={"scopes": " ".join(map(str, scopes)) if isinstance(scopes, list) else ""},
        )


def _hint(answer: Mapping[str, Any]) -> str:
    told = f"{answer.get('error')} {answer.get('status')} {answer.get('category')}"
    return next((hint for part, hint in _HINTS.items() if part in told), _ANY_HINT)
