"""Access tokens by client credentials from Microsoft Entra, through msal.

One token per process, under a lock. The msal app object keeps the token and renews it when less
than five minutes are left; it is built at the first token because building it asks the authority
for its endpoints, and again after a failure because msal remembers failures for up to an hour.
"""

from __future__ import annotations

import threading
from typing import Any
from urllib.parse import urlsplit

import msal
import requests
from msal.exceptions import MsalError

from connectors.errors import AuthenticationFailed, CrmUnavailable
from connectors.port import ConnectionSettings

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
    "invalid_client": "Set a client secret that has not expired (its value, not its id).",
    "unauthorized_client": "Check client_id: the app registration is not in this tenant.",
    "invalid_request": "Check tenant_id or token_url.",
}
_SIGN_IN = "sign in"


class TokenSource:
    """Hands out the access token of one connection."""

    def __init__(self, settings: ConnectionSettings, session: requests.Session) -> None:
        self._settings = settings
        self._session = session
        self._lock = threading.Lock()
        self._app: Any = None
        self._token = ""

    def token(self) -> str:
        """Return a good token, from memory where it still lasts.

        Raises `AuthenticationFailed` when Entra refuses the credentials and `CrmUnavailable` when
        it does not answer.
        """
        with self._lock:
            return self._acquire()

    def renewed(self, refused: str) -> str:
        """Return another token than the one that was refused; other threads may have got it already."""
        with self._lock:
            if self._token == refused and self._app is not None:
                self._app.remove_tokens_for_client()
            return self._acquire()

    def _acquire(self) -> str:
        scope = f"{self._settings.base_url.rstrip('/')}/.default"
        try:
            if self._app is None:
                self._app = self._build()
            answer: dict[str, Any] = self._app.acquire_token_for_client(scopes=[scope])
        except (requests.exceptions.RequestException, MsalError) as error:
            self._app = None
            raise CrmUnavailable(
                f"No answer from the sign-in service: {type(error).__name__}.",
                connection=self._settings.name,
                operation=_SIGN_IN,
            ) from error
        except ValueError as error:
            self._app = None
            raise AuthenticationFailed(
                "The sign-in authority cannot be used.",
                connection=self._settings.name,
                operation=_SIGN_IN,
                hint=f"Check tenant_id or token_url of {self._settings.name}: it must be https.",
            ) from error
        if "access_token" not in answer:
            self._app = None
            raise self._refused(answer)
        self._token = str(answer["access_token"])
        return self._token

    def _build(self) -> Any:
        credentials = self._settings.credentials
        authority = self._settings.token_url or f"{_MICROSOFT}/{credentials['tenant_id']}"
        return msal.ConfidentialClientApplication(
            credentials["client_id"],
            client_credential=credentials["client_secret"],
            authority=authority.rstrip("/"),
            # Microsoft vouches for its own hosts only.
            instance_discovery=None if urlsplit(authority).hostname in _MICROSOFT_HOSTS else False,
            http_client=self._session,
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
            hint=_HINTS.get(error, "Check tenant_id, client_id and client_secret."),
        )
