"""The change feed of Dynamics 365: kept links and how they end, pages, tables that are not tracked."""

from __future__ import annotations

import dataclasses
import json
from datetime import timedelta

import pytest

from connectors.errors import (
    AuthenticationFailed,
    ConnectorError,
    CrmUnavailable,
    FeedExpired,
    NotPermitted,
    RateLimited,
)
from connectors.port import Refused
from registration_core.contracts import Condition
from tests.contract.dynamics365 import ACCOUNT, REP, Crm, fresh


@pytest.mark.parametrize(
    "expiry",
    [
        (400, "0x80044352"),
        (400, "0x80040216"),  # "unexpected error", which passes by itself anywhere else
        (400, ""),
        (404, "0x80040217"),
        (410, ""),
        (412, "0x80060882"),
    ],
)
def test_an_expired_cursor_asks_for_everything_again_whatever_it_is_called(
    crm: Crm, expiry: tuple[int, str]
) -> None:
    cursor = crm.drain(None)[-1].cursor
    crm.org.behaviour.feed_kept, crm.org.behaviour.expiry = timedelta(0), expiry
    crm.peer.clock.skip(timedelta(seconds=2))
    changed = crm.account()
    with pytest.raises(FeedExpired, match="full sync"):
        crm.connector.changes(ACCOUNT, ("name",), cursor)
    again = [record.record_id for page in crm.drain(None) for record in page.records]
    assert changed in again
    assert len(again) == crm.connector.count(ACCOUNT, [])


@pytest.mark.parametrize(
    ("answered", "told"),
    [
        ((401, "0x80041d52"), AuthenticationFailed),
        ((403, "0x80040220"), NotPermitted),
        ((429, "0x80072322"), RateLimited),
        ((500, "0x80044151"), CrmUnavailable),
    ],
)
def test_a_refusal_that_says_nothing_of_the_cursor_keeps_it(
    crm: Crm, answered: tuple[int, str], told: type[ConnectorError]
) -> None:
    cursor = crm.drain(None)[-1].cursor
    crm.org.behaviour.feed_kept, crm.org.behaviour.expiry = timedelta(0), answered
    crm.peer.clock.skip(timedelta(seconds=2))
    changed = crm.account()
    with pytest.raises(told):
        crm.connector.changes(ACCOUNT, ("name",), cursor)
    crm.org.behaviour.feed_kept = timedelta(days=7)
    assert [record.record_id for record in crm.drain(cursor)[-1].records] == [changed]


@pytest.mark.parametrize("cursor", ["", "[]", "not json", '{"link": "accounts"}'])
def test_a_cursor_that_is_not_ours_asks_for_everything_again(crm: Crm, cursor: str) -> None:
    with pytest.raises(FeedExpired):
        crm.connector.changes(ACCOUNT, ("name",), cursor)


def test_other_fields_need_a_feed_of_their_own(crm: Crm) -> None:
    cursor = crm.drain(None)[-1].cursor
    with pytest.raises(FeedExpired):
        crm.connector.changes(ACCOUNT, ("name", "telephone1"), cursor)


def test_a_deactivated_account_is_there_and_is_no_deletion(crm: Crm) -> None:
    account = crm.account()
    cursor = crm.drain(None)[-1].cursor
    crm.org.edit(ACCOUNT, account, {"statecode": 1}, REP)
    (page,) = crm.drain(cursor, ("name",))
    assert [record.record_id for record in page.records] == [account]
    assert page.gone == ()
    record = crm.read(account, "statecode", object_name=ACCOUNT)
    assert record.fields == {"statecode": "1"}
    where = [Condition("accountid", (account,))]
    assert crm.connector.count(ACCOUNT, where) == 1
    refused = crm.update(account, {"name": "Changed"}, None, ACCOUNT)
    assert isinstance(refused, Refused)
    assert "inactive" in refused.message


def test_a_feed_in_pages_is_as_old_as_its_first_page(
    crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.dynamics365.feed._PAGE", 60)
    pages = [crm.connector.changes(ACCOUNT, ("name",), None)]
    crm.peer.clock.skip(timedelta(minutes=1))
    late = crm.account()
    while pages[-1].more:
        pages.append(crm.connector.changes(ACCOUNT, ("name",), pages[-1].cursor))
    assert len(pages) > 2
    assert {page.as_of for page in pages} == {pages[0].as_of}
    seen = [record.record_id for page in pages for record in page.records]
    assert len(seen) == len(set(seen)) == crm.connector.count(ACCOUNT, []) - 1
    later = crm.drain(pages[-1].cursor)
    assert [record.record_id for page in later for record in page.records] == [late]


def test_a_cursor_never_leads_the_token_to_another_host(crm: Crm) -> None:
    state = json.loads(crm.drain(None)[-1].cursor)
    state["link"] = "https://elsewhere.example/api/data/v9.2/accounts?$deltatoken=1"
    with pytest.raises(FeedExpired, match="elsewhere"):
        crm.connector.changes(ACCOUNT, ("name",), json.dumps(state))


def test_as_of_lies_before_every_later_change(crm: Crm) -> None:
    selection = crm.connector.select(ACCOUNT, [], ["name"], 1)
    changed = crm.org.store.get(ACCOUNT, crm.account())
    assert changed is not None
    assert selection.as_of <= changed.modified_at
    assert selection.as_of > changed.modified_at - timedelta(seconds=10)


def test_a_table_without_change_tracking_is_followed_by_its_stamps(
    crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.dynamics365.feed._PAGE", 60)
    crm.org.behaviour.untracked.add(ACCOUNT)
    crm.peer.clock.skip(timedelta(minutes=5))
    untracked = dataclasses.replace(crm, connector=fresh(crm))
    everything = untracked.drain(None)
    assert len(everything) > 2
    seen = {record.record_id for page in everything for record in page.records}
    assert len(seen) == untracked.connector.count(ACCOUNT, [])
    assert untracked.drain(everything[-1].cursor)[-1].records == ()
    changed = crm.account()
    cursor = everything[-1].cursor
    for _ in range(2):  # what lies in the overlap is told again rather than missed
        (page,) = untracked.drain(cursor)
        assert [record.record_id for record in page.records] == [changed]
        assert page.gone == ()
        cursor = page.cursor
    crm.org.behaviour.untracked.clear()
    with pytest.raises(FeedExpired, match="switched on"):
        fresh(crm).changes(ACCOUNT, ("name",), cursor)
