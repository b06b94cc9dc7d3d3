"""What the change feed hands out, connector against stand-in: lists, lag, merges, the bin."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from connectors.deliveries import WebhookRequest
from connectors.errors import (
    FeedExpired,
)
from connectors.hubspot.connector import HubSpotConnector
from connectors.port import Absence, ChangePage, Gone, RemoteRecord
from sandbox.hubspot.engine import HubSpotOrg
from sandbox.records import Event
from sandbox.stand_in import StandIn
from tests.contract.hubspot.portal import COMPANY, REP, company, created
from tests.contract.peers import Timepiece


def whole(hubspot: HubSpotConnector, object_name: str, fields: list[str]) -> list[ChangePage]:
    """Read a feed from the beginning until no page waits."""
    pages = [hubspot.changes(object_name, fields, None)]
    while pages[-1].more:
        pages.append(hubspot.changes(object_name, fields, pages[-1].cursor))
    return pages


def test_an_object_is_listed_once_with_its_associations_and_no_other_call(
    hubspot: HubSpotConnector,
    org: HubSpotOrg,
    stand_in: StandIn,
    new_key: Callable[[], str],
) -> None:
    acme, other = company(org).id, company(org).id
    deal_id, without = created(hubspot, new_key(), **{COMPANY: acme}), created(hubspot, new_key())
    org.associate(("deals", deal_id), ("companies", other), (341,), "user:1")
    before = stand_in.journal.total
    pages = whole(hubspot, "deals", ["dealname", COMPANY])
    assert stand_in.journal.total - before == len(pages)
    found = {record.record_id: record.fields[COMPANY] for p in pages for record in p.records}
    assert found[deal_id] == acme
    assert found[without] is None


def test_very_many_properties_are_read_by_id_and_not_by_url(
    hubspot: HubSpotConnector, new_key: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.hubspot.feed._NAMES_LENGTH_MAX", 5)
    deal_id = created(hubspot, new_key(), dealname="Long")
    records = {r.record_id: r for p in whole(hubspot, "deals", ["dealname"]) for r in p.records}
    assert records[deal_id].fields == {"dealname": "Long"}


def test_an_archived_record_comes_from_the_bin_once_within_a_quarter_of_an_hour(
    hubspot: HubSpotConnector, org: HubSpotOrg, timepiece: Timepiece
) -> None:
    gone_before = company(org, "Gone before")
    org.remove("companies", gone_before.id, REP)
    doomed = company(org, "Doomed")
    timepiece.skip(timedelta(minutes=3))
    cursor = whole(hubspot, "companies", ["name"])[-1].cursor
    org.remove("companies", doomed.id, REP)
    told: list[Gone] = []
    for _ in range(6):
        timepiece.skip(timedelta(minutes=9))
        page = hubspot.changes("companies", ["name"], cursor)
        told += page.gone
        while page.more:
            page = hubspot.changes("companies", ["name"], page.cursor)
            told += page.gone
        cursor = page.cursor
    assert told == [Gone(doomed.id, Absence.DELETED)]


def test_a_lag_that_was_seen_moves_the_time_up_to_which_everything_is_known(
    hubspot: HubSpotConnector, org: HubSpotOrg, timepiece: Timepiece, new_key: Callable[[], str]
) -> None:
    deal_id = created(hubspot, new_key())
    timepiece.skip(timedelta(minutes=5))
    cursor = whole(hubspot, "deals", [])[-1].cursor
    org.edit("deals", deal_id, {"dealname": "Found at once"}, REP)
    org.index_lag = timedelta(minutes=4)
    timepiece.skip(timedelta(minutes=4, seconds=1))
    org.edit("deals", deal_id, {"dealname": "Not found yet"}, REP)
    timepiece.skip(timedelta(minutes=3))
    page = hubspot.changes("deals", ["dealname"], cursor)
    while page.more:
        page = hubspot.changes("deals", ["dealname"], page.cursor)
    assert timepiece() - page.as_of > timedelta(minutes=5)


def test_the_feed_tells_of_merges(
    hubspot: HubSpotConnector, org: HubSpotOrg, timepiece: Timepiece
) -> None:
    loser, winner = company(org, "Loser"), company(org, "Winner")
    timepiece.skip(timedelta(minutes=3))
    cursor = hubspot.changes("companies", ["name"], None).cursor
    while (page := hubspot.changes("companies", ["name"], cursor)).more:
        cursor = page.cursor
    org.merge("companies", loser.id, winner.id, REP)
    survivor = org.resolve(org.kind("companies"), loser.id)
    assert survivor is not None
    page = hubspot.changes("companies", ["name"], page.cursor)
    assert {
        Gone(loser.id, Absence.MERGED, survivor.id),
        Gone(winner.id, Absence.MERGED, survivor.id),
    } <= set(page.gone)
    assert survivor.id in {record.record_id for record in page.records}


def test_a_merge_that_keeps_the_primary_record_retires_the_other_alone(
    hubspot: HubSpotConnector, org: HubSpotOrg, timepiece: Timepiece, new_key: Callable[[], str]
) -> None:
    org.keeps_primary_id = True
    loser, primary = created(hubspot, new_key()), created(hubspot, new_key())
    timepiece.skip(timedelta(minutes=3))
    cursor = whole(hubspot, "deals", [])[-1].cursor
    events: list[Event] = []
    org.store.on_event(events.append)
    org.merge("deals", loser, primary, REP)
    gone = Gone(loser, Absence.MERGED, primary)
    found = hubspot.read("deals", [loser, primary], ["dealname"])
    assert found[loser] == gone
    assert isinstance(found[primary], RemoteRecord)
    page = hubspot.changes("deals", ["dealname"], cursor)
    assert gone in page.gone
    assert primary not in {each.record_id for each in page.gone}
    assert primary in {record.record_id for record in page.records}
    (sent,) = org.deliveries(events, "http://127.0.0.1:8700")
    request = WebhookRequest("POST", sent.url, sent.headers, sent.body, timepiece())
    assert {n.record_id for n in hubspot.webhook(request).notices} == {loser, primary}


def test_the_feed_loses_nothing_to_a_lagging_index(
    hubspot: HubSpotConnector,
    org: HubSpotOrg,
    timepiece: Timepiece,
    new_key: Callable[[], str],
) -> None:
    org.index_lag = timedelta(seconds=30)
    deal_id = created(hubspot, new_key())
    cursor, seen = hubspot.changes("deals", ["dealname"], None).cursor, set[str]()
    for _ in range(8):
        page = hubspot.changes("deals", ["dealname"], cursor)
        cursor = page.cursor
        seen |= {record.record_id for record in page.records}
        timepiece.skip(timedelta(seconds=10))
    assert deal_id in seen


def test_the_feed_pages_by_id_past_a_bulk_update_of_one_moment(
    hubspot: HubSpotConnector, org: HubSpotOrg, timepiece: Timepiece
) -> None:
    timepiece.skip(timedelta(minutes=3))
    cursor = hubspot.changes("companies", [], None).cursor
    with org.store.transaction():
        ids = {company(org, f"Bulk {number}").id for number in range(230)}
    pages: list[ChangePage] = []
    while not pages or pages[-1].more:
        pages.append(hubspot.changes("companies", ["name"], pages[-1].cursor if pages else cursor))
    handed_out = [record.record_id for page in pages for record in page.records]
    assert ids <= set(handed_out)
    assert len(pages) > 1
    assert len({page.as_of for page in pages}) == 1


def test_records_that_go_on_changing_do_not_lengthen_a_round_and_come_with_the_next(
    hubspot: HubSpotConnector, org: HubSpotOrg, timepiece: Timepiece
) -> None:
    timepiece.skip(timedelta(minutes=3))
    cursor = whole(hubspot, "companies", [])[-1].cursor
    with org.store.transaction():
        ids = sorted((company(org, f"Bulk {number}").id for number in range(210)), key=int)
    timepiece.skip(timedelta(seconds=5))
    first = hubspot.changes("companies", ["name"], cursor)
    assert first.more
    timepiece.skip(timedelta(seconds=5))
    org.edit("companies", ids[-1], {"name": "Still moving"}, REP)
    last = hubspot.changes("companies", ["name"], first.cursor)
    assert not last.more
    assert ids[-1] not in {record.record_id for record in last.records}
    assert ids[-2] in {record.record_id for record in last.records}

    timepiece.skip(timedelta(seconds=30))  # until the index knows
    again = hubspot.changes("companies", ["name"], last.cursor)
    names = {record.record_id: record.fields["name"] for record in again.records}
    while again.more:
        again = hubspot.changes("companies", ["name"], again.cursor)
        names |= {record.record_id: record.fields["name"] for record in again.records}
    assert names[ids[-1]] == "Still moving"


def test_a_cursor_that_is_not_one_starts_again(hubspot: HubSpotConnector) -> None:
    for cursor in ("", "{", "[]", '{"unknown": 1}'):
        with pytest.raises(FeedExpired):
            hubspot.changes("deals", [], cursor)
