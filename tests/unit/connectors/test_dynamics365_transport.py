"""Calls to the Web API: what is retried, what is sent once, what an odd answer means."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import requests
import responses

from connectors.dynamics365 import batch
from connectors.dynamics365.auth import TokenSource
from connectors.dynamics365.transport import Transport
from connectors.errors import AuthenticationFailed, CallRejected, CrmUnavailable
from connectors.port import ConnectionSettings
from connectors.tokens import MemoryTokenVault
from registration_core.contracts import ConnectionName

BASE = "https://org.example"
WHO = f"{BASE}/api/data/v9.2/WhoAmI"
BATCH = f"{BASE}/api/data/v9.2/$batch"
HEADERS = {"Content-Type": batch.content_type(), "Prefer": "odata.continue-on-error"}


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[responses.RequestsMock]:
    """A web of made-up answers, where signing in always succeeds."""
    monkeypatch.setattr(TokenSource, "token", lambda self: "first")
    monkeypatch.setattr(TokenSource, "renewed", lambda self, refused: "second")
    with responses.RequestsMock() as web:
        yield web


@pytest.fixture
def transport() -> Transport:
    settings = ConnectionSettings(ConnectionName("dynamics"), "sandbox", BASE)
    return Transport(settings, lambda: datetime.now(UTC), MemoryTokenVault())


def test_a_read_is_tried_again_and_a_write_is_not(
    web: responses.RequestsMock, transport: Transport
) -> None:
    web.get(WHO, status=503)
    web.get(WHO, body=requests.exceptions.ReadTimeout())
    web.get(WHO, json={"UserId": "me"})
    web.post(BATCH, status=503)
    assert transport.get_json("WhoAmI", "identity") == {"UserId": "me"}
    with pytest.raises(CrmUnavailable) as caught:
        transport.write_batch(b"", "create", HEADERS)
    assert caught.value.may_have_happened
    assert len(web.calls) == 4


def test_a_refused_token_is_replaced_once_and_the_call_sent_again_as_it_was(
    web: responses.RequestsMock, transport: Transport
) -> None:
    web.post(BATCH, status=401)
    web.post(BATCH, status=200, body=b"done")
    assert transport.write_batch(b"rows", "create", HEADERS).body == b"done"
    first, second = (call.request for call in web.calls)
    assert first.headers["Authorization"] == "Bearer first"
    assert second.headers["Authorization"] == "Bearer second"
    assert second.headers["Prefer"] == first.headers["Prefer"] == "odata.continue-on-error"
    assert second.body == first.body == b"rows"


def test_a_token_refused_twice_is_a_matter_for_an_admin(
    web: responses.RequestsMock, transport: Transport
) -> None:
    web.get(WHO, status=401)
    with pytest.raises(AuthenticationFailed):
        transport.get("WhoAmI", "identity")
    assert len(web.calls) == 2


def test_a_page_of_a_gateway_is_an_outage(
    web: responses.RequestsMock, transport: Transport
) -> None:
    web.get(WHO, body="<html>Please wait</html>")
    with pytest.raises(CrmUnavailable, match="identity"):
        transport.get_json("WhoAmI", "identity")


def test_a_redirect_is_not_followed(web: responses.RequestsMock, transport: Transport) -> None:
    web.get(WHO, status=302, headers={"Location": "https://elsewhere.example/"})
    with pytest.raises(CallRejected):
        transport.get("WhoAmI", "identity")


def test_a_link_to_another_host_gets_no_token(transport: Transport) -> None:
    with pytest.raises(CallRejected, match="elsewhere"):
        transport.get("https://elsewhere.example/api/data/v9.2/accounts", "changes")


def test_the_affinity_cookie_is_dropped(web: responses.RequestsMock, transport: Transport) -> None:
    web.get(WHO, json={}, headers={"Set-Cookie": "ARRAffinity=one-server; path=/"})
    transport.get("WhoAmI", "identity")
    transport.get("WhoAmI", "identity")
    assert "Cookie" not in web.calls[1].request.headers


def test_every_call_has_the_time_outs_of_its_settings(
    monkeypatch: pytest.MonkeyPatch, transport: Transport
) -> None:
    seen: list[object] = []

    def send(self: object, request: object, **options: object) -> requests.Response:
        seen.append(options["timeout"])
        raise requests.exceptions.ConnectTimeout

    monkeypatch.setattr(TokenSource, "token", lambda self: "first")
    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    with pytest.raises(CrmUnavailable) as caught:
        transport.write_batch(b"", "create", HEADERS)
    assert seen == [(5.0, 30.0)]
    assert not caught.value.may_have_happened


def test_what_is_left_of_the_limit_is_remembered(
    web: responses.RequestsMock, transport: Transport
) -> None:
    web.get(WHO, json={}, headers={"x-ms-ratelimit-burst-remaining-xrm-requests": "5999"})
    transport.get("WhoAmI", "identity")
    assert transport.remaining == 5999
