"""HTTP to one Dataverse environment: time-outs, tokens, one replay, short retries of reads.

Owns what is the same for every call. What an answer means for a record is decided elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError

from connectors.dynamics365.auth import TokenSource
from connectors.dynamics365.errors import call_error, expired_link
from connectors.errors import AuthenticationFailed, CallRejected, CrmUnavailable
from connectors.port import ConnectionSettings
from connectors.tokens import TokenVault

DEFAULT_API_VERSION = "v9.2"
#: Requests a user may send in five minutes: Dataverse developer guide, "Service protection API limits".
REQUESTS_ALLOWED = 6000
_REMAINING = "x-ms-ratelimit-burst-remaining-xrm-requests"
_READ_ATTEMPTS = 3
_STANDARD_HEADERS = {
    "Accept": "application/json",
    "OData-MaxVersion": "4.0",
    "OData-Version": "4.0",
}


@dataclass(frozen=True)
class Reply:
    """One answer, of a request or of a part of a batch; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    #: How long the request took.
    took: timedelta = timedelta()

    def json(self) -> Any:
        """Read the body as JSON with exact decimals; `ValueError` if it is not."""
        return json.loads(self.body, parse_float=Decimal)

    def as_of(self, otherwise: datetime) -> datetime:
        """Tell a time of the CRM's clock before which every change is in this answer.

        The `Date` header is stamped when the answer leaves, in whole seconds, so the time the
        request took and one second are taken off.
        """
        stamped = self.headers.get("date")
        at = parsedate_to_datetime(stamped) if stamped else otherwise
        return at - self.took - timedelta(seconds=1)


class _Bearer(requests.auth.AuthBase):
    """Signs a request; as an `auth` it is not overridden by a `.netrc`."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class _TimeoutAdapter(HTTPAdapter):
    """Gives every request a time-out, those of the sign-in library too."""

    def __init__(self, connect_seconds: float, read_seconds: float) -> None:
        super().__init__(max_retries=0)
        self._timeout = (connect_seconds, read_seconds)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        options["timeout"] = options.get("timeout") or self._timeout
        return super().send(request, **options)


def build_session(settings: ConnectionSettings) -> requests.Session:
    """Build the session that all calls of a connection share, sign-in included."""
    session = requests.Session()
    adapter = _TimeoutAdapter(settings.connect_timeout_seconds, settings.read_timeout_seconds)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    # The affinity cookie would pin us to one server and its limits.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    if settings.ca_file:
        session.verify = settings.ca_file
        # REQUESTS_CA_BUNDLE would win over `verify`.
        session.trust_env = False
    return session


@dataclass(frozen=True)
class _Request:
    method: str
    url: str
    operation: str
    headers: Mapping[str, str] | None = None
    body: bytes | None = None
    writes: bool = False
    #: The address is a link that was kept from an earlier answer, and may have expired.
    kept: bool = False


class Transport:
    """Sends calls to the Web API of one environment; thread-safe."""

    def __init__(
        self, settings: ConnectionSettings, clock: Callable[[], datetime], vault: TokenVault
    ) -> None:
        self._name = settings.name
        self._root = settings.base_url.rstrip("/")
        version = settings.api_version or DEFAULT_API_VERSION
        #: Path of the API from the root of the host, with a slash at the end.
        self.api_path = f"/api/data/{version}/"
        #: Marks our writes in what the platform tells plug-ins and webhooks: Dataverse developer
        #: guide, "Use optional parameters", "Add a shared variable to the plug-in execution context".
        self.tag = f"dealreg:{settings.name}"
        self._session = build_session(settings)
        self._tokens = TokenSource(settings, self._session, clock, vault)
        #: Requests left in the server's five minutes, as last told.
        self.remaining: int | None = None

    def get(self, address: str, operation: str, headers: Mapping[str, str] | None = None) -> Reply:
        """Read `address` (below the API root, or a link the environment gave); retried shortly."""
        return self._retried(_Request("GET", self._url(address, operation), operation, headers))

    def follow(self, link: str, operation: str, headers: Mapping[str, str]) -> Reply:
        """Read a link that was kept from an earlier answer; `FeedExpired` if it is not taken any more."""
        url = self._url(link, operation)
        return self._retried(_Request("GET", url, operation, headers, kept=True))

    def get_json(self, address: str, operation: str) -> Any:
        """Read `address` and return its JSON."""
        return self.decoded(self.get(address, operation), operation)

    def decoded(self, reply: Reply, operation: str) -> Any:
        """Return the JSON of an answer; a gateway's page in its place is an outage."""
        try:
            return reply.json()
        except ValueError as error:
            raise CrmUnavailable(
                f"Dynamics 365 gave an unreadable answer to {operation}.",
                connection=self._name,
                operation=operation,
            ) from error

    def read_batch(self, body: bytes, operation: str, headers: Mapping[str, str]) -> Reply:
        """Send a batch that only reads; retried like any read."""
        url = self._url("$batch", operation)
        return self._retried(_Request("POST", url, operation, headers, body))

    def write_batch(self, body: bytes, operation: str, headers: Mapping[str, str]) -> Reply:
        """Send a batch once; only a refused token is answered by sending it again."""
        url = self._url("$batch", operation)
        return self._signed(_Request("POST", url, operation, headers, body, writes=True))

    def _retried(self, request: _Request) -> Reply:
        attempts = Retrying(
            retry=retry_if_exception_type(CrmUnavailable),
            stop=stop_after_attempt(_READ_ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.3, max=2),
            reraise=True,
        )
        return attempts(self._signed, request)

    def _signed(self, request: _Request) -> Reply:
        token = self._tokens.token()
        reply = self._once(request, token)
        if reply.status == 401:
            reply = self._once(request, self._tokens.renewed(token))
        if reply.status == 401:
            raise AuthenticationFailed(
                f"Dynamics 365 refused the access token of {self._name} twice.",
                connection=self._name,
                operation=request.operation,
                hint="Check base_url, and that the application user exists in this environment.",
            )
        expired = expired_link(reply, self._name, request.operation) if request.kept else None
        if expired is not None:
            raise expired
        if reply.status >= 300 and not _multipart(reply):
            raise call_error(reply, self._name, request.operation, writes=request.writes)
        return reply

    def _url(self, address: str, operation: str) -> str:
        if "://" not in address:
            return f"{self._root}{self.api_path}{address}"
        # The token must not follow a link to another host.
        if urlsplit(address)[:2] != urlsplit(self._root)[:2]:
            raise CallRejected(
                f"Dynamics 365 gave a link to {urlsplit(address).netloc}, not to the environment.",
                connection=self._name,
                operation=operation,
                hint=f"Set base_url of {self._name} to the host in that link if it is yours.",
            )
        return address

    def _once(self, request: _Request, token: str) -> Reply:
        try:
            answer = self._session.request(
                request.method,
                request.url,
                headers={**_STANDARD_HEADERS, **(request.headers or {})},
                data=request.body,
                auth=_Bearer(token),
                allow_redirects=False,
            )
        except requests.exceptions.RequestException as error:
            raise CrmUnavailable(
                f"No answer from Dynamics 365 to {request.operation}: {type(error).__name__}.",
                may_have_happened=request.writes and not _never_sent(error),
                connection=self._name,
                operation=request.operation,
            ) from error
        told = answer.headers.get(_REMAINING, "")
        if told.isdigit():
            self.remaining = int(told)
        lowered = {name.lower(): value for name, value in answer.headers.items()}
        return Reply(answer.status_code, lowered, answer.content, answer.elapsed)


def _multipart(reply: Reply) -> bool:
    # A batch that stopped answers 400 with the parts so far.
    return reply.headers.get("content-type", "").startswith("multipart/mixed")


def _never_sent(error: requests.exceptions.RequestException) -> bool:
    """Tell whether the request certainly did not reach the server."""
    if isinstance(error, requests.exceptions.ConnectTimeout | requests.exceptions.SSLError):
        return True
    reason = error.args[0] if error.args else None
    if isinstance(reason, MaxRetryError):
        reason = reason.reason
    return isinstance(reason, NewConnectionError | ConnectTimeoutError)
