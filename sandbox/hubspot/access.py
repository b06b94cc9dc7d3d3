"""Who may call the portal: its bearer token and the scopes of the app behind it.

Sources: HubSpot developer documentation, "Private apps", "Scopes", "Error handling".
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from datetime import datetime

from sandbox.hubspot.values import HubSpotError, iso

SCOPES = (
    "crm.objects.deals.read",
    "crm.objects.deals.write",
    "crm.objects.companies.read",
    "crm.objects.companies.write",
    "crm.objects.owners.read",
    "crm.schemas.deals.read",
    "crm.schemas.companies.read",
)


class Access:
    """The one app token that the portal knows, and what it was granted."""

    def __init__(self, clock: Callable[[], datetime], token: str) -> None:
        self._clock = clock
        self._token = token
        self._good = True
        #: Granted scopes; a test takes one away to see what its absence does.
        self.scopes = set(SCOPES)

    def authenticate(self, authorization: str) -> None:
        """Accept the portal's own bearer token; 401 for any other or an expired one."""
        expected = f"Bearer {self._token}".encode()
        if not self._token or not hmac.compare_digest(expected, authorization.encode()):
            raise HubSpotError(
                401,
                "Authentication credentials not found. This API supports OAuth 2.0 authentication"
                " and you can find more details at"
                " https://developers.hubspot.com/docs/methods/auth/oauth-overview",
                "INVALID_AUTHENTICATION",
            )
        if not self._good:
            raise HubSpotError(
                401,
                "The OAuth token used to make this call expired 12 second(s) ago.",
                "EXPIRED_AUTHENTICATION",
                context={"expire time": [iso(self._clock())]},
            )

    def require(self, scope: str) -> None:
        """Refuse with 403 what the app was not granted."""
        if scope not in self.scopes:
            raise MissingScope(scope)

    def expire(self) -> None:
        """Refuse the token from now on."""
        self._good = False

    def reissue(self, token: str | None = None) -> None:
        """Take the token again, or a new one in its place, as after a rotation by an admin."""
        self._good = True
        self._token = token or self._token


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
