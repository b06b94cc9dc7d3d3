"""The fault plan, and what each fault does to a real request."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
import requests

from sandbox.faults import Fault, FaultKind, FaultPlan
from sandbox.serving import Running, start
from sandbox.stand_in import StandIn

DEALS = "/crm/v3/objects/deals"


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    started = start(None)
    yield started
    started.stop()


@pytest.fixture
def hubspot(running: Running) -> Iterator[StandIn]:
    yield running.crms["hubspot"]
    running.crms["hubspot"].faults.clear()


@pytest.fixture
def client(running: Running) -> Iterator[requests.Session]:
    token = running.crms["hubspot"].credentials["access_token"]
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(running.ca_file)
        session.headers["Authorization"] = f"Bearer {token}"
        yield session


def create_deal(client: requests.Session, stand_in: StandIn, name: str) -> requests.Response:
    properties = {"dealname": name, "dealstage": "contractsent", "pipeline": "default"}
    return client.post(stand_in.url + DEALS, json={"properties": properties}, timeout=10)


def deals_named(stand_in: StandIn, name: str) -> int:
    rows = stand_in.org.store.rows("deals")
    return sum(row.fields.get("dealname") == name for row in rows)


# --- the plan


def test_only_requests_that_fit_method_and_path_are_met() -> None:
    plan = FaultPlan()
    plan.add(Fault(FaultKind.DOWN, method="POST|PATCH", path=r"/objects/\w+$"))
    assert plan.take("GET", "/crm/v3/objects/deals") is None
    assert plan.take("POST", "/crm/v3/objects/deals/search") is None
    assert plan.take("patch", "/crm/v3/objects/deals") is not None


def test_a_fault_ends_after_its_count() -> None:
    plan = FaultPlan()
    plan.add(Fault(FaultKind.DOWN, remaining=2))
    met = [plan.take("GET", "/") is not None for _ in range(3)]
    assert met == [True, True, False]
    assert plan.standing() == []


def test_the_first_fault_that_fits_applies_and_the_next_follows() -> None:
    plan = FaultPlan()
    plan.add(Fault(FaultKind.SLOW, remaining=1))
    plan.add(Fault(FaultKind.DOWN))
    kinds = [fault.kind for fault in (plan.take("GET", "/"), plan.take("GET", "/")) if fault]
    assert kinds == [FaultKind.SLOW, FaultKind.DOWN]


def test_a_broken_expression_is_refused_when_it_is_added() -> None:
    plan = FaultPlan()
    with pytest.raises(re.error):
        plan.add(Fault(FaultKind.DOWN, path="("))
    assert plan.standing() == []


# --- on the wire


def test_without_the_authority_a_client_refuses_the_server(hubspot: StandIn) -> None:
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(hubspot.url, timeout=10)


def test_a_stand_in_that_is_down_answers_503_and_does_nothing(
    hubspot: StandIn, client: requests.Session
) -> None:
    hubspot.faults.add(Fault(FaultKind.DOWN))
    assert create_deal(client, hubspot, "while down").status_code == 503
    assert deals_named(hubspot, "while down") == 0
    hubspot.faults.clear()
    assert create_deal(client, hubspot, "while down").status_code == 201


def test_a_connection_can_be_cut_before_anything_happens(
    hubspot: StandIn, client: requests.Session
) -> None:
    hubspot.faults.add(Fault(FaultKind.DOWN, cut=True))
    with pytest.raises(requests.ConnectionError):
        create_deal(client, hubspot, "cut")
    assert deals_named(hubspot, "cut") == 0
    hubspot.faults.clear()
    client.get(hubspot.url + DEALS, timeout=10)
    assert [entry.status for entry in hubspot.journal.last(2)] == [None, 200]


def test_an_answer_that_is_dropped_leaves_the_record_behind(
    hubspot: StandIn, client: requests.Session
) -> None:
    hubspot.faults.add(Fault(FaultKind.DROP_ANSWER, "POST", f"{DEALS}$", remaining=1))
    with pytest.raises(requests.ConnectionError):
        create_deal(client, hubspot, "lost answer")
    assert deals_named(hubspot, "lost answer") == 1
    assert create_deal(client, hubspot, "next").status_code == 201


def test_a_slow_stand_in_still_does_what_it_was_asked(
    hubspot: StandIn, client: requests.Session
) -> None:
    hubspot.faults.add(Fault(FaultKind.SLOW, seconds=0.3, remaining=1))
    began = time.monotonic()
    assert create_deal(client, hubspot, "late").status_code == 201
    assert time.monotonic() - began >= 0.3
    assert deals_named(hubspot, "late") == 1


@pytest.mark.parametrize(
    ("crm", "status", "words", "retry_after"),
    [
        ("salesforce", 403, "REQUEST_LIMIT_EXCEEDED", None),
        ("dynamics365", 429, "0x80072322", "7"),
        ("hubspot", 429, "TEN_SECONDLY_ROLLING", None),
    ],
)
def test_each_vendor_refuses_too_many_calls_in_its_own_words(
    running: Running,
    client: requests.Session,
    crm: str,
    status: int,
    words: str,
    retry_after: str | None,
) -> None:
    stand_in = running.crms[crm]
    stand_in.faults.add(Fault(FaultKind.THROTTLED, seconds=7, remaining=1))
    answer = client.get(stand_in.url + "/anything", timeout=10)
    assert answer.status_code == status
    assert words in answer.text
    assert answer.headers.get("Retry-After") == retry_after


# --- the journal


def test_the_journal_keeps_what_was_asked_and_no_secret(
    hubspot: StandIn, client: requests.Session
) -> None:
    before = hubspot.journal.total
    client.get(hubspot.url + DEALS, params={"limit": 1}, timeout=10)
    entry = hubspot.journal.last(1)[0]
    assert hubspot.journal.total == before + 1
    assert (entry.method, entry.path, entry.status) == ("GET", f"{DEALS}?limit=1", 200)
    assert hubspot.credentials["access_token"] not in str(hubspot.journal.last())


def test_every_answer_carries_the_orgs_own_time_once(
    running: Running, client: requests.Session
) -> None:
    for stand_in in running.crms.values():
        answer = client.get(stand_in.url + "/anything", timeout=10)
        assert answer.headers["Date"].count("GMT") == 1
