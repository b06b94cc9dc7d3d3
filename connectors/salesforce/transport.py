"""Sends calls for simple-salesforce's client: time-outs, trust, sign-in, retries of reads, errors.

The client is in its direct mode, gives addresses and headers, reads answers and words errors; the
request itself goes out here, because its own renewal drops the caller's headers on the replay. Each thread has a session of its own. Reads are tried
again for a few seconds; writes are sent once, save after a 401, which Salesforce answers before
it does anything.
"""

from __future__ import annotations

import json
import math
import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any

import requests
import tenacity
import urllib3
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import SalesforceError
from simple_salesforce.util import exception_handler

from connectors.errors import AuthenticationFailed, CallRejected, CrmUnavailable
from connectors.port import ApiBudget, ConnectionSettings
from connectors.salesforce.auth import Token, TokenProvider
from connectors.salesforce.errors import Failure, QueryTooLarge, call_error
from connectors.salesforce.soql import QUERY_MAX, length
from connectors.tokens import TokenVault

API_VERSION = "67.0"
READ_ATTEMPTS = 4
READ_GIVE_UP_SECONDS = 8.0
_CALL_HEADERS = {"Sforce-Call-Options": "client=dealreg"}
#: Without it, assignment rules would hand accounts to somebody else on every update.
WRITE_HEADERS = {"Sforce-Auto-Assign": "FALSE"}
_USAGE = re.compile(r"(?:^|[;\s])api-usage=(\d+)/(\d+)")
_CURSOR = re.compile(r"/services/data/v\d+\.0/(query/[\w-]+)")


@dataclass(frozen=True)
class Answer:
    """A parsed answer (text where it is CSV), and the server's clock when it got the request."""

    data: Any
    as_of: datetime
    headers: Mapping[str, str] = field(default_factory=dict)


class _Session(requests.Session):
    """A session of one thread: sets time-outs and trust on every request, keeps the last answer."""

    def __init__(self, settings: ConnectionSettings) -> None:
        super().__init__()
        self.last: requests.Response | None = None
        self._timeout = (settings.connect_timeout_seconds, settings.read_timeout_seconds)
        self._verify: bool | str = settings.ca_file or True

    def request(self, *args: Any, **options: Any) -> requests.Response:
        """Send a request; never follows a redirect, never takes trust or a login from elsewhere."""
        self.last = None
        options["timeout"] = self._timeout
        options["allow_redirects"] = False
        if self._verify is not True:
            # Given here, because REQUESTS_CA_BUNDLE would win over `Session.verify`.
            options["verify"] = self._verify
        # An auth callable keeps a .netrc entry from replacing our Authorization header.
        options["auth"] = lambda prepared: prepared
        self.last = super().request(*args, **options)
        return self.last


class Transport:
    """All HTTP of one connection; thread-safe. Nothing is sent before the first call."""

    def __init__(
        self,
        settings: ConnectionSettings,
        clock: Callable[[], datetime],
        vault: TokenVault,
    ) -> None:
        self._settings = settings
        self.clock = clock
        self._local = threading.local()
        self._version = (settings.api_version or API_VERSION).removeprefix("v")
        self._budget: ApiBudget | None = None
        self.tokens = TokenProvider(settings, self._session, clock, vault)

    @property
    def budget(self) -> ApiBudget | None:
        """What the last answer said of the daily quota."""
        return self._budget

    def read(
        self,
        path: str,
        *,
        operation: str,
        params: Mapping[str, str] | None = None,
        payload: Any = None,
    ) -> Answer:
        """Read once or a few times; POST when there is a payload.

        `QueryTooLarge` comes at once: the same again would take as long again.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(CrmUnavailable)
            & tenacity.retry_if_not_exception_type(QueryTooLarge),
            stop=(
                tenacity.stop_after_attempt(READ_ATTEMPTS)
                | tenacity.stop_after_delay(READ_GIVE_UP_SECONDS)
            ),
            wait=tenacity.wait_exponential_jitter(multiplier=0.2, max=2.0, jitter=0.2),
            reraise=True,
        )
        method = "GET" if payload is None else "POST"
        return retrying(self._send, method, path, operation, params, payload, write=False)

    def write(self, method: str, path: str, *, operation: str, payload: Any) -> Answer:
        """Write once. `CrmUnavailable.may_have_happened` tells whether it may have been done.

        A payload of text is CSV.
        """
        return self._send(method, path, operation, None, payload, write=True)

    def attempt(self, method: str, path: str, *, operation: str, payload: Any) -> Answer | Failure:
        """Write one record once; what Salesforce has against it (HTTP 400) is returned."""
        result = self._answered(method, path, operation, None, payload, write=True)
        if isinstance(result, Failure) and result.status != 400:
            raise call_error(
                result, connection=self._settings.name, operation=operation, write=True
            )
        return result

    @property
    def api_path(self) -> str:
        """Path of the API's version, for requests inside a request."""
        return f"/services/data/v{self._version}"

    def query(self, soql: str, *, operation: str, deleted: bool = False) -> Iterator[Answer]:
        """Run a query and follow its pages; `data` is each page's whole answer.

        One that Salesforce would not take for its length is refused before it is sent.
        """
        if length(soql) > QUERY_MAX:
            what = f"the query has {length(soql)} bytes, and Salesforce takes {QUERY_MAX}"
            raise self.rejected(
                operation, what, hint="Map fewer fields, or shorten the conditions."
            )
        path = "queryAll" if deleted else "query"
        answer = self.read(path, operation=operation, params={"q": soql})
        yield answer
        while not answer.data["done"]:
            found = _CURSOR.fullmatch(str(answer.data.get("nextRecordsUrl", "")))
            if found is None:
                raise self.rejected(operation, "a page without a usable nextRecordsUrl")
            answer = self.read(found[1], operation=operation)
            yield answer

    def rejected(self, operation: str, what: str, *, hint: str = "") -> CallRejected:
        """Word a refusal of our own or an answer that makes no sense."""
        name = self._settings.name
        return CallRejected(
            f"{name}: {operation}: {what}.", connection=name, operation=operation, hint=hint
        )

    def _send(
        self,
        method: str,
        path: str,
        operation: str,
        params: Mapping[str, str] | None,
        payload: Any,
        *,
        write: bool,
    ) -> Answer:
        result = self._answered(method, path, operation, params, payload, write=write)
        if isinstance(result, Answer):
            return result
        raise call_error(result, connection=self._settings.name, operation=operation, write=write)

    def _answered(
        self,
        method: str,
        path: str,
        operation: str,
        params: Mapping[str, str] | None,
        payload: Any,
        *,
        write: bool,
    ) -> Answer | Failure:
        """Send a call, and once more with a new token where the old one was over."""
        token = self.tokens.current()
        call = (method, path, operation, params, payload)
        result = self._exchange(token, *call, write=write)
        if isinstance(result, Failure) and result.status == 401 and result.session_is_over:
            result = self._exchange(self.tokens.renew(token), *call, write=write)
        if isinstance(result, Answer) or result.status != 401:
            return result
        raise AuthenticationFailed(
            f"{self._settings.name}: Salesforce does not accept our session for {operation}: "
            f"{result.message or 'no reason given'}.",
            connection=self._settings.name,
            operation=operation,
            request_id=result.request_id,
            hint="Check that the run-as user is active and has API Enabled.",
        )

    def _exchange(
        self,
        token: Token,
        method: str,
        path: str,
        operation: str,
        params: Mapping[str, str] | None,
        payload: Any,
        *,
        write: bool,
    ) -> Answer | Failure:
        client = self._client(token)
        headers = {**client.headers, **_CALL_HEADERS, **(WRITE_HEADERS if write else {})}
        body = None
        if isinstance(payload, str):
            headers["Content-Type"] = "text/csv; charset=UTF-8"
            body = payload.encode()
        elif payload is not None:
            body = json.dumps(payload, ensure_ascii=False, allow_nan=False).encode()
        try:
            response = self._session().request(
                method,
                client.base_url + path,
                params=dict(params or {}),
                headers=headers,
                data=body,
            )
            if response.status_code >= 300:
                exception_handler(response, name=path)
            data = self._parsed(client, response)
        except SalesforceError as refusal:
            return self._failure(refusal)
        except (requests.RequestException, ValueError) as broken:
            raise self._broken(broken, operation, write=write) from broken
        self._note_usage(response)
        return Answer(data, self._server_time(response), response.headers)

    @staticmethod
    def _parsed(client: Salesforce, response: requests.Response) -> Any:
        """Read an answer's body: nothing, CSV as text, or JSON with exact numbers."""
        if not response.content:
            return None
        if response.headers.get("Content-Type", "").startswith("text/csv"):
            return response.content.decode()
        return client.parse_result_to_json(response)

    def _client(self, token: Token) -> Salesforce:
        if getattr(self._local, "token", None) is not token:
            self._local.client = Salesforce(
                session_id=token.access_token,
                instance_url=token.instance_url,
                version=self._version,
                session=self._session(),
                parse_float=Decimal,
                object_pairs_hook=dict,
            )
            self._local.token = token
        client: Salesforce = self._local.client
        return client

    def _session(self) -> _Session:
        session: _Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = _Session(self._settings)
        return session

    def _failure(self, refusal: SalesforceError) -> Failure:
        response = self._session().last
        headers: Mapping[str, str] = response.headers if response is not None else {}
        if response is not None:
            self._note_usage(response)
        pause = headers.get("Retry-After", "")
        return Failure(
            refusal.status,
            refusal.content,
            request_id=headers.get("X-SFDC-Request-Id", ""),
            retry_after_seconds=float(pause) if pause.isdigit() else None,
        )

    def _broken(self, broken: Exception, operation: str, *, write: bool) -> CrmUnavailable:
        name = self._settings.name
        return CrmUnavailable(
            f"{name}: no answer from Salesforce to {operation} ({type(broken).__name__}).",
            may_have_happened=write and not _never_sent(broken),
            connection=name,
            operation=operation,
        )

    def _note_usage(self, response: requests.Response) -> None:
        usage = _USAGE.search(response.headers.get("Sforce-Limit-Info", ""))
        if usage:
            self._budget = ApiBudget(int(usage[1]), int(usage[2]), "24 hours, rolling")

    def _server_time(self, response: requests.Response) -> datetime:
        """Tell the server's clock when the request set out: no commit before that can be missing."""
        try:
            stamped = parsedate_to_datetime(response.headers["Date"]).astimezone(UTC)
        except (KeyError, ValueError):
            stamped = self.clock()
        elapsed = timedelta(seconds=math.ceil(response.elapsed.total_seconds()))
        return stamped - elapsed


def _never_sent(broken: Exception) -> bool:
    """Tell whether a request failed before its first byte left."""
    if isinstance(broken, requests.ConnectTimeout):
        return True
    reason = getattr(broken.args[0], "reason", None) if broken.args else None
    if isinstance(reason, urllib3.exceptions.SSLError):
        # Other TLS errors can also strike while the answer is read.
        return bool(reason.args) and isinstance(reason.args[0], ssl.SSLCertVerificationError)
    return isinstance(reason, urllib3.exceptions.NewConnectionError)
