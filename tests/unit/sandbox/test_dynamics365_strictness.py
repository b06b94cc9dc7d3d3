"""What the Dynamics 365 stand-in does not take, as the service would not; and how it signs a call."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import quote

import pytest

from connectors.deliveries import WebhookRequest
from connectors.dynamics365 import webhook
from sandbox.dynamics365.calls import API, URL_MAX_IN_BATCH
from sandbox.webhooks import HABITS
from tests.unit.sandbox.dynamics365 import CREDENTIALS, REP, Environment, code

GUID = "0f8fad5b-d9cb-469f-a165-70867728950e"


@pytest.fixture
def env() -> Iterator[Environment]:
    environment = Environment()
    environment.org.seed()
    environment.events.clear()
    yield environment
    environment.org.store.close()


@pytest.mark.parametrize(
    "term",
    [
        "name eq 5",
        "name eq true",
        f"name eq {GUID}",
        "accountid eq 'x'",
        "_ownerid_value eq 5",
        "createdon gt 'abc'",
        "createdon gt 5",
        "statecode eq 'Active'",
        "customertypecode eq '3'",
        "dr_houseaccount eq 'yes'",
        "dr_houseaccount eq 1",
        "contains(accountid,'x')",
        "new_segments eq 3",
    ],
)
def test_a_literal_of_another_type_is_refused(env: Environment, term: str) -> None:
    answer = env.call("GET", f"accounts?$select=name&$filter={quote(term)}")
    assert code(answer) == (400, "0x80060888")


@pytest.mark.parametrize(
    "term",
    [
        "name eq '5'",
        "name eq null",
        f"accountid eq {GUID}",
        f"accountid eq '{GUID}'",
        "_ownerid_value eq null",
        "createdon gt 2020-01-01T00:00:00Z",
        "createdon gt 2020-01-01",
        "statecode eq 0",
        "dr_houseaccount eq true",
        "contains(name,'x')",
    ],
)
def test_a_literal_of_the_columns_own_type_is_taken(env: Environment, term: str) -> None:
    assert env.call("GET", f"accounts?$select=name&$filter={quote(term)}").status == 200


def test_a_day_is_compared_with_a_day(env: Environment) -> None:
    day = "opportunities?$filter=estimatedclosedate eq 2027-01-01"
    assert env.call("GET", day).status == 200
    assert code(env.call("GET", f"{day}T00:00:00Z")) == (400, "0x80060888")


@pytest.mark.parametrize("option", ["$filter=name eq 'A'", "$top=1", "$orderby=name", "$no=1"])
def test_a_single_row_takes_no_options_of_a_list(env: Environment, option: str) -> None:
    account = env.account()
    answer = env.call("GET", f"accounts({account})?$select=name&{option}")
    assert code(answer) == (400, "0x80060888")


def test_pending_changes_are_not_counted_here(env: Environment) -> None:
    assert env.call("GET", "accounts/$count").status == 200
    assert env.call("GET", "accounts/$count?$deltatoken=1").status == 501


def test_an_address_in_a_batch_has_an_end(env: Environment) -> None:
    def asked(length: int) -> bytes:
        address = f"{API}accounts?$top=1&$select=name"
        url = address + "&tag=" + "x" * (length - len(address) - 5)
        head = "Content-Type: application/http\r\nContent-Transfer-Encoding: binary"
        return f"--b\r\n{head}\r\n\r\nGET {url} HTTP/1.1\r\n\r\n\r\n--b--\r\n".encode()

    kind = "multipart/mixed; boundary=b"
    taken = env.call("POST", "$batch", asked(URL_MAX_IN_BATCH), content_type=kind)
    assert taken.status == 200
    refused = env.call("POST", "$batch", asked(URL_MAX_IN_BATCH + 1), content_type=kind)
    assert refused.status == 400
    assert b"too long" in refused.encoded()


@pytest.mark.parametrize(
    ("auth_type", "query"), [(4, "?code=another+secret"), (5, ""), (6, "?secret=another+secret")]
)
def test_each_way_to_sign_a_webhook_call_is_one_that_the_connector_believes(
    env: Environment, auth_type: int, query: str
) -> None:
    (endpoint,) = env.org.store.rows("serviceendpoint")
    env.org.edit("serviceendpoint", endpoint.id, {"authtype": auth_type}, REP)
    env.account()
    (delivery,) = env.org.deliveries(
        [event for event in env.events if event.object == "account"], "https://deals.example"
    )
    assert delivery.url == f"https://deals.example/webhooks/dynamics{query}"
    assert ("x-dealreg-secret" in delivery.headers) == (auth_type == 5)
    at = datetime(2027, 1, 1, tzinfo=UTC)
    request = WebhookRequest("POST", delivery.url, delivery.headers, delivery.body, at)
    told = webhook.read(request, [CREDENTIALS["webhook_secret"]], "dealreg:x", None)
    assert [notice.object for notice in told.notices] == ["account"]


def test_a_receiver_has_a_minute_to_answer() -> None:
    assert HABITS["dynamics365"].timeout_seconds == 60
