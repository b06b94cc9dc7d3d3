"""Signs in with the OAuth 2.0 client credentials flow and keeps one token for the process.

Salesforce states no lifetime; a token is used until the API says INVALID_SESSION_ID and is then
renewed once, under a lock, however many threads noticed (Salesforce Help, "OAuth 2.0 Client
Credentials Flow for Server-to-Server Integration"). The token endpoint must be the org's own My
Domain host.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests

from connectors.errors import AuthenticationFailed, CrmUnavailable, RateLimited
from connectors.port import ConnectionSettings, OrgIdentity
from connectors.salesforce.wire import is_id, to_18

TOKEN_PATH = "/services/oauth2/token"  # noqa: S105 - a path, no secret
_RATE_LIMIT_PAUSE_SECONDS = 60.0
_OPERATION = "sign in"


@dataclass(frozen=True)
class Token:
    """An access token, the host it is for, and who it says we are."""

    access_token: str = field(repr=False)
    instance_url: str
    identity: OrgIdentity


class TokenProvider:
    """Hands out the current token; thread-safe. `session` gives each thread its HTTP session."""

    def __init__(
        self, settings: ConnectionSettings, session: Callable[[], requests.Session]
    ) -> None:
        self._settings = settings
        self._session = session
        self._lock = threading.Lock()
        self._current: Token | None = None

    def current(self) -> Token:
        """Return the token in use, signing in if there is none."""
        with self._lock:
            if self._current is None:
                self._current = self._sign_in()
            return self._current

    def renew(self, failed: Token) -> Token:
        """Return a newer token than the one that was refused; one sign-in for all who ask."""
        with self._lock:
            if self._current is None or self._current is failed:
                self._current = None
                self._current = self._sign_in()
            return self._current

    def _sign_in(self) -> Token:
        settings = self._settings
        name = settings.name
        url = settings.token_url or settings.base_url.rstrip("/") + TOKEN_PATH
        missing = [k for k in ("client_id", "client_secret") if not settings.credentials.get(k)]
        if missing:
            raise AuthenticationFailed(
                f"{name}: no {' and no '.join(missing)} to sign in to Salesforce with.",
                connection=name,
                operation=_OPERATION,
                hint="Set the connection's credentials from the External Client App.",
            )
        form = {
            "grant_type": "client_credentials",
            "client_id": settings.credentials["client_id"],
            "client_secret": settings.credentials["client_secret"],
        }
        try:
            response = self._session().post(url, data=form)
        except requests.RequestException as wrong:
            raise self._unavailable(type(wrong).__name__) from wrong
        try:
            answer = response.json()
        except requests.JSONDecodeError as wrong:
            raise self._unavailable(f"HTTP {response.status_code} that is not JSON") from wrong
        if response.status_code >= 500:
            raise self._unavailable(f"HTTP {response.status_code}")
        if not response.ok or not isinstance(answer, dict):
            raise self._refused(response.status_code, answer)
        return self._read(answer)

    def _read(self, answer: dict[str, Any]) -> Token:
        try:
            instance_url = str(answer["instance_url"])
            org_id, user_id = urlsplit(str(answer["id"])).path.rstrip("/").split("/")[-2:]
            token = str(answer["access_token"])
        except (KeyError, ValueError) as wrong:
            raise self._unavailable("an answer without token, instance_url or id") from wrong
        parts = urlsplit(instance_url)
        if parts.scheme != "https" or not parts.hostname or not (is_id(org_id) and is_id(user_id)):
            raise self._unavailable("an answer whose instance_url or id cannot be used")
        return Token(token, instance_url, OrgIdentity(to_18(org_id), to_18(user_id)))

    def _refused(self, status: int, answer: Any) -> AuthenticationFailed | RateLimited:
        said = answer if isinstance(answer, dict) else {}
        error = str(said.get("error", f"HTTP {status}"))
        description = str(said.get("error_description", ""))[:200]
        name = self._settings.name
        message = f"{name}: Salesforce refused to sign us in: {error} {description}".strip()
        if status == 429 or "rate" in error:
            return RateLimited(
                message,
                retry_after_seconds=_RATE_LIMIT_PAUSE_SECONDS,
                connection=name,
                operation=_OPERATION,
            )
        return AuthenticationFailed(
            message,
            connection=name,
            operation=_OPERATION,
            hint=(
                "Check client id and secret, that the app has the client credentials flow with a "
                "run-as user, and that base_url is the org's My Domain host."
            ),
        )

    def _unavailable(self, what: str) -> CrmUnavailable:
        name = self._settings.name
        return CrmUnavailable(
            f"{name}: the Salesforce token endpoint gave {what}.",
            connection=name,
            operation=_OPERATION,
        )
