"""Reading changes, merges and history of Salesforce through its real wire protocol."""

from __future__ import annotations

import json
import uuid
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from connectors.errors import FeedExpired
from connectors.port import (
    Absence,
    CreateItem,
    CrmConnector,
    Gone,
    RemoteRecord,
    UpdateItem,
    Written,
)
from connectors.salesforce import feed
from sandbox.records import Json
from sandbox.salesforce.engine import SalesforceOrg
from sandbox.serving import Running
from tests.contract.peers import Timepiece
from tests.contract.salesforce import KEY, OPPORTUNITY, REP, account, create, drain, seen


def test_a_merge_of_a_merge_leads_to_the_last_winner(
    connector: CrmConnector, org: SalesforceOrg
) -> None:
    first, second, third = (account(org, f"Triplet {n}") for n in range(3))
    org.merge("Account", first, second, REP)
    org.merge("Account", second, third, REP)

    answer = connector.read("Account", [first, second, third], ["Name"])

    assert answer[first] == Gone(first, Absence.MERGED, third)
    assert answer[second] == Gone(second, Absence.MERGED, third)
    assert isinstance(answer[third], RemoteRecord)


def test_a_record_that_was_merged_away_is_found_by_the_key_it_had(
    connector: CrmConnector, org: SalesforceOrg
) -> None:
    key = str(uuid.uuid4())
    lead, other = _lead(connector, key), _lead(connector)
    assert connector.find_gone("Lead", KEY, [key]) == {}
    org.merge("Lead", lead, other, REP)

    assert connector.find("Lead", KEY, [key], [KEY]) == {}
    assert connector.find_gone("Lead", KEY, [key, "no such key"]) == {
        key: Gone(lead, Absence.MERGED, other)
    }


def test_an_update_of_a_merged_record_says_into_which(
    connector: CrmConnector, org: SalesforceOrg
) -> None:
    loser, winner = account(org, "Loser"), account(org, "Winner")
    org.merge("Account", loser, winner, REP)

    outcomes = connector.update("Account", [UpdateItem(loser, {"Phone": "1"})])

    assert outcomes == (Gone(loser, Absence.MERGED, winner),)


def test_the_feed_tells_of_merges_and_of_the_deals_that_moved(
    connector: CrmConnector, org: SalesforceOrg
) -> None:
    loser, winner = account(org, "Feed loser"), account(org, "Feed winner")
    deal = create(connector, AccountId=loser)
    _, accounts = drain(connector, None, "Account")
    org.merge("Account", loser, winner, REP)

    pages, _ = drain(connector, accounts, "Account")

    gone = [g for page in pages for g in page.gone if g.record_id == loser]
    assert gone == [Gone(loser, Absence.MERGED, winner)]
    (record,) = connector.read(OPPORTUNITY, [deal], ["AccountId"]).values()
    assert isinstance(record, RemoteRecord)
    assert record.fields == {"AccountId": winner}
    assert record.modified_by_us is False


def test_a_write_that_commits_late_is_found_by_the_overlap(
    connector: CrmConnector, org: SalesforceOrg, timepiece: Timepiece
) -> None:
    deal = create(connector)
    _, cursor = drain(connector, None)
    began = timepiece() - timedelta(minutes=5)

    with org.committing_late(began):
        org.edit(OPPORTUNITY, deal, {"Name": "committed late"}, REP)
    pages, _ = drain(connector, cursor)

    assert seen(pages)[deal] == "committed late"


def test_a_transaction_that_is_open_for_hours_is_waited_for(
    connector: CrmConnector, org: SalesforceOrg, timepiece: Timepiece
) -> None:
    deal = create(connector)
    _, cursor = drain(connector, None)
    began = timepiece()
    org.reader.open_since = began
    try:
        for _ in range(6):
            timepiece.skip(timedelta(minutes=6))
            _, cursor = drain(connector, cursor)
    finally:
        org.reader.open_since = None

    with org.committing_late(began):
        org.edit(OPPORTUNITY, deal, {"Name": "half an hour late"}, REP)
    pages, _ = drain(connector, cursor)

    assert seen(pages)[deal] == "half an hour late"


def test_coverage_is_not_asked_for_at_every_poll(connector: CrmConnector, running: Running) -> None:
    _, cursor = drain(connector, None)
    journal = running.crms["salesforce"].journal
    before = journal.total

    for _ in range(3):
        _, cursor = drain(connector, cursor)

    asked = [e for e in journal.last(journal.total - before) if "/updated" in e.path]
    assert asked == []


def test_many_rows_with_one_stamp_are_paged_without_loss_or_end(
    connector: CrmConnector, org: SalesforceOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "PAGE_ROWS", 3)
    stamp = org.store.clock().replace(microsecond=0)
    with org.committing_late(stamp):
        deals = {_deal_of_rep(org) for _ in range(11)}

    pages, _ = drain(connector, None)

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
    deals = [create(connector) for _ in range(4)]
    monkeypatch.setattr(feed, "PAGE_ROWS", 2)
    page = connector.changes(OPPORTUNITY, ["Name"], None)
    for deal in deals:
        org.edit(OPPORTUNITY, deal, {"Name": "moved on"}, REP)

    pages, _ = drain(connector, page.cursor)

    assert {seen(pages)[deal] for deal in deals} == {"moved on"}


@pytest.mark.parametrize("cursor", ["", "{}", "not a cursor", '{"object": "Opportunity"}'])
def test_a_cursor_that_is_not_ours_has_expired(connector: CrmConnector, cursor: str) -> None:
    with pytest.raises(FeedExpired):
        connector.changes(OPPORTUNITY, ["Name"], cursor)


def test_a_cursor_from_before_the_recycle_bin_was_emptied_has_expired(
    connector: CrmConnector,
) -> None:
    _, cursor = drain(connector, None)
    kept = json.loads(cursor)
    aged = datetime.fromisoformat(kept["as_of"]) - timedelta(days=15)

    with pytest.raises(FeedExpired, match="is from"):
        connector.changes(OPPORTUNITY, ["Name"], json.dumps(kept | {"as_of": aged.isoformat()}))


def test_history_tells_stage_amount_lookup_and_text_changes_and_who_made_them(
    connector: CrmConnector, org: SalesforceOrg, timepiece: Timepiece
) -> None:
    before, after = account(org, "Before"), account(org, "After")
    deal = create(connector, Amount=Decimal("100.00"), AccountId=before)
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


def _lead(connector: CrmConnector, key: str = "") -> str:
    key = key or str(uuid.uuid4())
    fields = {KEY: key, "LastName": "Buyer", "Company": f"Company {key[:8]}"}
    (outcome,) = connector.create("Lead", KEY, [CreateItem(key, fields)])
    assert isinstance(outcome, Written)
    return outcome.record_id


def test_a_converted_lead_leads_to_its_opportunity_wherever_it_is_met(
    connector: CrmConnector, org: SalesforceOrg
) -> None:
    lead, customer = _lead(connector), account(org, "Converting customer")
    cursor = connector.changes("Lead", ["Company"], None).cursor
    deal = org.convert(lead, customer, REP).id
    converted = Gone(lead, Absence.CONVERTED, deal, OPPORTUNITY)

    page = connector.changes("Lead", ["Company"], cursor)

    assert [gone for gone in page.gone if gone.record_id == lead] == [converted]
    assert lead not in {record.record_id for record in page.records}
    assert connector.read("Lead", [lead], ["Company"]) == {lead: converted}
    assert connector.update("Lead", [UpdateItem(lead, {"Company": "New"})]) == (converted,)
    followed = connector.read(OPPORTUNITY, [deal], ["AccountId"])[deal]
    assert isinstance(followed, RemoteRecord)
    assert followed.fields == {"AccountId": customer}
