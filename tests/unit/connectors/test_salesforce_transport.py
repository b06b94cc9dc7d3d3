"""Sign-in, replay, retries and secrets, against canned answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
import responses

from connectors.errors import AuthenticationFailed, CallRejected, CrmUnavailable, RateLimited
from connectors.port import ConnectionSettings, Deferred
from connectors.salesforce import guarded
from connectors.salesforce.errors import row_outcome
from connectors.salesforce.transport import READ_ATTEMPTS, Transport
from connectors.tokens import MemoryTokenVault
from registration_core.contracts import ConnectionName

BASE = "https://acme.my.salesforce.com"
TOKEN_URL = f"{BASE}/services/oauth2/token"
DATA = f"{BASE}/services/data/v67.0"
SECRET = "the-client-secret"
EXPIRED = [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]
DATE = {"Date": "Tue, 24 Nov 2026 10:00:00 GMT", "Sforce-Limit-Info": "api-usage=18/5000"}


@pytest.fixture
def salesforce() -> Iterator[responses.RequestsMock]:
    """Canned answers; a request that has none is an error."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def transport() -> Transport:
    """A transport that has not called anybody yet."""
    settings = ConnectionSettings(
        name=ConnectionName("salesforce"),
        environment="production",
        base_url=BASE,
        credentials={"client_id": "an-app", "client_secret": SECRET},
    )
    return Transport(settings, lambda: datetime(2026, 11, 24, 10, tzinfo=UTC), MemoryTokenVault())


def _token(mock: responses.RequestsMock, token: str = "token-1") -> None:
    mock.post(
        TOKEN_URL,
        json={
            "access_token": token,
            "instance_url": BASE,
            "id": "https://login.salesforce.com/id/00D000000000001EAA/005000000000001AAA",
            "token_type": "Bearer",
        },
    )


def _write(transport: Transport) -> Any:
    return transport.write("POST", "composite/sobjects", operation="create", payload={}).data


def test_an_expired_session_is_renewed_once_and_the_call_replayed_with_its_headers(
    salesforce: responses.RequestsMock, transport: Transport
) -> None:
    _token(salesforce, "token-1")
    _token(salesforce, "token-2")
    salesforce.post(f"{DATA}/composite/sobjects", status=401, json=EXPIRED)
    salesforce.post(f"{DATA}/composite/sobjects", json=[{"success": True}], headers=DATE)

    assert _write(transport) == [{"success": True}]

    first, second = (
        call.request for call in salesforce.calls if "composite" in str(call.request.url)
    )
    assert second.headers["Authorization"] == "Bearer token-2"
    for header in ("Sforce-Auto-Assign", "Sforce-Call-Options"):
        assert second.headers[header] == first.headers[header]


def test_a_session_that_stays_refused_ends_after_one_renewal(
    salesforce: responses.RequestsMock, transport: Transport
) -> None:
    _token(salesforce)
    salesforce.get(f"{DATA}/limits", status=401, json=EXPIRED)

    with pytest.raises(AuthenticationFailed):
        transport.read("limits", operation="limits")

    assert len(salesforce.calls) == 4


def test_a_session_that_a_policy_keeps_out_is_not_renewed(
    salesforce: responses.RequestsMock, transport: Transport
) -> None:
    message = "This session is not valid for use with the REST API"
    _token(salesforce)
    refusal = [{"message": message, "errorCode": "INVALID_SESSION_ID"}]
    salesforce.get(f"{DATA}/limits", status=401, json=refusal)

    with pytest.raises(AuthenticationFailed, match=message):
        transport.read("limits", operation="limits")

    assert len(salesforce.calls) == 2


def test_a_401_that_is_no_json_is_an_authentication_failure(
    salesforce: responses.RequestsMock, transport: Transport
) -> None:
    _token(salesforce)
    salesforce.get(f"{DATA}/limits", status=401, body="<html>")

    with pytest.raises(AuthenticationFailed):
        transport.read("limits", operation="limits")


def test_a_read_is_tried_again_and_a_write_is_not(
    salesforce: responses.RequestsMock, transport: Transport
) -> None:
    _token(salesforce)
    salesforce.get(f"{DATA}/limits", status=503)
    salesforce.get(f"{DATA}/limits", json={"DailyApiRequests": {}}, headers=DATE)
    salesforce.post(f"{DATA}/composite/sobjects", status=503)

    assert transport.read("limits", operation="limits").data == {"DailyApiRequests": {}}
    with pytest.raises(CrmUnavailable) as caught:
        _write(transport)

    assert caught.value.may_have_happened
    assert sum("composite" in str(call.request.url) for call in salesforce.calls) == 1


def test_a_read_gives_up(salesforce: responses.RequestsMock, transport: Transport) -> None:
    _token(salesforce)
    salesforce.get(f"{DATA}/limits", status=503)

    with pytest.raises(CrmUnavailable) as caught:
        transport.read("limits", operation="limits")

    assert not caught.value.may_have_happened
    assert len(salesforce.calls) == 1 + READ_ATTEMPTS


@pytest.mark.parametrize(
    ("broken", "may_have_happened"),
    [
        (requests.ConnectTimeout(), False),
        (requests.ReadTimeout(), True),
        (requests.ConnectionError("Connection aborted."), True),
        (requests.exceptions.SSLError("EOF occurred in violation of protocol"), True),
        (requests.exceptions.ChunkedEncodingError(), True),
    ],
)
def test_a_write_that_broke_tells_whether_it_may_have_been_done(
    salesforce: responses.RequestsMock,
    transport: Transport,
    broken: Exception,
    may_have_happened: bool,
) -> None:
    _token(salesforce)
    salesforce.post(f"{DATA}/composite/sobjects", body=broken)

    with pytest.raises(CrmUnavailable) as caught:
        _write(transport)

    assert caught.value.may_have_happened is may_have_happened


def test_a_write_whose_answer_cannot_be_read_may_have_been_done(
    salesforce: responses.RequestsMock, transport: Transport
) -> None:
    _token(salesforce)
    salesforce.post(f"{DATA}/composite/sobjects", body='[{"success": tr')

    with pytest.raises(CrmUnavailable) as caught:
        _write(transport)

    assert caught.value.may_have_happened


def test_nobody_listening_means_that_nothing_was_sent(transport: Transport) -> None:
    settings = ConnectionSettings(
        name=ConnectionName("salesforce"),
        environment="sandbox",
        base_url="https://127.0.0.1:9",
        credentials={"client_id": "an-app", "client_secret": SECRET},
        connect_timeout_seconds=1,
    )

    with pytest.raises(CrmUnavailable) as caught:
        _write(Transport(settings, lambda: datetime(2026, 11, 24, tzinfo=UTC), MemoryTokenVault()))

    assert not caught.value.may_have_happened


@pytest.mark.parametrize(
    ("status", "answer", "expected"),
    [
        (400, {"error": "invalid_client", "error_description": "bad"}, AuthenticationFailed),
        (
            400,
            {"error": "invalid_grant", "error_description": "inactive user"},
            AuthenticationFailed,
        ),
        (400, {"error": "rate_limit_exceeded"}, RateLimited),
        (503, {"error": "later"}, CrmUnavailable),
        (200, {"access_token": "t", "instance_url": "http://plain", "id": "x/y"}, CrmUnavailable),
        (200, {"token_type": "Bearer"}, CrmUnavailable),
    ],
)
def test_a_refused_sign_in_is_told_without_the_secret(
    salesforce: responses.RequestsMock,
    transport: Transport,
    status: int,
    answer: dict[str, str],
    expected: type[Exception],
) -> None:
    salesforce.post(TOKEN_URL, status=status, json=answer)

    with pytest.raises(expected) as caught:
        _write(transport)

    assert SECRET not in f"{caught.value}{caught.value!r}{caught.value.__cause__!r}"


def test_threads_that_start_together_sign_in_once(
    salesforce: responses.RequestsMock, transport: Transport
) -> None:
    _token(salesforce)
    salesforce.get(f"{DATA}/limits", json={"DailyApiRequests": {}}, headers=DATE)

    threads = [
        threading.Thread(target=transport.read, args=("limits",), kwargs={"operation": "limits"})
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(call.request.url == TOKEN_URL for call in salesforce.calls) == 1
    assert len(salesforce.calls) == 9


def test_the_token_is_not_in_what_a_log_would_print(
    salesforce: responses.RequestsMock, transport: Transport
) -> None:
    _token(salesforce, "do-not-print-me")

    assert "do-not-print-me" not in repr(transport.tokens.current())


def test_the_answer_tells_the_servers_clock_and_the_quota(
    salesforce: responses.RequestsMock, transport: Transport
) -> None:
    _token(salesforce)
    salesforce.get(f"{DATA}/limits", json={"DailyApiRequests": {}}, headers=DATE)

    answer = transport.read("limits", operation="limits")

    assert answer.as_of <= datetime(2026, 11, 24, 10, tzinfo=UTC)
    assert (datetime(2026, 11, 24, 10, tzinfo=UTC) - answer.as_of).total_seconds() <= 1
    assert transport.budget is not None
    assert (transport.budget.used, transport.budget.allowed) == (18, 5000)


def test_a_redirect_is_not_followed_with_our_token(
    salesforce: responses.RequestsMock, transport: Transport
) -> None:
    _token(salesforce)
    salesforce.get(f"{DATA}/limits", status=302, headers={"Location": "https://elsewhere.example/"})

    with pytest.raises(CallRejected, match="My Domain"):
        transport.read("limits", operation="limits")

    assert all("elsewhere" not in str(call.request.url) for call in salesforce.calls)


def test_every_request_has_a_time_out_and_trusts_only_the_given_authority(
    salesforce: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/elsewhere.pem")
    settings = ConnectionSettings(
        name=ConnectionName("salesforce"),
        environment="sandbox",
        base_url=BASE,
        ca_file="/ours.pem",
        credentials={"client_id": "an-app", "client_secret": SECRET},
        connect_timeout_seconds=2,
        read_timeout_seconds=3,
    )
    _token(salesforce)
    salesforce.get(f"{DATA}/limits", json={"DailyApiRequests": {}}, headers=DATE)

    Transport(settings, lambda: datetime(2026, 11, 24, tzinfo=UTC), MemoryTokenVault()).read(
        "limits", operation="limits"
    )

    assert len(salesforce.calls) == 2
    for call in salesforce.calls:
        sent = call.request.req_kwargs  # type: ignore[attr-defined]
        assert sent["timeout"] == (2, 3)
        assert sent["verify"] == "/ours.pem"


def test_a_query_is_read_until_it_is_done_whatever_the_size_of_its_pages(
    salesforce: responses.RequestsMock, transport: Transport
) -> None:
    _token(salesforce)
    more = "/services/data/v67.0/query/01g000000000001AAA-2000"
    first = {"totalSize": 2, "done": False, "nextRecordsUrl": more, "records": [{"Id": "a"}]}
    last = {"totalSize": 2, "done": True, "records": [{"Id": "b"}]}
    salesforce.get(f"{DATA}/query", json=first, headers=DATE)
    salesforce.get(f"{BASE}{more}", json=last, headers=DATE)

    pages = list(transport.query("SELECT Id FROM Account", operation="test"))

    assert [row["Id"] for page in pages for row in page.data["records"]] == ["a", "b"]


def test_a_next_page_on_another_path_is_refused(
    salesforce: responses.RequestsMock, transport: Transport
) -> None:
    _token(salesforce)
    page = {"done": False, "nextRecordsUrl": "https://elsewhere.example/query/x", "records": []}
    salesforce.get(f"{DATA}/query", json=page, headers=DATE)

    with pytest.raises(CallRejected, match="nextRecordsUrl"):
        list(transport.query("SELECT Id FROM Account", operation="test"))


def test_a_patch_on_condition_that_no_word_of_salesforce_refuses_is_tried_again(
    salesforce: responses.RequestsMock, transport: Transport
) -> None:
    _token(salesforce)
    told = {"httpStatusCode": 502, "body": "<html>", "httpHeaders": {}, "referenceId": "row0"}
    salesforce.post(f"{DATA}/composite", json={"compositeResponse": [told]}, headers=DATE)
    record_id, since = "006000000000001AAA", {"006000000000001AAA": datetime.now(UTC)}

    answered = guarded.patch(transport, "Opportunity", {record_id: {}}, since, "salesforce")

    (result,) = answered.values()
    assert result is not None
    outcome = row_outcome(result["errors"], record_id=record_id, key_field="")
    assert isinstance(outcome, Deferred)
