"""What is special to HubSpot, connector against stand-in: companies, merges, lag, odd batches."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from connectors.deliveries import WebhookRequest
from connectors.errors import CallRejected, CrmUnavailable
from connectors.hubspot import reading
from connectors.hubspot.connector import HubSpotConnector
from connectors.port import (
    Absence,
    AlreadyExists,
    Deferred,
    Gone,
    Refused,
    RemoteRecord,
    UpdateItem,
    Written,
)
from registration_core.contracts import Condition
from sandbox.faults import Fault, FaultKind
from sandbox.hubspot.engine import HubSpotOrg
from sandbox.records import Event
from sandbox.stand_in import StandIn
from tests.contract.hubspot.portal import COMPANY, REP, company, company_of, created, item
from tests.contract.peers import Timepiece


def test_a_deals_company_is_set_moved_and_cleared_like_a_field(
    hubspot: HubSpotConnector, org: HubSpotOrg, new_key: Callable[[], str]
) -> None:
    first, second = company(org).id, company(org).id
    deal_id = created(hubspot, new_key(), **{COMPANY: first})
    assert company_of(hubspot, deal_id) == first
    (moved,) = hubspot.update("deals", [UpdateItem(deal_id, {COMPANY: second})])
    assert isinstance(moved, Written)
    assert company_of(hubspot, deal_id) == second
    org.links.remove(("deals", deal_id), ("companies", first), "user:1")
    (cleared,) = hubspot.update("deals", [UpdateItem(deal_id, {COMPANY: None, "amount": None})])
    assert isinstance(cleared, Written)
    assert company_of(hubspot, deal_id) is None


def test_a_company_that_is_not_there_is_refused_by_the_row(
    hubspot: HubSpotConnector, org: HubSpotOrg, new_key: Callable[[], str]
) -> None:
    key, good = new_key(), company(org).id
    lost, won = hubspot.create(
        "deals",
        "dealreg_id",
        [item(key, **{COMPANY: "77"}), item(new_key(), **{COMPANY: good})],
    )
    assert isinstance(lost, Refused)
    assert isinstance(won, Written)
    assert hubspot.find("deals", "dealreg_id", [key], []) == {}
    other = created(hubspot, new_key())
    refused, written = hubspot.update(
        "deals",
        [UpdateItem(won.record_id, {COMPANY: "77"}), UpdateItem(other, {COMPANY: good})],
    )
    assert isinstance(refused, Refused)
    assert refused.field == COMPANY
    assert isinstance(written, Written)
    assert company_of(hubspot, won.record_id) == good


@pytest.mark.parametrize("most_linked", [reading.LINKED_MAX, 0])
def test_deals_are_selected_and_counted_by_the_company_that_counts_for_them(
    hubspot: HubSpotConnector,
    org: HubSpotOrg,
    new_key: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
    most_linked: int,
) -> None:
    monkeypatch.setattr(reading, "LINKED_MAX", most_linked)
    first, second = company(org).id, company(org).id
    stays = created(hubspot, new_key(), **{COMPANY: first})
    leaves = created(hubspot, new_key(), **{COMPANY: first})
    hubspot.update("deals", [UpdateItem(leaves, {COMPANY: second})])
    assert {held for held, _ in org.links.of(("deals", leaves), "companies")} == {first, second}
    only = created(hubspot, new_key())
    org.associate(("deals", only), ("companies", first), (341,), "user:1")
    created(hubspot, new_key(), **{COMPANY: first, "dealstage": "closedlost"})
    where = [Condition(COMPANY, (first,)), Condition("hs_is_closed", (False,))]
    selection = hubspot.select("deals", where, ["dealname"], 10)
    assert [record.record_id for record in selection.records] == [stays, only]
    assert selection.complete
    assert hubspot.count("deals", where) == 2


def test_a_merged_record_reads_and_updates_as_merged_with_its_survivor(
    hubspot: HubSpotConnector, org: HubSpotOrg, new_key: Callable[[], str]
) -> None:
    loser, winner = created(hubspot, new_key()), created(hubspot, new_key())
    org.merge("deals", loser, winner, REP)
    survivor = org.resolve(org.kind("deals"), loser)
    assert survivor is not None
    gone = {each: Gone(each, Absence.MERGED, survivor.id) for each in (loser, winner)}
    assert hubspot.read("deals", [loser, winner, survivor.id], []).keys() == {
        loser,
        winner,
        survivor.id,
    }
    assert hubspot.read("deals", [loser, winner], []) == gone
    for fields in ({"dealname": "After"}, {COMPANY: company(org).id}):
        outcomes = hubspot.update("deals", [UpdateItem(loser, fields), UpdateItem(winner, fields)])
        assert list(outcomes) == [gone[loser], gone[winner]]
    assert survivor.fields["dealname"] != "After"


def test_an_archived_record_reads_as_deleted(
    hubspot: HubSpotConnector, org: HubSpotOrg, new_key: Callable[[], str]
) -> None:
    deal_id = created(hubspot, new_key())
    org.remove("deals", deal_id, REP)
    assert hubspot.read("deals", [deal_id], []) == {deal_id: Gone(deal_id, Absence.DELETED)}
    assert hubspot.read("deals", ["not a number"], []) == {
        "not a number": Gone("not a number", Absence.NOT_FOUND)
    }


def test_find_sees_a_create_that_the_search_does_not_see_yet(
    hubspot: HubSpotConnector, org: HubSpotOrg, new_key: Callable[[], str]
) -> None:
    org.index_lag = timedelta(seconds=30)
    key = new_key()
    deal_id = created(hubspot, key)
    where = [Condition("dealreg_id", (key,))]
    assert hubspot.find("deals", "dealreg_id", [key], [])[key].record_id == deal_id
    assert hubspot.select("deals", where, [], 5).records == ()
    (again,) = hubspot.create("deals", "dealreg_id", [item(key)])
    assert again == AlreadyExists(deal_id)


def test_rows_that_failed_are_seen_also_under_success(
    hubspot: HubSpotConnector, org: HubSpotOrg, new_key: Callable[[], str]
) -> None:
    org.errors_under_200 = True
    bad = item(new_key(), dealstage="no_such_stage")
    good, refused = hubspot.create("deals", "dealreg_id", [item(new_key()), bad])
    assert isinstance(good, Written)
    assert isinstance(refused, Refused)


def test_another_unique_value_that_is_taken_is_no_adoption(
    hubspot: HubSpotConnector, new_key: Callable[[], str]
) -> None:
    taken = new_key()
    created(hubspot, taken)
    wrong = replace(item(new_key()), fields=item(taken).fields)
    (outcome,) = hubspot.create("deals", "dealreg_id", [wrong])
    assert isinstance(outcome, Refused)
    assert outcome.code == "CONFLICTING_UNIQUE_VALUE"


def test_the_same_key_twice_in_a_batch_is_created_once(
    hubspot: HubSpotConnector, new_key: Callable[[], str]
) -> None:
    key = new_key()
    first, second = hubspot.create("deals", "dealreg_id", [item(key), item(key)])
    assert isinstance(first, Written)
    assert second == AlreadyExists(first.record_id)


def test_a_batch_refused_whole_is_sent_again_row_by_row(
    hubspot: HubSpotConnector,
    org: HubSpotOrg,
    new_key: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sandbox.hubspot.batch._forgiving", lambda inputs: len(inputs) == 1)
    bad = item(new_key(), dealstage="no_such_stage")
    good, refused, last = hubspot.create(
        "deals", "dealreg_id", [item(new_key()), bad, item(new_key())]
    )
    assert isinstance(good, Written)
    assert isinstance(last, Written)
    assert isinstance(refused, Refused)
    assert refused.field == "dealstage"


def test_a_row_without_an_outcome_is_noticed(
    hubspot: HubSpotConnector,
    org: HubSpotOrg,
    new_key: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deal_id = created(hubspot, new_key())
    monkeypatch.setattr(
        "sandbox.hubspot.batch._write_each",
        lambda *_, success, **__: (success, {"status": "COMPLETE", "results": []}),
    )
    (update,) = hubspot.update("deals", [UpdateItem(deal_id, {"dealname": "After"})])
    (create,) = hubspot.create("deals", "dealreg_id", [item(new_key())])
    assert isinstance(update, Deferred)
    assert isinstance(create, Deferred)


@pytest.mark.parametrize("kind", [FaultKind.DOWN, FaultKind.THROTTLED])
def test_a_write_whose_rows_cannot_be_looked_up_may_have_happened(
    hubspot: HubSpotConnector,
    org: HubSpotOrg,
    stand_in: StandIn,
    new_key: Callable[[], str],
    kind: FaultKind,
) -> None:
    key = new_key()
    deal_id = created(hubspot, key)
    stand_in.faults.add(Fault(kind, path="/batch/read", seconds=7))
    rows = [item(new_key()), item(key)]
    with pytest.raises(CrmUnavailable) as caught:
        hubspot.create("deals", "dealreg_id", rows)
    assert caught.value.may_have_happened
    gone = UpdateItem("77", {"dealname": "After"})
    with pytest.raises(CrmUnavailable) as caught:
        hubspot.update("deals", [UpdateItem(deal_id, {"dealname": "After"}), gone])
    assert caught.value.may_have_happened
    assert org.store.rows("deals")[-1].fields["dealreg_id"] == rows[0].key


def test_a_close_is_a_stage_and_so_is_a_reopening(
    hubspot: HubSpotConnector, new_key: Callable[[], str]
) -> None:
    deal_id = created(hubspot, new_key())
    for stage, closed in (("closedwon", True), ("contractsent", False)):
        hubspot.update("deals", [UpdateItem(deal_id, {"dealstage": stage})])
        found = hubspot.read("deals", [deal_id], ["hs_is_closed", "dealstage"])[deal_id]
        assert isinstance(found, RemoteRecord)
        assert found.fields == {"hs_is_closed": closed, "dealstage": stage}


def test_times_and_ids_come_typed(hubspot: HubSpotConnector, new_key: Callable[[], str]) -> None:
    when = datetime(2027, 6, 30, 22, 30, tzinfo=UTC)
    deal_id = created(hubspot, new_key(), closedate=when)
    found = hubspot.read("deals", [deal_id], ["closedate", "hs_object_id"])[deal_id]
    assert isinstance(found, RemoteRecord)
    assert found.fields == {"closedate": when, "hs_object_id": deal_id}


def test_a_lookup_by_a_property_that_is_not_unique_is_rejected(hubspot: HubSpotConnector) -> None:
    with pytest.raises(CallRejected, match="non-unique"):
        hubspot.find("deals", "dealname", ["Acme"], [])


def test_a_company_without_history_has_none(
    hubspot: HubSpotConnector, org: HubSpotOrg, new_key: Callable[[], str]
) -> None:
    deal_id = created(hubspot, new_key(), **{COMPANY: company(org).id})
    since = datetime(2020, 1, 1, tzinfo=UTC)
    assert hubspot.history("deals", [deal_id], [COMPANY], since) == ()
    changes = hubspot.history("deals", [deal_id, "77"], ["dealname", COMPANY], since)
    assert [(change.field, change.by_us) for change in changes] == [("dealname", True)]


def test_what_the_stand_in_does_not_offer_is_answered_501(
    hubspot: HubSpotConnector, stand_in: StandIn
) -> None:
    answer = hubspot._gateway._pool.request("GET", f"{stand_in.url}/crm/v3/lists")
    assert answer.status == 501
    assert "does not offer" in answer.json()["message"]


def test_definitions_that_a_refused_row_proves_old_are_read_again(
    hubspot: HubSpotConnector, org: HubSpotOrg, stand_in: StandIn, new_key: Callable[[], str]
) -> None:
    hubspot.describe("deals")
    before = stand_in.journal.total
    hubspot.describe("deals")
    assert stand_in.journal.total == before
    (refused,) = hubspot.create(
        "deals", "dealreg_id", [item(new_key(), dealstage="a stage that is no more")]
    )
    assert isinstance(refused, Refused)
    hubspot.describe("deals")
    paths = [entry.path for entry in stand_in.journal.last(3)]
    assert any("properties" in path for path in paths)


def test_events_that_come_unordered_and_twice_still_name_every_record(
    hubspot: HubSpotConnector, org: HubSpotOrg, timepiece: Timepiece, new_key: Callable[[], str]
) -> None:
    events: list[Event] = []
    org.store.on_event(events.append)
    ids = {created(hubspot, new_key()) for _ in range(30)}
    org.webhooks_unruly = True
    sent = org.deliveries(events, "http://127.0.0.1:8700")
    assert len(sent) > 1
    noted: list[tuple[str, str]] = []
    for delivery in sent:
        body = delivery.body
        assert len(json.loads(body)) <= 100
        request = WebhookRequest("POST", delivery.url, delivery.headers, body, timepiece())
        notices = hubspot.webhook(request).notices
        assert len(notices) == len(set(notices))
        noted += [(notice.object, notice.record_id) for notice in notices]
    assert {("deals", each) for each in ids} <= set(noted)


def test_a_deal_without_a_currency_is_in_the_accounts_own(
    hubspot: HubSpotConnector, new_key: Callable[[], str]
) -> None:
    without = created(hubspot, new_key())
    euros = created(hubspot, new_key(), deal_currency_code="EUR")
    found = hubspot.read("deals", [without, euros], ["deal_currency_code"])
    told = [found[each].fields for each in (without, euros)]  # type: ignore[union-attr]
    assert told == [{"deal_currency_code": "USD"}, {"deal_currency_code": "EUR"}]


def test_the_past_of_a_merged_deal_is_told_by_the_id_it_had(
    hubspot: HubSpotConnector,
    org: HubSpotOrg,
    stand_in: StandIn,
    new_key: Callable[[], str],
) -> None:
    since = datetime(2020, 1, 1, tzinfo=UTC)
    loser, winner = created(hubspot, new_key(), dealname="A"), created(hubspot, new_key())
    org.merge("deals", loser, winner, REP)
    for calls in (3, 1):  # a batch and each of them alone; then all by their present id
        before = stand_in.journal.total
        changes = hubspot.history("deals", [loser, winner], ["dealname"], since)
        assert stand_in.journal.total - before == calls
        assert {change.record_id for change in changes} == {loser, winner}
        assert "A" in [change.value for change in changes if change.record_id == loser]
    present = org.resolve(org.kind("deals"), loser)
    assert present is not None
    before = stand_in.journal.total
    gone = {each: Gone(each, Absence.MERGED, present.id) for each in (loser, winner)}
    assert hubspot.read("deals", [loser, winner], []) == gone
    assert stand_in.journal.total == before
