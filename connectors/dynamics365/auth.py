"""Access tokens by client credentials from Microsoft Entra, through msal.

A client secret or a certificate proves who we are. The token is shared by all workers through the
vault of the connection. The msal app object asks the authority for its endpoints when it is built,
so it is built at the first sign-in, and again after a failure because msal remembers failures for
up to an hour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msal
import requests
from jwt import PyJWTError
from msal.exceptions import MsalError

from connectors.dynamics365.errors import retry_after_seconds
from connectors.errors import AuthenticationFailed, CrmUnavailable, RateLimited
from connectors.port import ConnectionSettings
from connectors.tokens import StoredToken, TokenVault

_MICROSOFT = "https://login.microsoftonline.com"
_MICROSOFT_HOSTS = frozenset(
    {
        "login.microsoftonline.com",
        "login.microsoftonline.us",
        "login.partner.microsoftonline.cn",
        "login.chinacloudapi.cn",
    }
)
_TRANSIENT = frozenset({"temporarily_unavailable", "server_error"})
_HINTS = {
    "invalid_client": "Set a client secret that has not expired (its value, not its id), or upload "
    "the certificate to the app registration.",
    "unauthorized_client": "Check client_id: the app registration is not in this tenant.",
    "invalid_request": "Check tenant_id or token_url.",
}
_SIGN_IN = "sign in"
#: A token that ends sooner is replaced before it is used.
_SPARE = timedelta(minutes=5)
_PFX = (".pfx", ".p12")


class _HttpClient:
    """The session as msal calls it, which would take a 429 for refused credentials."""

    def __init__(self, session: requests.Session, connection: str) -> None:
        self._session = session
        self._connection = connection

    def get(self, url: str, **options: Any) -> requests.Response:
        return self._unthrottled(self._session.get(url, **options))

    def post(self, url: str, **options: Any) -> requests.Response:
        return self._unthrottled(self._session.post(url, **options))

    def _unthrottled(self, answer: requests.Response) -> requests.Response:
        if answer.status_code == 429:
            raise RateLimited(
                "The sign-in service asks to slow down.",
                retry_after_seconds=retry_after_seconds(answer.headers),
                connection=self._connection,
                operation=_SIGN_IN,
            )
        return answer


class TokenSource:
    """Hands out the access token of one connection; thread-safe, for it is the vault that waits."""

    def __init__(
        self,
        settings: ConnectionSettings,
        session: requests.Session,
        clock: Callable[[], datetime],
        vault: TokenVault,
    ) -> None:
        self._settings = settings
        self._session = session
        self._clock = clock
        self._vault = vault
        self._app: Any = None
        self._known: StoredToken | None = None

    def token(self) -> str:
        """Return a good token, from memory where it still lasts.

        Raises `AuthenticationFailed` when Entra refuses the credentials, `CrmUnavailable` when it
        does not answer and `RateLimited` when it asks to wait.
        """
        known = self._known
        if known is None or self._ends(known):
            known = self._known = self._vault.renew(known, self._fetch)
            if self._ends(known):  # what another worker left long ago
                known = self._known = self._vault.renew(known, self._fetch)
        return known.access_token

    def renewed(self, refused: str) -> str:
        """Return another token than the one that was refused; others may have got it already."""
        known = self._known
        if known is not None and known.access_token == refused:
            self._known = self._vault.renew(known, self._fetch)
        return self.token()

    def _ends(self, token: StoredToken) -> bool:
        return token.expires_at is not None and token.expires_at - self._clock() < _SPARE

    def _fetch(self, _: StoredToken | None) -> StoredToken:
        """Sign in; one caller at a time, which the vault sees to."""
        scope = f"{self._settings.base_url.rstrip('/')}/.default"
        asked_at = self._clock()
        try:
            if self._app is None:
                self._app = self._build()
            self._app.remove_tokens_for_client()  # msal would give the refused one again
            answer: dict[str, Any] = self._app.acquire_token_for_client(scopes=[scope])
        except (requests.exceptions.RequestException, MsalError) as error:
            self._app = None
            raise CrmUnavailable(
                f"No answer from the sign-in service: {type(error).__name__}.",
                connection=self._settings.name,
                operation=_SIGN_IN,
            ) from error
        except (ValueError, OSError, PyJWTError) as error:
            self._app = None
            raise self._unusable() from error
        if "access_token" not in answer:
            self._app = None
            raise self._refused(answer)
        lasts = timedelta(seconds=int(answer.get("expires_in") or 0))
        return StoredToken(str(answer["access_token"]), expires_at=asked_at + lasts)

    def _build(self) -> Any:
        credentials = self._settings.credentials
        authority = self._settings.token_url or f"{_MICROSOFT}/{credentials['tenant_id']}"
        return msal.ConfidentialClientApplication(
            credentials["client_id"],
            client_credential=self._proof(credentials),
            authority=authority.rstrip("/"),
            # Microsoft vouches for its own hosts only.
            instance_discovery=None if urlsplit(authority).hostname in _MICROSOFT_HOSTS else False,
            http_client=_HttpClient(self._session, self._settings.name),
        )

    def _proof(self, credentials: Mapping[str, str]) -> str | dict[str, Any]:
        """Return the secret, or the certificate with its key as msal takes it."""
        file = credentials.get("certificate_file")
        if not file:
            return credentials["client_secret"]
        password = credentials.get("certificate_password") or None
        if file.lower().endswith(_PFX):
            # `True` sends the certificate along, so that it may be replaced by one of the same name.
            proof: dict[str, Any] = {"private_key_pfx_path": file, "public_certificate": True}
        else:
            pem = Path(file).read_text(encoding="utf-8")
            proof = {"private_key": pem, "public_certificate": pem}
        return {**proof, "passphrase": password} if password else proof

    def _unusable(self) -> AuthenticationFailed:
        """Word what msal refuses before it calls anybody; its own words may hold a key."""
        name, hint = self._settings.name, "Check tenant_id or token_url of {}: it must be https."
        if "certificate_file" in self._settings.credentials:
            hint += (
                " certificate_file must hold the certificate and its private key, as PEM or PFX, "
                "and certificate_password must open it."
            )
        return AuthenticationFailed(
            "The sign-in authority or the certificate cannot be used.",
            connection=name,
            operation=_SIGN_IN,
            hint=hint.format(name),
        )

    def _refused(self, answer: dict[str, Any]) -> AuthenticationFailed | CrmUnavailable:
        error = str(answer.get("error") or "")
        if not error or error in _TRANSIENT:
            return CrmUnavailable(
                "The sign-in service cannot give a token right now.",
                connection=self._settings.name,
                operation=_SIGN_IN,
            )
        numbers = ", ".join(f"AADSTS{number}" for number in answer.get("error_codes") or [])
        return AuthenticationFailed(
            f"The sign-in service refused the credentials of {self._settings.name}: {error}"
            + (f" ({numbers})." if numbers else "."),
            connection=self._settings.name,
            operation=_SIGN_IN,
            request_id=str(answer.get("trace_id") or ""),
            hint=_HINTS.get(error, "Check tenant_id, client_id and the secret or certificate."),
        )
