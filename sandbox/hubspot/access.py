"""Who may call the portal: its bearer tokens and the scopes of the app behind them.

Sources: HubSpot developer documentation, "Private apps", "Manage OAuth tokens", "Scopes",
"Error handling".
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from sandbox.hubspot.values import HubSpotError, iso

SCOPES = (
    "crm.objects.deals.read",
    "crm.objects.deals.write",
    "crm.objects.companies.read",
    "crm.objects.companies.write",
    "crm.objects.contacts.read",
    "crm.objects.contacts.write",
    "crm.objects.line_items.read",
    "crm.objects.line_items.write",
    "crm.objects.leads.read",
    "crm.objects.leads.write",
    "crm.objects.custom.read",
    "crm.objects.custom.write",
    "crm.objects.owners.read",
    "crm.schemas.deals.read",
    "crm.schemas.deals.write",
    "crm.schemas.companies.read",
    "crm.schemas.companies.write",
    "crm.schemas.contacts.read",
    "crm.schemas.contacts.write",
    "crm.schemas.line_items.read",
    "crm.schemas.line_items.write",
    "crm.schemas.custom.read",
    "crm.schemas.custom.write",
)


#: How long an access token of the OAuth app is taken ("Manage OAuth tokens").
OAUTH_LIFETIME = timedelta(seconds=1800)


class OAuthRefusal(HubSpotError):
    """400 of the token endpoint, in its own words."""

    def __init__(self, status_word: str, error: str, description: str) -> None:
        super().__init__(400, description)
        self.status_word, self.error = status_word, error

    def body(self, correlation_id: str) -> dict[str, object]:
        """The error body, which is RFC 6749's and HubSpot's at once."""
        return {
            "status": self.status_word,
            "message": self.message,
            "correlationId": correlation_id,
            "error": self.error,
            "error_description": self.message,
        }


class Access:
    """Who may call: an app with a static token, and the same app installed by OAuth.

    The OAuth app's client id, and the refresh token of its installation, follow from the app's
    secret; access tokens last half an hour, the refresh token is used again and again.
    """

    def __init__(
        self, clock: Callable[[], datetime], token: str, app_id: str = "", secret: str = ""
    ) -> None:
        self._clock = clock
        self._token = token
        self._secret = secret
        self._good = True
        self._handed_out: dict[str, datetime] = {}
        self._installed = True
        self.client_id = f"client-{app_id}"
        #: Granted scopes; a test takes one away to see what its absence does.
        self.scopes = set(SCOPES)
        #: An old private app, whose token HubSpot tells of; a project app or service key is none.
        self.private_app = True

    @property
    def refresh_token(self) -> str:
        """The refresh token of the installed app."""
        return f"refresh-{self._derived('installation')}"

    def authenticate(self, authorization: str) -> None:
        """Accept the static token or a live OAuth one; 401 for any other or an expired one."""
        expected = f"Bearer {self._token}".encode()
        shown = authorization.removeprefix("Bearer ")
        if ends_at := self._handed_out.get(shown):
            if ends_at <= self._clock():
                raise self._expired(ends_at)
            return
        if not self._token or not hmac.compare_digest(expected, authorization.encode()):
            raise HubSpotError(
                401,
                "Authentication credentials not found. This API supports OAuth 2.0 authentication"
                " and you can find more details at"
                " https://developers.hubspot.com/docs/methods/auth/oauth-overview",
                "INVALID_AUTHENTICATION",
            )
        if not self._good:
            raise self._expired(self._clock())

    def sign_in(self, form: Mapping[str, str], hub_id: str) -> dict[str, object]:
        """Answer the token endpoint: a new access token for the refresh token."""
        if form.get("grant_type") != "refresh_token":
            raise OAuthRefusal("BAD_GRANT_TYPE", "unsupported_grant_type", "unknown grant type")
        given = (form.get("client_id", ""), form.get("client_secret", ""))
        if given != (self.client_id, self._secret):
            raise OAuthRefusal("BAD_CLIENT_ID", "invalid_client", "missing or unknown client id")
        if form.get("refresh_token") != self.refresh_token or not self._installed:
            words = "missing or invalid refresh token"
            raise OAuthRefusal("BAD_REFRESH_TOKEN", "invalid_grant", words)
        token = f"oauth-{self._derived(str(len(self._handed_out)))}"
        self._handed_out[token] = self._clock() + OAUTH_LIFETIME
        return {
            "token_type": "bearer",
            "access_token": token,
            "refresh_token": self.refresh_token,
            "expires_in": int(OAUTH_LIFETIME.total_seconds()),
            "hub_id": int(hub_id),
            "scopes": sorted(self.scopes),
        }

    def require(self, scope: str) -> None:
        """Refuse with 403 what the app was not granted."""
        if scope not in self.scopes:
            raise MissingScope(scope)

    def expire(self) -> None:
        """Refuse every token from now on."""
        self._good = False
        self._handed_out = dict.fromkeys(self._handed_out, self._clock())

    def uninstall(self) -> None:
        """Take the OAuth app out of the portal: its refresh token is worth nothing."""
        self._installed = False

    def reissue(self, token: str | None = None) -> None:
        """Take the tokens again, or a new static one, as after a rotation by an admin."""
        self._good = self._installed = True
        self._token = token or self._token

    def _expired(self, at: datetime) -> HubSpotError:
        seconds = int((self._clock() - at).total_seconds())
        return HubSpotError(
            401,
            f"The OAuth token used to make this call expired {seconds} second(s) ago.",
            "EXPIRED_AUTHENTICATION",
            context={"expire time": [iso(at)]},
        )

    def _derived(self, what: str) -> str:
        return hmac.new(self._secret.encode(), what.encode(), hashlib.sha256).hexdigest()[:40]


class MissingScope(HubSpotError):
    """403: the app was not granted a scope; the body names it."""

    def __init__(self, scope: str) -> None:
        super().__init__(
            403,
            "This app hasn't been granted all required scopes to make this call. Read more about"
            " required scopes here: https://developers.hubspot.com/scopes.",
            "MISSING_SCOPES",
        )
        self.scope = scope

    def body(self, correlation_id: str) -> dict[str, object]:
        """The error body with `requiredGranularScopes`."""
        return super().body(correlation_id) | {
            "errors": [
                {
                    "message": "One or more of the following scopes are required.",
                    "context": {"requiredGranularScopes": [self.scope]},
                }
            ]
        }
