"""The vendor's client library behind one seam: our pool, time-outs, trust, version and errors.

`hubspot-api-client` words the paths; every request then leaves through `Gateway`, which rewrites
the v3 and v4 paths to the configured dated version, and never lets the library retry, follow a
redirect, or drop half of an answer. Sources: HubSpot developer documentation, "API versioning"
and "Error handling"; hubspot-api-client 12.0.0.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import ModuleType
from typing import Any
from urllib.parse import urlencode

import urllib3
from hubspot import HubSpot
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, SSLError

from connectors.errors import CallRejected, CrmUnavailable, RateLimited
from connectors.hubspot.auth import Tokens
from connectors.hubspot.errors import failure, has_ended, is_search_limit, seconds_to_midnight
from connectors.hubspot.pacing import Pace
from connectors.port import ApiBudget, ConnectionSettings
from connectors.tokens import StoredToken, TokenVault

DEFAULT_API_VERSION = "2026-09"

#: Path prefixes of the library, and of the dated versions ("API versioning").
_DATED = (
    ("/crm/v3/objects/", "/crm/objects/{version}/"),
    ("/crm/v3/properties/", "/crm/properties/{version}/"),
    ("/crm/v3/pipelines/", "/crm/pipelines/{version}/"),
    ("/crm/v4/associations/", "/crm/associations/{version}/"),
    ("/crm-object-schemas/v3/", "/crm-object-schemas/{version}/"),
)
#: How the operations begin that count against the limit of searches.
SEARCH = "search "
_FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
_READ_ATTEMPTS = 4
#: A read waits itself for at most this long; longer pauses are the caller's to make.
_READ_PAUSE_MAX_SECONDS = 2.0


@dataclass(frozen=True)
class Answer:
    """A successful answer: status, JSON body, and the CRM's own clock where it told it."""

    status: int
    body: Mapping[str, Any]
    date: datetime | None


@dataclass(frozen=True)
class _Raw:
    status: int
    headers: Mapping[str, str]
    body: bytes


class Gateway:
    """All calls to one HubSpot account. Thread-safe; opens no connection before the first call."""

    def __init__(
        self,
        settings: ConnectionSettings,
        clock: Callable[[], datetime],
        vault: TokenVault,
        pace: Pace,
    ) -> None:
        self._settings = settings
        self._pace = pace
        self._version = settings.api_version or DEFAULT_API_VERSION
        self._timeout = urllib3.Timeout(
            connect=settings.connect_timeout_seconds, read=settings.read_timeout_seconds
        )
        self._pool = urllib3.PoolManager(
            maxsize=8, cert_reqs="CERT_REQUIRED", ca_certs=settings.ca_file or None
        )
        self.tokens = Tokens(settings, self._version, self._send_form, clock, vault)
        self._apis: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()
        self._budget: ApiBudget | None = None
        self._clock = clock
        #: In which the account's day ends; empty until the account has told.
        self.time_zone = ""
        #: The vendor's client; hand its methods to `read` and `write`, never call them directly.
        self.client: Any = HubSpot(api_factory=self._api)

    @property
    def budget(self) -> ApiBudget | None:
        """The daily quota as the last answer told it; searches tell nothing."""
        return self._budget

    def read(self, operation: str, call: Callable[..., Any], *args: Any, **options: Any) -> Answer:
        """Make a call that changes nothing; retried for a few seconds."""
        for attempt in Retrying(
            retry=retry_if_exception(_soon_over),
            stop=stop_after_attempt(_READ_ATTEMPTS),
            wait=_pause,
            reraise=True,
        ):
            with attempt:
                return self._once(operation, call, args, options, write=False)
        raise AssertionError("unreachable: tenacity returns or raises")

    def write(self, operation: str, call: Callable[..., Any], *args: Any) -> Answer:
        """Make a call that changes something; sent once."""
        return self._once(operation, call, args, {}, write=True)

    def get(self, operation: str, path: str) -> Answer:
        """Read a path that the vendor's library has no method for."""
        api = self.client.crm.objects.basic_api.api_client
        return self.read(operation, api.call_api, path, "GET")

    def post_to_read(self, operation: str, path: str, body: Mapping[str, Any]) -> Answer:
        """Read by POST from a path that the vendor's library has no method for."""
        api = self.client.crm.objects.basic_api.api_client
        return self.read(operation, api.call_api, path, "POST", body=dict(body))

    def post(self, operation: str, path: str, body: Mapping[str, Any]) -> Answer:
        """Write by POST to a path that the vendor's library has no method for."""
        api = self.client.crm.objects.basic_api.api_client
        return self._once(operation, api.call_api, (path, "POST"), {"body": dict(body)}, write=True)

    def refused(self, operation: str, message: str, *, hint: str) -> CallRejected:
        """Word what this account cannot do."""
        return CallRejected(
            message, connection=str(self._settings.name), operation=operation, hint=hint
        )

    def strange(self, operation: str) -> CrmUnavailable:
        """Word an answer that is not what the documentation promises."""
        return CrmUnavailable(
            "HubSpot's answer was not in the documented shape.",
            connection=str(self._settings.name),
            operation=operation,
        )

    def _once(
        self,
        operation: str,
        call: Callable[..., Any],
        args: tuple[Any, ...],
        options: Mapping[str, Any],
        *,
        write: bool,
    ) -> Answer:
        about = {"connection": str(self._settings.name), "operation": operation}
        searching = operation.startswith(SEARCH)
        self._pace.wait(search=searching)
        try:
            raw: _Raw = call(*args, **options, _preload_content=False)
        except HTTPError as error:
            raise self._silent(error, write=write, operation=operation) from error
        self._note_budget(raw.headers)
        self._pace.note(raw.headers)
        if searching and is_search_limit(raw.status, raw.body):
            self._pace.search_refused()
        if not 200 <= raw.status < 300:
            now = _date(raw.headers) or self._clock()
            day_left = seconds_to_midnight(now, self.time_zone)
            raise failure(
                raw.status, raw.headers, raw.body, write=write, day_left=day_left, **about
            )
        try:
            body = json.loads(raw.body) if raw.body else {}
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise CrmUnavailable(
                f"HubSpot answered {raw.status} with something that is not JSON.",
                may_have_happened=write,
                **about,
            )
        return Answer(raw.status, body, _date(raw.headers))

    def _silent(self, error: HTTPError, *, write: bool, operation: str) -> CrmUnavailable:
        return CrmUnavailable(
            f"HubSpot did not answer: {type(error).__name__}.",
            may_have_happened=write and not _never_sent(error),
            hint="Check the network, base_url and ca_file of the connection.",
            connection=str(self._settings.name),
            operation=operation,
        )

    def _send_form(self, url: str, form: Mapping[str, str]) -> tuple[int, Mapping[str, str], bytes]:
        try:
            raw = self._request("POST", url, urlencode(form).encode(), _FORM)
        except HTTPError as error:
            raise self._silent(error, write=False, operation="sign in") from error
        return raw.status, raw.headers, raw.body

    def _api(self, package: ModuleType, api_name: str, _config: Mapping[str, Any]) -> Any:
        """Build an API object of the vendor's client once, with our way out (`api_factory`)."""
        key = (package.__name__, api_name)
        with self._lock:
            if key not in self._apis:
                configuration = package.Configuration(host=self._settings.base_url.rstrip("/"))
                client = package.ApiClient(configuration=configuration)
                client.user_agent = "dealreg"
                client.request = self._send
                self._apis[key] = getattr(package, api_name)(api_client=client)
            return self._apis[key]

    def _send(
        self,
        method: str,
        url: str,
        query_params: Any = None,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        **_unused: Any,
    ) -> _Raw:
        """Send what the library worded; a token that HubSpot says has ended is renewed, once.

        A refused token means that nothing was done, so a write is sent again as well.
        """
        url = self._dated(url)
        if query_params:
            # The library words a yes as `True`, which no JSON API calls a boolean.
            told = [(n, str(v).lower() if isinstance(v, bool) else v) for n, v in query_params]
            url += "?" + urlencode(told)
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        token = self.tokens.current()
        raw = self._request(method, url, content, self._headers(token, headers))
        if self.tokens.renewable and has_ended(raw.status, raw.body):
            token = self.tokens.renew(token)
            raw = self._request(method, url, content, self._headers(token, headers))
        return raw

    @staticmethod
    def _headers(token: StoredToken, given: Mapping[str, str] | None) -> dict[str, str]:
        sent = {"Content-Type": "application/json", **(given or {})}
        return sent | {"Authorization": f"Bearer {token.access_token}"}

    def _request(
        self, method: str, url: str, content: bytes | None, headers: Mapping[str, str]
    ) -> _Raw:
        response = self._pool.request(
            method,
            url,
            body=content,
            headers=headers,
            timeout=self._timeout,
            retries=False,
            redirect=False,
        )
        # A proxy may add a second Date; the last one is the CRM's own.
        told = {name.lower(): response.headers.getlist(name)[-1] for name in response.headers}
        return _Raw(response.status, told, response.data)

    def _dated(self, url: str) -> str:
        if self._version == "v3":
            return url
        for fixed, dated in _DATED:
            if fixed in url:
                return url.replace(fixed, dated.format(version=self._version), 1)
        return url

    def _note_budget(self, headers: Mapping[str, str]) -> None:
        allowed = headers.get("x-hubspot-ratelimit-daily", "")
        remaining = headers.get("x-hubspot-ratelimit-daily-remaining", "")
        if allowed.isdigit() and remaining.isdigit():
            self._budget = ApiBudget(int(allowed) - int(remaining), int(allowed), "day")


def _never_sent(error: HTTPError) -> bool:
    """True where the connection was not even made, so that nothing can have been written."""
    if isinstance(error, SSLError):
        return "CERTIFICATE_VERIFY_FAILED" in str(error)
    return isinstance(error, NewConnectionError | ConnectTimeoutError)


def _soon_over(error: BaseException) -> bool:
    if isinstance(error, RateLimited):
        return error.retry_after_seconds <= _READ_PAUSE_MAX_SECONDS
    return isinstance(error, CrmUnavailable)


_BACKOFF = wait_random_exponential(multiplier=0.2, max=_READ_PAUSE_MAX_SECONDS)


def _pause(state: Any) -> float:
    error = state.outcome.exception()
    asked = error.retry_after_seconds if isinstance(error, RateLimited) else 0.0
    return max(asked, _BACKOFF(state))


def _date(headers: Mapping[str, str]) -> datetime | None:
    try:
        return parsedate_to_datetime(headers["date"]).astimezone(UTC)
    except (KeyError, ValueError):
        return None
