"""Webhooks as the CRMs send them: believed only when authentic, answered only when committed."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from config.settings import Settings
from connectors.port import CheckItem
from registration_core.store import repository
from sandbox.serving import Running
from sandbox.webhooks import GATHER_SECONDS, WebhookSender
from sync import pull, receiving
from sync.ledger import inbox
from sync.mappings import connecting
from tests.integration.web.conftest import USER, Crm, Door, Timepiece, crm_at, serving

ACK = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b'<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    b'<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound">'
    b"<Ack>true</Ack></notificationsResponse></soapenv:Body></soapenv:Envelope>"
)


@pytest.fixture
def salesforce(running: Running, door: Door) -> Crm:
    return crm_at(running, "salesforce", door.url)


@pytest.fixture
def hubspot(running: Running, door: Door) -> Crm:
    return crm_at(running, "hubspot", door.url)


def test_an_authentic_delivery_is_in_the_inbox_and_makes_work_due(crm: Crm, door: Door) -> None:
    nudges: set[str] = set()
    door.runtime.database.on_work = nudges.update
    record_id, delivery = crm.delivery()
    answer = door.post(delivery)
    assert answer.ok
    assert delivery.expects in answer.content
    assert set(door.inbox(crm)) == {record_id}
    assert nudges == {f"pull:{crm.connection}"}


def test_the_check_says_when_a_delivery_was_last_taken(crm: Crm, door: Door) -> None:
    def told() -> CheckItem:
        (item,) = [
            each
            for each in connecting.check(door.runtime, crm.connection)
            if each.step == "last webhook"
        ]
        return item

    assert (told().warning, told().ok) == (True, True)
    _, delivery = crm.delivery()
    assert door.post(delivery).ok
    assert not told().warning
    assert f"{door.runtime.database.clock():%Y-%m-%d}" in told().detail


def test_salesforce_gets_exactly_its_acknowledgement(salesforce: Crm, door: Door) -> None:
    _, delivery = salesforce.delivery()
    answer = door.post(delivery)
    assert (answer.status_code, answer.content) == (200, ACK)
    assert answer.headers["content-type"] == "text/xml; charset=utf-8"


def test_a_delivery_is_committed_before_it_is_answered(salesforce: Crm, door: Door) -> None:
    """What dies between the commit and the answer costs a repeat, never the notice."""
    record_id, delivery = salesforce.delivery()
    seen: list[set[str]] = []

    def die(_: set[str]) -> None:
        seen.append(set(door.inbox(salesforce)))
        raise MemoryError

    alive, door.runtime.database.on_work = door.runtime.database.on_work, die
    answer = door.post(delivery)
    assert seen == [{record_id}]
    assert (answer.status_code, answer.content) == (500, b"failed")
    door.runtime.database.on_work = alive
    assert door.post(delivery).ok
    assert set(door.inbox(salesforce)) == {record_id}


def test_what_fails_before_the_commit_is_neither_kept_nor_acknowledged(
    hubspot: Crm, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*given: Any) -> None:
        inbox.take_note(*given)
        raise MemoryError

    monkeypatch.setattr(receiving, "take_note", die)
    _, delivery = hubspot.delivery()
    assert door.post(delivery).status_code == 500
    assert door.inbox(hubspot) == {}


def test_a_repeated_delivery_is_acknowledged_and_harmless(crm: Crm, door: Door) -> None:
    record_id, delivery = crm.delivery()
    assert [door.post(delivery).ok for _ in range(3)] == [True] * 3
    assert set(door.inbox(crm)) == {record_id}


def test_the_same_news_from_many_senders_at_once_becomes_one_record_to_read(
    hubspot: Crm, door: Door
) -> None:
    sent = [hubspot.delivery() for _ in range(3)]
    ids = {record_id for record_id, _ in sent}
    copies = [delivery for _, delivery in sent for _ in range(5)]
    with ThreadPoolExecutor(len(copies)) as senders:
        answers = list(senders.map(door.post, copies))
    assert {answer.status_code // 100 for answer in answers} == {2}
    notices = door.inbox(hubspot)
    assert set(notices) == ids
    assert all(noticed >= 5 for noticed in notices.values())


def test_a_hundred_notifications_in_one_message_are_a_hundred_records_to_read(
    salesforce: Crm, door: Door
) -> None:
    ids: set[str] = set()
    change = lambda: ids.update(salesforce.add(f"Curlew {i}") for i in range(100))  # noqa: E731
    (delivery,) = salesforce.deliveries(change)
    assert door.post(delivery).content == ACK
    assert set(door.inbox(salesforce)) == ids
    assert len(ids) == 100


def test_old_messages_that_come_again_after_newer_ones_change_nothing(
    salesforce: Crm, door: Door
) -> None:
    account = salesforce.add("First Freight")
    renamed = [
        delivery
        for name in ("Second Freight", "Third Freight")
        for delivery in salesforce.deliveries(partial(rename, salesforce, account, name))
    ]
    assert [b"Second" in delivery.body for delivery in renamed] == [True, False]
    assert {door.post(delivery).content for delivery in [*reversed(renamed), *renamed]} == {ACK}
    assert known(door, salesforce) == {account: "Third Freight"}

    late = renamed[0]
    assert door.post(late).content == ACK
    assert known(door, salesforce) == {account: "Third Freight"}
    assert door.inbox(salesforce) == {account: 5}


def test_what_salesforce_sends_late_twice_and_again_ends_in_what_it_holds(
    salesforce: Crm, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own sender: messages are repeated, overtaken, and sent again while the store is away."""
    failing = iter([True, False, True])
    commit = inbox.take_note

    def now_and_then(*given: Any) -> int:
        if next(failing, False):
            raise MemoryError
        return commit(*given)

    monkeypatch.setattr(receiving, "take_note", now_and_then)
    accounts = [salesforce.add(f"Courier {number}") for number in range(3)]
    with contextlib.closing(WebhookSender(salesforce.org, door.url)) as sender:
        for round_ in range(4):
            for account in accounts:
                rename(salesforce, account, f"{account[-4:]} in round {round_}")
            time.sleep(GATHER_SECONDS + 0.02)
        deadline = time.monotonic() + 10
        while sender.waiting():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        attempts = sender.attempts()

    assert [attempt.taken for attempt in attempts].count(False) == 2
    assert len(attempts) > 2
    assert known(door, salesforce) == {a: f"{a[-4:]} in round 3" for a in accounts}


def rename(crm: Crm, account: str, name: str) -> None:
    """Change an account's name as a person would."""
    crm.org.edit(crm.table, account, {"Name": name}, USER)


def known(door: Door, crm: Crm) -> dict[str, str]:
    """Drain the inbox; returns the names of the accounts that were told of, as we hold them."""
    pull.drain(door.runtime, crm.connection)
    with door.runtime.database.read() as session:
        held = {i: repository.account(session, crm.connection, i) for i in door.inbox(crm)}
    return {record_id: account.name for record_id, account in held.items() if account}


def test_many_changes_of_one_company_are_one_record_to_read(hubspot: Crm, door: Door) -> None:
    company = hubspot.add()
    cities = [{"city": f"City {i}"} for i in range(90)]
    change = lambda: [hubspot.org.edit("companies", company, city, USER) for city in cities]  # noqa: E731
    (delivery,) = hubspot.deliveries(change)
    assert door.post(delivery).ok
    assert door.inbox(hubspot) == {company: 1}


def test_an_authentic_delivery_of_another_org_is_acknowledged_and_put_aside(
    crm: Crm, door: Door
) -> None:
    door.pin(crm, "another org")
    _, delivery = crm.delivery()
    answer = door.post(delivery)
    assert answer.ok
    assert delivery.expects in answer.content
    assert door.inbox(crm) == {}
    assert door.quarantined() == 1


def test_before_the_first_call_the_configuration_says_which_org_is_known(
    salesforce: Crm, door: Door
) -> None:
    door.runtime.pins[salesforce.connection] = "another org"  # type: ignore[index]
    _, delivery = salesforce.delivery()
    assert door.post(delivery).ok
    assert (door.inbox(salesforce), door.quarantined()) == ({}, 1)


def test_a_delivery_of_the_pinned_org_is_taken(salesforce: Crm, door: Door) -> None:
    door.pin(salesforce, salesforce.org.org_id)
    record_id, delivery = salesforce.delivery()
    assert door.post(delivery).ok
    assert set(door.inbox(salesforce)) == {record_id}
    assert door.quarantined() == 0


def test_a_queue_that_is_away_costs_no_delivery(
    running: Running, settings: Settings, timepiece: Timepiece
) -> None:
    lost = replace(settings, redis_url="redis://127.0.0.1:1/0")  # nobody listens on this port
    with serving(lost, timepiece) as door:
        crm = crm_at(running, "salesforce", door.url)
        record_id, delivery = crm.delivery()
        assert door.post(delivery).content == ACK
        assert set(door.inbox(crm)) == {record_id}
        assert door.get("/readyz").status_code == 200
