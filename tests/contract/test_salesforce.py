"""What is special to Salesforce, through the connector and the stand-in's real wire protocol."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
import requests
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import SalesforceGeneralError

from connectors.errors import CallRejected, FeedExpired, RateLimited
from connectors.port import (
    Absence,
    AlreadyExists,
    ChangePage,
    ConnectionSettings,
    CreateItem,
    CrmConnector,
    Deferred,
    Gone,
    ObjectNeed,
    Refused,
    RemoteRecord,
    UpdateItem,
    Written,
)
from connectors.salesforce import feed
from connectors.salesforce.connector import SalesforceConnector
from registration_core.contracts import Condition, Value
from sandbox.records import Json
from sandbox.salesforce.engine import SalesforceOrg
from sandbox.salesforce.seed import SALES_REPS
from sandbox.serving import Running
from tests.contract.peers import Timepiece, settings_of

KEY = "Dealreg_Id__c"
REP = SALES_REPS[0]
OPPORTUNITY = "Opportunity"


@pytest.fixture(scope="session")
def settings(running: Running) -> ConnectionSettings:
    """The connection to the Salesforce stand-in."""
    return settings_of(running, "salesforce")


@pytest.fixture(scope="session")
def connector(settings: ConnectionSettings, timepiece: Timepiece) -> CrmConnector:
    """The connector under test, checked against the port by its type."""
    return SalesforceConnector(settings, timepiece)


@pytest.fixture(scope="session")
def org(running: Running) -> SalesforceOrg:
    """The engine behind the stand-in."""
    engine = running.crms["salesforce"].org
    assert isinstance(engine, SalesforceOrg)
    return engine


def _item(**fields: Value) -> CreateItem:
    key = str(uuid.uuid4())
    base: dict[str, Value] = {
        KEY: key,
        "Name": f"Deal {key[:8]}",
        "StageName": "Prospecting",
        "CloseDate": date(2027, 6, 30),
    }
    return CreateItem(key, base | fields)


def _create(connector: CrmConnector, **fields: Value) -> str:
    (outcome,) = connector.create(OPPORTUNITY, KEY, [_item(**fields)])
    assert isinstance(outcome, Written)
    return outcome.record_id


def _account(org: SalesforceOrg, name: str) -> str:
    return org.add("Account", {"Name": name}, REP).id


def _drain(
    connector: CrmConnector, cursor: str | None, object_name: str = OPPORTUNITY
) -> tuple[list[ChangePage], str]:
    pages = []
    while True:
        page = connector.changes(object_name, ["Name"], cursor)
        pages.append(page)
        cursor = page.cursor
        if not page.more:
            return pages, cursor


def _seen(pages: list[ChangePage]) -> dict[str, Value]:
    return {r.record_id: r.fields["Name"] for page in pages for r in page.records}


def test_a_merge_of_a_merge_leads_to_the_last_winner(
    connector: CrmConnector, org: SalesforceOrg
) -> None:
    first, second, third = (_account(org, f"Triplet {n}") for n in range(3))
    org.merge("Account", first, second, REP)
    org.merge("Account", second, third, REP)

    answer = connector.read("Account", [first, second, third], ["Name"])

    assert answer[first] == Gone(first, Absence.MERGED, third)
    assert answer[second] == Gone(second, Absence.MERGED, third)
    assert isinstance(answer[third], RemoteRecord)


def test_an_update_of_a_merged_record_says_into_which(
    connector: CrmConnector, org: SalesforceOrg
) -> None:
    loser, winner = _account(org, "Loser"), _account(org, "Winner")
    org.merge("Account", loser, winner, REP)

    outcomes = connector.update("Account", [UpdateItem(loser, {"Phone": "1"})])

    assert outcomes == (Gone(loser, Absence.MERGED, winner),)


def test_the_feed_tells_of_merges_and_of_the_deals_that_moved(
    connector: CrmConnector, org: SalesforceOrg
) -> None:
    loser, winner = _account(org, "Feed loser"), _account(org, "Feed winner")
    deal = _create(connector, AccountId=loser)
    _, accounts = _drain(connector, None, "Account")
    org.merge("Account", loser, winner, REP)

    pages, _ = _drain(connector, accounts, "Account")

    gone = [g for page in pages for g in page.gone if g.record_id == loser]
    assert gone == [Gone(loser, Absence.MERGED, winner)]
    (record,) = connector.read(OPPORTUNITY, [deal], ["AccountId"]).values()
    assert isinstance(record, RemoteRecord)
    assert record.fields == {"AccountId": winner}
    assert record.modified_by_us is False


def test_a_write_that_commits_late_is_found_by_the_overlap(
    connector: CrmConnector, org: SalesforceOrg, timepiece: Timepiece
) -> None:
    deal = _create(connector)
    _, cursor = _drain(connector, None)
    began = timepiece() - timedelta(minutes=5)

    with org.committing_late(began):
        org.edit(OPPORTUNITY, deal, {"Name": "committed late"}, REP)
    pages, _ = _drain(connector, cursor)

    assert _seen(pages)[deal] == "committed late"


def test_many_rows_with_one_stamp_are_paged_without_loss_or_end(
    connector: CrmConnector, org: SalesforceOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "PAGE_ROWS", 3)
    stamp = org.store.clock().replace(microsecond=0)
    with org.committing_late(stamp):
        deals = {_deal_of_rep(org) for _ in range(11)}

    pages, _ = _drain(connector, None)

    handed_out = [r.record_id for page in pages for r in page.records]
    assert deals <= set(handed_out)
    assert len(handed_out) == len(set(handed_out))
    assert all(len(page.records) + len(page.gone) <= 3 for page in pages)
    assert len({page.as_of for page in pages}) == 1


def _deal_of_rep(org: SalesforceOrg) -> str:
    fields: dict[str, Json] = {"Name": "Same second", "StageName": "Prospecting"}
    return org.add(OPPORTUNITY, {**fields, "CloseDate": "2027-01-01"}, REP).id


def test_a_record_that_changes_while_pages_are_read_comes_in_its_last_state(
    connector: CrmConnector, org: SalesforceOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    deals = [_create(connector) for _ in range(4)]
    monkeypatch.setattr(feed, "PAGE_ROWS", 2)
    page = connector.changes(OPPORTUNITY, ["Name"], None)
    for deal in deals:
        org.edit(OPPORTUNITY, deal, {"Name": "moved on"}, REP)

    pages, _ = _drain(connector, page.cursor)

    assert {_seen(pages)[deal] for deal in deals} == {"moved on"}


@pytest.mark.parametrize("cursor", ["", "{}", "not a cursor", '{"object": "Opportunity"}'])
def test_a_cursor_that_is_not_ours_has_expired(connector: CrmConnector, cursor: str) -> None:
    with pytest.raises(FeedExpired):
        connector.changes(OPPORTUNITY, ["Name"], cursor)


def test_a_cursor_from_before_the_recycle_bin_was_emptied_has_expired(
    connector: CrmConnector,
) -> None:
    _, cursor = _drain(connector, None)
    kept = json.loads(cursor)
    aged = datetime.fromisoformat(kept["as_of"]) - timedelta(days=15)

    with pytest.raises(FeedExpired, match="is from"):
        connector.changes(OPPORTUNITY, ["Name"], json.dumps(kept | {"as_of": aged.isoformat()}))


def test_history_tells_stage_amount_lookup_and_text_changes_and_who_made_them(
    connector: CrmConnector, org: SalesforceOrg, timepiece: Timepiece
) -> None:
    before, after = _account(org, "Before"), _account(org, "After")
    deal = _create(connector, Amount=Decimal("100.00"), AccountId=before)
    since = timepiece()
    timepiece.skip(timedelta(seconds=2))
    org.edit(OPPORTUNITY, deal, {"Amount": 250.5, "AccountId": after}, REP)
    timepiece.skip(timedelta(seconds=2))
    connector.update(OPPORTUNITY, [UpdateItem(deal, {"StageName": "Qualification"})])

    fields = ["Amount", "AccountId", "StageName", "CloseDate", "NextStep"]
    changes = connector.history(OPPORTUNITY, [deal], fields, since)

    assert {(c.field, c.old_value, c.value, c.by_us) for c in changes} == {
        ("Amount", Decimal("100.00"), Decimal("250.50"), False),
        ("AccountId", before, after, False),
        ("StageName", "Prospecting", "Qualification", True),
    }
    assert [c.changed_at for c in changes] == sorted(c.changed_at for c in changes)
    assert connector.history(OPPORTUNITY, [deal], fields, timepiece() + timedelta(seconds=2)) == ()


def test_history_of_the_mirror_object_comes_from_its_own_history(
    connector: CrmConnector, org: SalesforceOrg, timepiece: Timepiece
) -> None:
    item = CreateItem(str(uuid.uuid4()), {"Name": "M", "Close_Date__c": date(2027, 1, 1)})
    (written,) = connector.create("Deal_Registration__c", KEY, [item])
    assert isinstance(written, Written)
    since = timepiece()
    timepiece.skip(timedelta(seconds=2))
    org.edit("Deal_Registration__c", written.record_id, {"Close_Date__c": "2027-02-01"}, REP)

    (change,) = connector.history(
        "Deal_Registration__c", [written.record_id], ["Close_Date__c"], since
    )

    assert (change.old_value, change.value) == (date(2027, 1, 1), date(2027, 2, 1))


def test_describe_says_which_fields_keep_history(connector: CrmConnector) -> None:
    fields = connector.describe(OPPORTUNITY).fields

    assert fields["Probability"].history_kept
    assert fields["AccountId"].history_kept
    assert not fields["NextStep"].history_kept


def test_a_lookup_to_a_deleted_account_is_a_refusal_and_the_deal_is_not_gone(
    connector: CrmConnector, org: SalesforceOrg
) -> None:
    account = _account(org, "Vanishing")
    deal = _create(connector)
    org.remove("Account", account, REP)

    (outcome,) = connector.update(OPPORTUNITY, [UpdateItem(deal, {"AccountId": account})])

    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.field) == ("ENTITY_IS_DELETED", "AccountId")


def test_a_locked_row_is_deferred_and_its_neighbours_are_written(
    connector: CrmConnector, org: SalesforceOrg
) -> None:
    locked, free = _create(connector), _create(connector)
    org.lock_row(locked)

    outcomes = connector.update(
        OPPORTUNITY, [UpdateItem(i, {"NextStep": "call"}) for i in (locked, free)]
    )

    assert [type(outcome) for outcome in outcomes] == [Deferred, Written]


def test_two_patches_of_one_record_are_one_write_and_the_later_value_stands(
    connector: CrmConnector, org: SalesforceOrg
) -> None:
    deal = _create(connector)
    before = org.store.version

    outcomes = connector.update(
        OPPORTUNITY,
        [
            UpdateItem(deal, {"NextStep": "call", "Amount": Decimal(5)}),
            UpdateItem(deal[:15], {"NextStep": "visit"}),
        ],
    )

    assert [type(outcome) for outcome in outcomes] == [Written, Written]
    assert org.store.version == before + 1
    (record,) = connector.read(OPPORTUNITY, [deal], ["NextStep", "Amount"]).values()
    assert isinstance(record, RemoteRecord)
    assert record.fields == {"NextStep": "visit", "Amount": Decimal("5.00")}


def test_a_key_twice_in_one_create_makes_one_record(connector: CrmConnector) -> None:
    item = _item()
    again = replace(item, key=item.key.upper())

    first, second = connector.create(OPPORTUNITY, KEY, [item, again])

    assert isinstance(first, Written)
    assert second == AlreadyExists(first.record_id)
    assert connector.count(OPPORTUNITY, [Condition(KEY, (item.key,))]) == 1


def test_a_value_that_json_cannot_carry_refuses_its_row_and_no_other(
    connector: CrmConnector,
) -> None:
    good, bad = _item(), _item(Amount="lots")

    outcomes = connector.create(OPPORTUNITY, KEY, [bad, good])

    assert [type(outcome) for outcome in outcomes] == [Refused, Written]


def test_a_short_id_is_answered_under_the_name_it_was_asked_by(connector: CrmConnector) -> None:
    deal = _create(connector)

    answer = connector.read(OPPORTUNITY, [deal[:15], "nonsense' OR Id != null"], ["Name"])

    record = answer[deal[:15]]
    assert isinstance(record, RemoteRecord)
    assert record.record_id == deal
    assert answer["nonsense' OR Id != null"] == Gone("nonsense' OR Id != null", Absence.NOT_FOUND)


@pytest.mark.parametrize(
    "name",
    ["O'Brien", "back\\slash", "tab\there", 'quo"te', "%", "_", "ü – 漢字", "' OR Name != '"],
)
def test_a_hostile_name_is_found_exactly_and_finds_nothing_else(
    connector: CrmConnector, name: str
) -> None:
    marked = f"{uuid.uuid4()} {name} end"
    deal = _create(connector, Name=marked)
    _create(connector)

    selection = connector.select(OPPORTUNITY, [Condition("Name", (marked,))], ["Name"], 10)

    assert [(r.record_id, r.fields["Name"]) for r in selection.records] == [(deal, marked)]
    assert selection.complete


def test_a_condition_with_more_values_than_a_url_takes_is_answered_in_full(
    connector: CrmConnector,
) -> None:
    keys = [_item() for _ in range(3)]
    connector.create(OPPORTUNITY, KEY, keys)
    values = tuple(str(uuid.uuid4()) for _ in range(600)) + tuple(k.key for k in keys)
    where = [Condition(KEY, values), Condition("IsClosed", (False,))]

    selection = connector.select(OPPORTUNITY, where, [KEY], 2)

    assert connector.count(OPPORTUNITY, where) == 3
    assert len(selection.records) == 2
    assert not selection.complete
    assert [r.record_id for r in selection.records] == sorted(
        r.record_id for r in selection.records
    )


def test_no_values_fit_no_record_and_empty_fits_the_empty_ones(connector: CrmConnector) -> None:
    deal = _create(connector, NextStep=None)
    mine = Condition("Id", (deal,))

    assert connector.select(OPPORTUNITY, [Condition("Name", ())], ["Name"], 5).records == ()
    assert connector.count(OPPORTUNITY, [mine, Condition("NextStep", (None, "x"))]) == 1
    assert connector.count(OPPORTUNITY, [mine, Condition("NextStep", ("x",))]) == 0


def test_closing_and_reopening_is_a_stage(connector: CrmConnector) -> None:
    deal = _create(connector)
    states = []
    for stage in ("Closed Won", "Closed Lost", "Negotiation/Review"):
        connector.update(OPPORTUNITY, [UpdateItem(deal, {"StageName": stage})])
        (record,) = connector.read(OPPORTUNITY, [deal], ["IsClosed", "IsWon"]).values()
        assert isinstance(record, RemoteRecord)
        states.append((record.fields["IsClosed"], record.fields["IsWon"]))

    assert states == [(True, True), (True, False), (False, False)]


def test_more_records_than_one_call_takes_are_refused_before_anything_is_sent(
    connector: CrmConnector,
) -> None:
    items = [_item() for _ in range(201)]

    with pytest.raises(CallRejected, match="200"):
        connector.create(OPPORTUNITY, KEY, items)

    assert connector.find(OPPORTUNITY, KEY, [items[0].key], [KEY]) == {}


def test_a_field_that_is_hidden_is_an_error_and_never_an_empty_value(
    settings: ConnectionSettings, org: SalesforceOrg, timepiece: Timepiece
) -> None:
    connector = SalesforceConnector(settings, timepiece)
    deal = _create(connector)
    connector.read(OPPORTUNITY, [deal], ["LeadSource"])
    org.hide_field(OPPORTUNITY, "LeadSource")
    try:
        timepiece.skip(timedelta(hours=1))
        with pytest.raises(CallRejected, match="LeadSource"):
            connector.read(OPPORTUNITY, [deal], ["LeadSource"])
        need = ObjectNeed(OPPORTUNITY, KEY, reads=("LeadSource",), writes=("NextStep", "IsWon"))
        items = {item.step: item for item in connector.check([need])}
    finally:
        org.show_field(OPPORTUNITY, "LeadSource")

    hidden = items["field Opportunity.LeadSource"]
    assert not hidden.ok
    assert "LeadSource" in hidden.remedy
    assert not items["field Opportunity.IsWon"].ok
    assert items["history Opportunity.NextStep"].warning
    assert items["key Opportunity.Dealreg_Id__c"].ok


@pytest.mark.parametrize("key_field", ["Name", "NextStep", "LeadSource"])
def test_a_key_that_is_not_unique_fails_the_check_with_the_remedy(
    connector: CrmConnector, key_field: str
) -> None:
    items = {item.step: item for item in connector.check([ObjectNeed(OPPORTUNITY, key_field)])}

    key = items[f"key Opportunity.{key_field}"]
    assert not key.ok
    assert "Unique" in key.remedy


def test_a_connection_that_says_production_does_not_pass_on_a_sandbox_org(
    settings: ConnectionSettings, timepiece: Timepiece
) -> None:
    connector = SalesforceConnector(replace(settings, environment="production"), timepiece)

    items = {item.step: item for item in connector.check([])}

    assert not items["organisation"].ok
    assert items["sign in"].ok


def test_the_spent_quota_stops_calls_for_minutes(
    connector: CrmConnector, org: SalesforceOrg
) -> None:
    allowed, org.calls_max = org.calls_max, org.calls_today
    try:
        with pytest.raises(RateLimited) as caught:
            connector.count(OPPORTUNITY, [])
    finally:
        org.calls_max = allowed

    assert caught.value.retry_after_seconds >= 300


def test_simple_salesforce_by_itself_pages_through_the_stand_in(
    settings: ConnectionSettings, org: SalesforceOrg
) -> None:
    session = requests.Session()
    session.verify, session.trust_env = settings.ca_file, False
    form = {
        "grant_type": "client_credentials",
        "client_id": settings.credentials["client_id"],
        "client_secret": settings.credentials["client_secret"],
    }
    answer = session.post(f"{settings.base_url}/services/oauth2/token", data=form, timeout=5).json()
    with session:
        salesforce = Salesforce(
            session_id=answer["access_token"],
            instance_url=answer["instance_url"],
            version="67.0",
            session=session,
        )
        for number in range(210):
            org.add("Account", {"Name": f"Page filler {number}"}, REP)
        small = {"Sforce-Query-Options": "batchSize=200"}
        soql = "SELECT Id, Name FROM Account WHERE Name LIKE 'Page filler%' ORDER BY Name"

        rows = salesforce.query_all(soql, headers=small)["records"]

        assert len({row["Id"] for row in rows}) == 210
        described = salesforce.restful("sobjects/Account/describe")
        assert described is not None
        assert described["keyPrefix"] == "001"
        assert salesforce.limits()["DailyApiRequests"]["Remaining"] > 0
        with pytest.raises(SalesforceGeneralError, match="NOT_IMPLEMENTED"):
            salesforce.restful("sobjects/Account", method="POST", json={"Name": "x"})
