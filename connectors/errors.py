"""What can go wrong with one CRM call, told apart by what the caller has to do about it.

| Class | Caller does |
|---|---|
| `CrmUnavailable` | try again later; if `may_have_happened`, look the write up before anything else |
| `RateLimited` | wait `retry_after_seconds`, on every worker of the connection |
| `AuthenticationFailed` | pause the connection and tell an admin; retrying does not help |
| `NotPermitted` | like authentication: a permission or scope is missing |
| `CallRejected` | the CRM understood the call and refused it whole; retrying does not help |
| `FeedExpired` | the change cursor is too old; read everything again |
| `WebhookRejected` | answer `status` to the sender; nothing was believed |

What happens to one row of a batch is not an exception but an `Outcome` (`connectors/port.py`).
"""

from __future__ import annotations

from registration_core.errors import DealregError


class ConnectorError(DealregError):
    """A call to a CRM failed as a whole."""

    code = "crm"

    def __init__(
        self,
        message: str,
        *,
        connection: str,
        operation: str = "",
        request_id: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.connection = connection
        self.operation = operation
        self.request_id = request_id


class CrmUnavailable(ConnectorError):
    """The CRM did not answer, or answered that it cannot right now (5xx, reset, time-out)."""

    code = "crm_unavailable"

    def __init__(
        self,
        message: str,
        *,
        may_have_happened: bool = False,
        connection: str,
        operation: str = "",
        request_id: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(
            message, connection=connection, operation=operation, request_id=request_id, hint=hint
        )
        #: True when a write was sent and its answer is unknown.
        self.may_have_happened = may_have_happened


class RateLimited(ConnectorError):
    """The CRM asked us to slow down; nothing was written."""

    code = "crm_rate_limited"

    def __init__(
        self,
        message: str,
        *,
        retry_after_seconds: float,
        connection: str,
        operation: str = "",
        request_id: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(
            message, connection=connection, operation=operation, request_id=request_id, hint=hint
        )
        self.retry_after_seconds = retry_after_seconds


class AuthenticationFailed(ConnectorError):
    """The credentials were refused, also after one renewal."""

    code = "crm_authentication"


class NotPermitted(ConnectorError):
    """The credentials are good but lack a permission or scope; the message names it."""

    code = "crm_not_permitted"


class CallRejected(ConnectorError):
    """The CRM refused the whole call: a field, object or query that it does not know."""

    code = "crm_rejected"


class FeedExpired(ConnectorError):
    """The change cursor is no longer valid; start again with no cursor."""

    code = "crm_feed_expired"


class WebhookRejected(DealregError):
    """A webhook delivery was not authentic, expired, or unreadable."""

    code = "webhook_rejected"

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        #: HTTP status to answer with (4xx).
        self.status = status
