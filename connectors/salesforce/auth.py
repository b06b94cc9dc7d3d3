"""Signs in by client credentials, by JWT bearer, or with a refresh token, one token per connection.

The credentials that are set tell which (Salesforce Help: "OAuth 2.0 Client Credentials Flow for
Server-to-Server Integration", "OAuth 2.0 JWT Bearer Flow", "OAuth 2.0 Refresh Token Flow").
Salesforce states no lifetime: a token is used until the API says INVALID_SESSION_ID and is then
renewed once, however many threads and workers noticed. With Refresh Token Rotation each refresh
token works once, and the answer's own takes its place before anything else happens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
import requests

from connectors.errors import AuthenticationFailed, CrmUnavailable, RateLimited
from connectors.port import ConnectionSettings, OrgIdentity
from connectors.salesforce.wire import is_id, to_18
from connectors.tokens import StoredToken, TokenVault

TOKEN_PATH = "/services/oauth2/token"  # noqa: S105 - a path, no secret
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
#: Salesforce takes assertions that end within minutes.
ASSERTION_LIFETIME = timedelta(minutes=3)
_RATE_LIMIT_PAUSE_SECONDS = 60.0
_OPERATION = "sign in"
_AUDIENCE = {"sandbox": "https://test.salesforce.com"}
_PRODUCTION_AUDIENCE = "https://login.salesforce.com"
#: What to do about a refusal, by a part of its words; the first that fits.
_HINTS: Mapping[str, str] = {
    "not supported on this domain": (
        "Set base_url to the org's My Domain host; login.salesforce.com and test.salesforce.com "
        "refuse client credentials."
    ),
    "no client credentials user": (
        "Choose a run-as user in the client credentials flow of the External Client App's policies."
    ),
    "hasn't approved": (
        "In the External Client App's policies, set Permitted Users to admin approved users and "
        "add the integration user's permission set."
    ),
    "expired access/refresh token": (
        "The refresh token is spent or was revoked: authorize the app again and set the new one."
    ),
    "audience": (
        "Check `environment`: assertions are for login.salesforce.com in production and for "
        "test.salesforce.com in a sandbox."
    ),
    "invalid assertion": (
        "Check that the External Client App holds the certificate of private_key_file, and that "
        "this machine's clock is right."
    ),
    "inactive": "Activate the integration user, or give the app another run-as user.",
    "ip restricted": (
        "Relax the login IP ranges and login hours of the integration user's profile, or the "
        "app's IP policy."
    ),
    "authentication failure": (
        "Check the integration user: active, licensed, and allowed to use the app."
    ),
    "invalid_client": "Check client_id and client_secret: the External Client App's key and secret.",
    "unsupported_grant_type": "Switch this flow on in the External Client App's OAuth settings.",
}
_ANY_HINT = (
    "Check the credentials, that the External Client App has this flow switched on, and that "
    "base_url is the org's My Domain host."
)


@dataclass(frozen=True)
class Token:
    """An access token, the host it is for, and who it says we are."""

    access_token: str = field(repr=False)
    instance_url: str
    identity: OrgIdentity


class TokenProvider:
    """Hands out the current token; thread-safe. `session` gives each thread its HTTP session."""

    def __init__(
        self,
        settings: ConnectionSettings,
        session: Callable[[], requests.Session],
        clock: Callable[[], datetime],
        vault: TokenVault,
    ) -> None:
        self._settings = settings
        self._session = session
        self._clock = clock
        self._vault = vault
        self._current: Token | None = None

    def current(self) -> Token:
        """Return the token in use, signing in if there is none."""
        token = self._current
        if token is None:
            token = self._current = _token(self._vault.renew(None, self._sign_in))
        return token

    def renew(self, failed: Token) -> Token:
        """Return a newer token than the one that was refused; one sign-in for all who ask."""
        seen = StoredToken(failed.access_token)
        token = self._current = _token(self._vault.renew(seen, self._sign_in))
        return token

    def _sign_in(self, stored: StoredToken | None) -> StoredToken:
        settings = self._settings
        form = self._form(stored)
        url = settings.token_url or settings.base_url.rstrip("/") + TOKEN_PATH
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
        return self._read(answer, form.get("refresh_token", ""))

    def _form(self, stored: StoredToken | None) -> dict[str, str]:
        given = self._settings.credentials
        if given.get("private_key_file"):
            return {"grant_type": JWT_BEARER, "assertion": self._assertion()}
        missing = [k for k in ("client_id", "client_secret") if not given.get(k)]
        if missing:
            raise self._failed(
                f"no {' and no '.join(missing)} to sign in to Salesforce with",
                "Set the connection's credentials from the External Client App.",
            )
        form = {name: given[name] for name in ("client_id", "client_secret")}
        if not given.get("refresh_token"):
            return form | {"grant_type": "client_credentials"}
        newest = stored.refresh_token if stored else ""
        return form | {
            "grant_type": "refresh_token",
            "refresh_token": newest or given["refresh_token"],
        }

    def _assertion(self) -> str:
        """Word and sign the claims of a JWT bearer request, by RS256."""
        given = self._settings.credentials
        claims = {
            "iss": given.get("client_id", ""),
            "sub": given.get("username", ""),
            "aud": _AUDIENCE.get(self._settings.environment, _PRODUCTION_AUDIENCE),
            "exp": int((self._clock() + ASSERTION_LIFETIME).timestamp()),
        }
        try:
            key = Path(given["private_key_file"]).read_text(encoding="ascii")
            return jwt.encode(claims, key, algorithm="RS256")
        except (OSError, ValueError, TypeError, jwt.PyJWTError) as wrong:
            raise self._failed(
                f"private_key_file cannot be used ({type(wrong).__name__})",
                "Name a PEM file with an RSA private key without a passphrase.",
            ) from wrong

    def _read(self, answer: dict[str, Any], used_refresh_token: str) -> StoredToken:
        try:
            instance_url = str(answer["instance_url"])
            org_id, user_id = urlsplit(str(answer["id"])).path.rstrip("/").split("/")[-2:]
            access_token = str(answer["access_token"])
        except (KeyError, ValueError) as wrong:
            raise self._unavailable("an answer without token, instance_url or id") from wrong
        parts = urlsplit(instance_url)
        if parts.scheme != "https" or not parts.hostname or not (is_id(org_id) and is_id(user_id)):
            raise self._unavailable("an answer whose instance_url or id cannot be used")
        return StoredToken(
            access_token,
            refresh_token=str(answer.get("refresh_token") or used_refresh_token),
            details={
                "instance_url": instance_url,
                "org_id": to_18(org_id),
                "user_id": to_18(user_id),
            },
        )

    def _refused(self, status: int, answer: Any) -> AuthenticationFailed | RateLimited:
        said = answer if isinstance(answer, dict) else {}
        error = str(said.get("error", f"HTTP {status}"))
        description = str(said.get("error_description", ""))[:200]
        told = f"{error} {description}".strip()
        if status == 429 or "rate" in error or "rate exceeded" in description:
            return RateLimited(
                f"{self._settings.name}: Salesforce refused to sign us in: {told}",
                retry_after_seconds=_RATE_LIMIT_PAUSE_SECONDS,
                connection=self._settings.name,
                operation=_OPERATION,
            )
        hints = (hint for part, hint in _HINTS.items() if part in told.lower())
        return self._failed(f"Salesforce refused to sign us in: {told}", next(hints, _ANY_HINT))

    def _failed(self, what: str, hint: str) -> AuthenticationFailed:
        name = self._settings.name
        return AuthenticationFailed(
            f"{name}: {what}.", connection=name, operation=_OPERATION, hint=hint
        )

    def _unavailable(self, what: str) -> CrmUnavailable:
        name = self._settings.name
        return CrmUnavailable(
            f"{name}: the Salesforce token endpoint gave {what}.",
            connection=name,
            operation=_OPERATION,
        )


def _token(stored: StoredToken) -> Token:
    told = stored.details
    identity = OrgIdentity(told["org_id"], told["user_id"])
    return Token(stored.access_token, told["instance_url"], identity)
