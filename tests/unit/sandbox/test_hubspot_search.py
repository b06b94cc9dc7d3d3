"""The HubSpot stand-in's search and batches: limits, the lagging index, one outcome per row."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox.hubspot import batch, webhooks
from sandbox.hubspot.engine import HubSpotOrg
from sandbox.hubspot.schema import OBJECT_TYPES
from sandbox.hubspot.search import search
from sandbox.hubspot.values import HubSpotError
from sandbox.records import Event
from tests.unit.sandbox.test_hubspot_engine import CREDENTIALS, REP, Watch, add, company

DEALS, COMPANIES = OBJECT_TYPES["deals"], OBJECT_TYPES["companies"]


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def org(watch: Watch) -> HubSpotOrg:
    return HubSpotOrg(watch, CREDENTIALS)


def find(org: HubSpotOrg, name: str, operator: str, **operand: Any) -> list[str]:
    """Search deals by one filter and return their names."""
    filter_ = {"propertyName": name, "operator": operator, **operand}
    body = {"filterGroups": [{"filters": [filter_]}], "properties": ["dealname"], "limit": 200}
    return [row["properties"]["dealname"] for row in search(org, DEALS, body)["results"]]


def test_operators_compare_by_the_type_of_the_property(org: HubSpotOrg) -> None:
    add(org, dealname="Nine", amount="9", closedate="2026-11-01")
    add(org, dealname="Ten", amount="10.0", closedate="2026-12-01")
    add(org, dealname="None")
    assert find(org, "amount", "GT", value="9") == ["Ten"]
    assert find(org, "amount", "EQ", value="10") == ["Ten"]
    assert find(org, "amount", "BETWEEN", value="9", highValue="10") == ["Nine", "Ten"]
    assert find(org, "amount", "NOT_HAS_PROPERTY") == ["None"]
    assert find(org, "amount", "HAS_PROPERTY") == ["Nine", "Ten"]
    assert find(org, "closedate", "LTE", value="2026-11-01T00:00:00Z") == ["Nine"]
    assert find(org, "closedate", "GTE", value="1796083200000") == ["Ten"]
    assert find(org, "dealname", "EQ", value="nINE") == ["Nine"]
    assert find(org, "dealname", "IN", values=["nine", "ten"]) == ["Nine", "Ten"]
    assert find(org, "dealname", "NEQ", value="nine") == ["Ten", "None"]
    assert find(org, "dealname", "CONTAINS_TOKEN", value="n*e") == ["Nine", "None"]
    assert find(org, "dealstage", "EQ", value="AppointmentScheduled") == []


def test_associations_are_a_filter_and_not_an_answer(org: HubSpotOrg) -> None:
    there = company(org)
    add(org, dealname="With", **{"associations.companies": there})
    add(org, dealname="Without")
    assert find(org, "associations.company", "EQ", value=there) == ["With"]


def test_pages_follow_one_sort(org: HubSpotOrg) -> None:
    for amount in ("3", "1", "2"):
        add(org, dealname=amount, amount=amount)
    body = {"sorts": ["-amount"], "limit": 2, "properties": ["dealname"]}
    first = search(org, DEALS, body)
    then = search(org, DEALS, {**body, "after": first["paging"]["next"]["after"]})
    names = [r["properties"]["dealname"] for r in first["results"] + then["results"]]
    assert names == ["3", "2", "1"]
    assert (first["total"], "paging" in then) == (3, False)


@pytest.mark.parametrize(
    "body",
    [
        {"limit": 201},
        {"limit": 200, "after": "9900"},
        {"sorts": ["amount", "dealname"]},
        {"sorts": ["no_such_property"]},
        {"filterGroups": [{"filters": []}] * 6},
        {"filterGroups": [{"filters": [{"propertyName": "amount", "operator": "EQ"}]}]},
        {"filterGroups": [{"filters": [{"propertyName": "amount", "operator": "LIKE"}]}]},
        {"filterGroups": [{"filters": [{"propertyName": "nope", "operator": "HAS_PROPERTY"}]}]},
    ],
)
def test_what_is_over_a_limit_or_unknown_is_refused(org: HubSpotOrg, body: dict[str, Any]) -> None:
    with pytest.raises(HubSpotError) as caught:
        search(org, DEALS, body)
    assert caught.value.status == 400


def test_the_index_lags_behind_creates_edits_and_deletes(org: HubSpotOrg, watch: Watch) -> None:
    org.index_lag = timedelta(seconds=20)
    row = add(org, dealname="Before")
    assert find(org, "dealname", "HAS_PROPERTY") == []
    watch.forward(seconds=30)
    org.edit("deals", row.id, {"dealname": "After"}, REP)
    assert find(org, "dealname", "HAS_PROPERTY") == ["Before"]
    watch.forward(seconds=30)
    assert find(org, "dealname", "HAS_PROPERTY") == ["After"]
    org.remove("deals", row.id, REP)
    assert find(org, "dealname", "HAS_PROPERTY") == ["After"]
    watch.forward(seconds=30)
    assert find(org, "dealname", "HAS_PROPERTY") == []


def rows(*keys: str, trace: bool = True) -> dict[str, Any]:
    """Word a batch create; the key `bad` makes a bad row."""
    return {
        "inputs": [
            {
                "properties": {
                    "dealname": key,
                    "dealstage": "no_such_stage" if key == "bad" else "closedwon",
                    "dealreg_id": key,
                },
                **({"objectWriteTraceId": key} if trace else {}),
            }
            for key in keys
        ]
    }


def test_one_bad_row_sinks_a_batch_without_trace_ids(org: HubSpotOrg) -> None:
    with pytest.raises(HubSpotError):
        batch.create(org, DEALS, rows("a", "bad", trace=False), org.app_user)
    assert org.store.rows("deals") == []


def test_one_bad_row_stands_alone_with_trace_ids(org: HubSpotOrg) -> None:
    status, body = batch.create(org, DEALS, rows("a", "bad", "c"), org.app_user)
    assert status == 207
    assert [row["properties"]["dealreg_id"] for row in body["results"]] == ["a", "c"]
    assert body["numErrors"] == 1
    assert body["errors"][0]["context"]["objectWriteTraceId"] == ["bad"]


def test_a_dated_version_may_report_bad_rows_under_success(org: HubSpotOrg) -> None:
    org.errors_under_200 = True
    status, body = batch.create(org, DEALS, rows("a", "bad"), org.app_user)
    assert (status, body["numErrors"]) == (201, 1)


def test_a_batch_without_inputs_is_an_empty_success(org: HubSpotOrg) -> None:
    status, body = batch.create(org, DEALS, {}, org.app_user)
    assert (status, body["status"], body["results"]) == (200, "COMPLETE", [])


def test_a_merged_id_is_dropped_without_a_word_and_an_unknown_one_is_told(org: HubSpotOrg) -> None:
    first, second = company(org), company(org)
    org.merge("companies", second, first, REP)
    body = {"inputs": [{"id": first}, {"id": "77"}, {"id": "78"}], "properties": ["name"]}
    status, answer = batch.read(org, COMPANIES, body, archived=False)
    assert (status, answer["results"]) == (207, [])
    assert [error["context"]["ids"] for error in answer["errors"]] == [["77", "78"]]
    updates = {"inputs": [{"id": first, "properties": {"name": "x"}}]}
    assert batch.update(org, COMPANIES, updates, org.app_user)[0] == 200


def test_more_inputs_than_a_batch_takes_are_refused(org: HubSpotOrg) -> None:
    inputs = [{"id": str(number)} for number in range(101)]
    with pytest.raises(HubSpotError, match="100"):
        batch.read(org, DEALS, {"inputs": inputs}, archived=False)
    history = {"inputs": inputs[:51], "propertiesWithHistory": ["amount"]}
    with pytest.raises(HubSpotError, match="50"):
        batch.read(org, DEALS, history, archived=False)


def told(org: HubSpotOrg, events: list[Event]) -> list[dict[str, Any]]:
    """Word events as deliveries and return what they say."""
    sent = org.deliveries(events, "https://dealreg.example")
    return [event for delivery in sent for event in json.loads(delivery.body)]


def test_changes_are_told_in_signed_deliveries_of_at_most_100(org: HubSpotOrg) -> None:
    events: list[Event] = []
    org.store.on_event(events.append)
    for number in range(40):
        add(org, dealname=str(number))
    sent = org.deliveries(events, "https://dealreg.example")
    assert len(sent) > 1
    for delivery in sent:
        assert len(json.loads(delivery.body)) <= 100
        assert delivery.url == "https://dealreg.example/webhooks/hubspot"
        timestamp = delivery.headers["X-HubSpot-Request-Timestamp"]
        assert delivery.headers["X-HubSpot-Signature-v3"] == webhooks.signature_v3(
            "s", "POST", delivery.url, delivery.body, timestamp
        )
        assert datetime.fromtimestamp(int(timestamp) / 1000, UTC) == org.clock()


def test_a_merge_is_told_once_with_the_new_id(org: HubSpotOrg) -> None:
    first, second = company(org), company(org)
    events: list[Event] = []
    org.store.on_event(events.append)
    org.merge("companies", second, first, REP)
    merges = [e for e in told(org, events) if e["subscriptionType"] == "company.merge"]
    survivor = org.resolve(COMPANIES, first)
    assert survivor is not None
    assert [(e["primaryObjectId"], e["mergedObjectIds"], e["newObjectId"]) for e in merges] == [
        (int(first), [int(first), int(second)], int(survivor.id))
    ]


def test_an_association_is_told_from_both_ends_and_by_whom(org: HubSpotOrg) -> None:
    deal, there = add(org), company(org)
    events: list[Event] = []
    org.store.on_event(events.append)
    org.associate(("deals", deal.id), ("companies", there), [5], org.app_user)
    one, other = told(org, events)
    assert (one["subscriptionType"], one["fromObjectId"]) == (
        "deal.associationChange",
        int(deal.id),
    )
    assert (other["subscriptionType"], other["fromObjectId"]) == (
        "company.associationChange",
        int(there),
    )
    assert (one["changeSource"], one["sourceId"]) == ("INTEGRATION", "1160452")


def test_deletion_and_restore_are_told(org: HubSpotOrg) -> None:
    deal = add(org)
    events: list[Event] = []
    org.store.on_event(events.append)
    org.remove("deals", deal.id, REP)
    org.restore("deals", deal.id, REP)
    assert [e["subscriptionType"] for e in told(org, events)] == ["deal.deletion", "deal.restore"]
