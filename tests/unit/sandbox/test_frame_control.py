"""The control door: everything a person or bad luck can do, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import requests

from sandbox.serving import Running, start

REP = "Sales Rep East"
COMPANIES = "/crms/hubspot/objects/companies"


class Door:
    """A client of the control door."""

    def __init__(self, running: Running) -> None:
        self._url = running.control_url
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {running.control_token}"

    def call(self, method: str, path: str, status: int = 200, **rest: Any) -> Any:
        """Make a call that must be answered with `status`; return its JSON, if it has any."""
        answer = self._session.request(method, self._url + path, timeout=10, **rest)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def close(self) -> None:
        """Close the connection."""
        self._session.close()


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    started = start(None)
    yield started
    started.stop()


@pytest.fixture
def door(running: Running) -> Iterator[Door]:
    opened = Door(running)
    yield opened
    opened.close()
    for stand_in in running.crms.values():
        stand_in.faults.clear()


def test_nobody_gets_in_without_the_token(running: Running, door: Door) -> None:
    for headers in ({"Authorization": ""}, {"Authorization": f"Bearer {running.control_token}x"}):
        refused = door.call("GET", "/crms", 401, headers=headers)
        assert "Authorization: Bearer" in refused["error"]


def test_the_overview_names_each_crm_and_what_it_holds(running: Running, door: Door) -> None:
    overview = {each["crm"]: each for each in door.call("GET", "/crms")}
    assert set(overview) == {"salesforce", "dynamics365", "hubspot"}
    assert overview["salesforce"]["url"] == running.crms["salesforce"].url
    assert overview["salesforce"]["objects"]["Account"] > 100
    assert overview["dynamics365"]["objects"]["account"] > 100
    assert overview["hubspot"]["objects"]["companies"] > 100
    assert overview["hubspot"]["faults"] == []
    assert overview["hubspot"]["webhooks"] is False


def test_a_record_can_be_added_edited_read_with_its_history_and_deleted(door: Door) -> None:
    made = door.call("POST", COMPANIES, 201, json={"fields": {"name": "Before"}, "user": REP})
    record = f"{COMPANIES}/{made['id']}"
    door.call("PATCH", record, json={"fields": {"name": "After"}, "user": REP})
    shown = door.call("GET", record)
    assert shown["fields"]["name"] == "After"
    names = [(c["old"], c["new"]) for c in shown["history"] if c["field"] == "name"]
    assert names == [(None, "Before"), ("Before", "After")]
    door.call("DELETE", record, 204, params={"user": REP})
    assert door.call("GET", record)["deleted"] is True
    assert door.call("GET", COMPANIES, params={"name": "After"})["count"] == 0
    assert door.call("GET", COMPANIES, params={"name": "After", "deleted": "true"})["count"] == 1


def test_two_records_can_be_merged(door: Door) -> None:
    accounts = "/crms/salesforce/objects/Account"
    ids = [
        door.call("POST", accounts, 201, json={"fields": {"Name": name}, "user": REP})["id"]
        for name in ("Loser Ltd", "Winner Ltd")
    ]
    door.call("POST", f"{accounts}/{ids[0]}/merge", 204, json={"into": ids[1], "user": REP})
    assert door.call("GET", f"{accounts}/{ids[0]}")["merged_into"] == ids[1]


def test_a_listing_is_filtered_and_adds_up_exactly(door: Door) -> None:
    deals = "/crms/hubspot/objects/deals"
    for amount in ("0.10", "0.20", "1000000.40"):
        fields = {"dealname": "Summed", "dealstage": "contractsent", "amount": amount}
        door.call("POST", deals, 201, json={"fields": fields, "user": REP})
    listing = door.call("GET", deals, params={"dealname": "Summed", "sum": "amount"})
    assert (listing["count"], Decimal(listing["sum"])) == (3, Decimal("1000000.7"))
    refused = door.call("GET", deals, 422, params={"dealname": "Summed", "sum": "dealname"})
    assert "Summed" in refused["error"]


def test_an_edit_the_crm_would_refuse_is_refused_in_its_words(door: Door) -> None:
    body = {"fields": {"No_Such_Field__c": "x"}, "user": REP}
    refused = door.call("POST", "/crms/salesforce/objects/Account", 422, json=body)
    assert "No_Such_Field__c" in refused["error"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("GET", "/crms/sugar/requests", None, 404, "there are salesforce, dynamics365, hubspot"),
        ("GET", f"{COMPANIES}/1", None, 404, "no companies record '1'"),
        ("POST", COMPANIES, b"{", 400, "not JSON"),
        ("POST", COMPANIES, b"[]", 422, "'fields'"),
        ("POST", COMPANIES, b'{"fields": {}}', 422, "'user'"),
        ("POST", COMPANIES, b"x" * 1_000_001, 413, "1000000 bytes"),
        ("POST", "/crms/hubspot/faults", b'{"kind": "rain"}', 422, "rain"),
        ("POST", "/crms/hubspot/faults", b'{"kind": "slow", "hours": 1}', 422, "hours"),
        ("POST", "/crms/hubspot/faults", b'{"kind": "slow", "path": "("}', 422, "not a fault"),
        ("PUT", "/crms/hubspot/webhooks", b'{"on": true}', 409, "--webhook-base"),
        ("GET", "/crms/hubspot/requests?last=all", None, 422, "number"),
    ],
)
def test_a_call_that_makes_no_sense_is_told_why(
    door: Door, method: str, path: str, body: bytes | None, status: int, words: str
) -> None:
    assert words in door.call(method, path, status, data=body)["error"]


def test_a_fault_set_here_strikes_there_and_can_be_cleared(running: Running, door: Door) -> None:
    fault = {"kind": "down", "path": "/crm/", "remaining": 5}
    door.call("POST", "/crms/hubspot/faults", 201, json=fault)
    (standing,) = door.call("GET", "/crms/hubspot/faults")
    assert standing.items() >= fault.items()
    stand_in = running.crms["hubspot"]
    with requests.Session() as session:
        session.trust_env, session.verify = False, str(running.ca_file)
        url = f"{stand_in.url}/crm/v3/objects/deals"
        assert session.get(url, timeout=10).status_code == 503
        door.call("DELETE", "/crms/hubspot/faults", 204)
        assert session.get(url, timeout=10).status_code == 401
    journal = door.call("GET", "/crms/hubspot/requests", params={"last": 2})
    assert [each["status"] for each in journal["requests"]] == [503, 401]
    assert journal["total"] >= 2


def test_tokens_can_be_made_worthless(running: Running, door: Door) -> None:
    stand_in = running.crms["salesforce"]
    form = {"grant_type": "client_credentials"} | {
        name: stand_in.credentials[name] for name in ("client_id", "client_secret")
    }
    with requests.Session() as session:
        session.trust_env, session.verify = False, str(running.ca_file)
        token = session.post(f"{stand_in.url}/services/oauth2/token", data=form, timeout=10).json()
        headers = {"Authorization": f"Bearer {token['access_token']}"}
        limits = f"{stand_in.url}/services/data/v67.0/limits"
        assert session.get(limits, headers=headers, timeout=10).status_code == 200
        door.call("POST", "/crms/salesforce/tokens/expire", 204)
        assert session.get(limits, headers=headers, timeout=10).status_code == 401
