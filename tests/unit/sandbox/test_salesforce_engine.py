"""The rules of the Salesforce stand-in's records."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from defusedxml.ElementTree import fromstring

from sandbox.org import Org, SandboxError
from sandbox.records import Event, Json
from sandbox.salesforce.collections import create_records, update_records
from sandbox.salesforce.describe import describe_object
from sandbox.salesforce.engine import SalesforceOrg
from sandbox.salesforce.errors import SalesforceError
from sandbox.salesforce.objects import OBJECTS
from sandbox.salesforce.seed import SALES_REPS
from sandbox.salesforce.sessions import OAuthError

CREDENTIALS = {"client_id": "app", "client_secret": "secret", "webhook_secret": "door"}
REP = SALES_REPS[0]
KEY = "2f1e7c1e-0000-7000-8000-000000000001"


class Clock:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 24, 10, 0, 0, 250_000, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Tell the time."""
        return self.now

    def go_on(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    """A clock."""
    return Clock()


@pytest.fixture
def org(clock: Clock) -> SalesforceOrg:
    """A seeded org in memory."""
    made = SalesforceOrg(clock, CREDENTIALS)
    made.seed()
    return made


def _deal(**fields: Json) -> dict[str, Json]:
    return {
        "Name": "A deal",
        "StageName": "Prospecting",
        "CloseDate": "2027-06-30",
        "Dealreg_Id__c": KEY,
        **fields,
    }


def _code(act: Callable[[], object]) -> str:
    with pytest.raises(SalesforceError) as caught:
        act()
    return caught.value.code


def test_the_engine_is_what_the_shared_parts_expect(org: SalesforceOrg) -> None:
    shared: Org = org

    assert shared.crm == "salesforce"
    assert len(shared.org_id) == 18


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"Nothing__c": "x"}, "INVALID_FIELD"),
        ({"IsWon": True}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ({"CreatedDate": "2020-01-01T00:00:00Z"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ({"Name": "x" * 121}, "STRING_TOO_LONG"),
        ({"Name": "  "}, "REQUIRED_FIELD_MISSING"),
        ({"CloseDate": None}, "REQUIRED_FIELD_MISSING"),
        ({"StageName": "Dreaming"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        ({"CurrencyIsoCode": "XXX"}, "INVALID_CURRENCY_ISO"),
        ({"Amount": "lots"}, "JSON_PARSER_ERROR"),
        ({"Amount": 1e17}, "NUMBER_OUTSIDE_VALID_RANGE"),
        ({"CloseDate": "30/06/2027"}, "JSON_PARSER_ERROR"),
        ({"AccountId": "nobody"}, "MALFORMED_ID"),
        ({"AccountId": "001000000000999AAA"}, "INVALID_CROSS_REFERENCE_KEY"),
        ({"Name": 7}, "JSON_PARSER_ERROR"),
    ],
)
def test_a_create_that_salesforce_refuses_is_refused_with_its_code(
    org: SalesforceOrg, fields: dict[str, Json], code: str
) -> None:
    before = len(org.store.rows("Opportunity"))

    assert _code(lambda: org.add("Opportunity", _deal(**fields), REP)) == code
    assert len(org.store.rows("Opportunity")) == before


def test_text_is_trimmed_empty_text_is_null_and_money_is_rounded(org: SalesforceOrg) -> None:
    row = org.add("Opportunity", _deal(Name="  A deal ", NextStep="", Amount=10.005), REP)

    assert row.fields["Name"] == "A deal"
    assert "NextStep" not in row.fields
    assert row.fields["Amount"] == 10.01


def test_a_stage_brings_closed_won_probability_and_forecast_category(org: SalesforceOrg) -> None:
    row = org.add("Opportunity", _deal(), REP)
    org.edit("Opportunity", row.id, {"StageName": "Closed Won"}, REP)

    won = org.store.get("Opportunity", row.id)
    assert won is not None
    assert (won.fields["IsClosed"], won.fields["IsWon"]) == (True, True)
    assert (won.fields["Probability"], won.fields["ForecastCategoryName"]) == (100.0, "Closed")


def test_our_key_is_unique_without_regard_to_case_and_free_again_after_a_deletion(
    org: SalesforceOrg,
) -> None:
    row = org.add("Opportunity", _deal(), REP)

    with pytest.raises(SalesforceError) as caught:
        org.add("Opportunity", _deal(Dealreg_Id__c=KEY.upper()), REP)
    assert caught.value.code == "DUPLICATE_VALUE"
    assert row.id[:15] in caught.value.text

    org.remove("Opportunity", row.id, REP)
    assert org.add("Opportunity", _deal(), REP).id != row.id


def test_a_key_that_was_given_up_can_be_taken(org: SalesforceOrg) -> None:
    first = org.add("Opportunity", _deal(), REP)
    org.edit("Opportunity", first.id, {"Dealreg_Id__c": None}, REP)

    org.add("Opportunity", _deal(), REP)

    assert _code(lambda: org.edit("Opportunity", first.id, {"Dealreg_Id__c": KEY}, REP)) == (
        "DUPLICATE_VALUE"
    )


def test_the_amount_of_a_deal_with_products_is_quietly_not_changed(org: SalesforceOrg) -> None:
    row = org.add("Opportunity", _deal(Amount=100), REP)
    org.edit("Opportunity", row.id, {"HasOpportunityLineItem": True}, REP)

    result = update_records(
        org,
        {"records": [{"attributes": {"type": "Opportunity"}, "id": row.id, "Amount": 5}]},
        org.integration_user_id,
        {},
    )

    assert result[0]["success"] is True
    now = org.store.get("Opportunity", row.id)
    assert now is not None
    assert now.fields["Amount"] == 100.0


def test_deleted_records_refuse_writes_and_lookups(org: SalesforceOrg) -> None:
    account = org.add("Account", {"Name": "Short-lived Ltd"}, REP)
    deal = org.add("Opportunity", _deal(AccountId=account.id), REP)
    org.remove("Account", account.id, REP)
    org.remove("Opportunity", deal.id, REP)

    assert (
        _code(lambda: org.edit("Opportunity", deal.id, {"Name": "x"}, REP)) == "ENTITY_IS_DELETED"
    )
    other = _deal(AccountId=account.id)
    assert _code(lambda: org.add("Opportunity", other, REP)) == "ENTITY_IS_DELETED"


def test_a_merge_moves_deals_mirrors_and_subsidiaries_to_the_winner(org: SalesforceOrg) -> None:
    loser = org.add("Account", {"Name": "Twin One"}, REP)
    winner = org.add("Account", {"Name": "Twin Two", "ParentId": loser.id}, REP)
    child = org.add("Account", {"Name": "Daughter", "ParentId": loser.id}, REP)
    deal = org.add("Opportunity", _deal(AccountId=loser.id), REP)
    mirror = org.add("Deal_Registration__c", {"Name": "M", "Account__c": loser.id}, REP)

    org.merge("Account", loser.id, winner.id, REP)

    gone = org.store.get("Account", loser.id, deleted=True)
    assert gone is not None
    assert (gone.deleted, gone.merged_into) == (True, winner.id)
    assert deal.fields["AccountId"] == mirror.fields["Account__c"] == winner.id
    assert child.fields["ParentId"] == winner.id
    assert "ParentId" not in winner.fields


def test_only_accounts_merge_and_never_with_themselves(org: SalesforceOrg) -> None:
    deal = org.add("Opportunity", _deal(), REP)
    account = org.add("Account", {"Name": "Only one"}, REP)

    assert _code(lambda: org.merge("Opportunity", deal.id, deal.id, REP)) == "INVALID_TYPE"
    assert _code(lambda: org.merge("Account", account.id, account.id, REP)) == "INVALID_FIELD"


def test_stamps_have_whole_seconds_and_history_tells_stage_and_tracked_fields(
    org: SalesforceOrg, clock: Clock
) -> None:
    row = org.add("Opportunity", _deal(Amount=1), REP)
    clock.go_on(60)
    org.edit("Opportunity", row.id, {"Amount": 2, "NextStep": "call"}, REP)
    clock.go_on(60)
    other = org.user_named(SALES_REPS[1])
    org.edit("Opportunity", row.id, {"OwnerId": other}, REP)

    def of(history: str, columns: str) -> list[dict[str, Any]]:
        words = ["SELECT", columns, "FROM", history, "WHERE OpportunityId =", repr(row.id)]
        return list(org.reader.query(" ".join(words)).records)

    stages = of("OpportunityHistory", "Amount, CreatedDate")
    fields = of("OpportunityFieldHistory", "Field, DataType, OldValue, NewValue")

    assert [(r["Amount"], r["CreatedDate"]) for r in stages] == [
        (1.0, "2026-11-24T10:00:00.000+0000"),
        (2.0, "2026-11-24T10:01:00.000+0000"),
    ]
    assert [(r["Field"], r["DataType"], r["NewValue"]) for r in fields] == [
        ("created", "Text", None),
        ("Amount", "Currency", 2.0),
        ("Owner", "Text", SALES_REPS[1]),
        ("Owner", "EntityId", other),
    ]


def test_collections_answer_row_by_row_and_refuse_an_unreadable_request_whole(
    org: SalesforceOrg,
) -> None:
    by = org.integration_user_id
    kind = {"attributes": {"type": "Opportunity"}}
    before = len(org.store.rows("Opportunity"))

    three = [{**kind, **_deal()}, {**kind, "Name": "x"}, {**kind, **_deal()}]
    results = create_records(org, {"records": three}, by, {})

    assert [r["success"] for r in results] == [True, False, False]
    assert [e["statusCode"] for r in results for e in r["errors"]] == [
        "REQUIRED_FIELD_MISSING",
        "DUPLICATE_VALUE",
    ]
    fresh = {**kind, **_deal(Dealreg_Id__c="another")}
    for wrong in ({**fresh, "Nothing": 1}, {**fresh, "Amount": "lots"}):
        with pytest.raises(SalesforceError):
            create_records(org, {"records": [fresh, wrong]}, by, {})
    many = {"records": [fresh] * 201}
    assert _code(lambda: create_records(org, many, by, {})) == "EXCEEDED_ID_LIMIT"
    assert len(org.store.rows("Opportunity")) == before + 1


def test_a_locked_row_is_refused_until_the_lock_is_gone(org: SalesforceOrg) -> None:
    row = org.add("Opportunity", _deal(), REP)
    org.lock_row(row.id)

    assert (
        _code(lambda: org.edit("Opportunity", row.id, {"Name": "x"}, REP)) == "UNABLE_TO_LOCK_ROW"
    )
    assert org.edit("Opportunity", row.id, {"Name": "x"}, REP).fields["Name"] == "x"


def test_tokens_are_checked_and_can_all_expire(org: SalesforceOrg, clock: Clock) -> None:
    form = {"grant_type": "client_credentials", "client_id": "app", "client_secret": "secret"}
    token = org.sessions.sign_in(form, clock()).access_token
    org.sessions.check(f"Bearer {token}")

    org.expire_tokens()

    assert _code(lambda: org.sessions.check(f"Bearer {token}")) == "INVALID_SESSION_ID"
    with pytest.raises(OAuthError, match="invalid_client"):
        org.sessions.sign_in({**form, "client_secret": "wrong"}, clock())
    with pytest.raises(OAuthError, match="unsupported_grant_type"):
        org.sessions.sign_in({**form, "grant_type": "password"}, clock())


def test_a_hidden_field_is_absent_from_describe_query_and_write(org: SalesforceOrg) -> None:
    org.hide_field("Opportunity", "Dealreg_Reason__c")

    thing = org.object_named("Opportunity")
    assert thing is not None
    described = {field["name"] for field in describe_object(thing, "67.0", [])["fields"]}
    assert "Dealreg_Reason__c" not in described
    assert _code(lambda: org.reader.query("SELECT Dealreg_Reason__c FROM Opportunity")) == (
        "INVALID_FIELD"
    )
    assert _code(lambda: org.add("Opportunity", _deal(Dealreg_Reason__c="x"), REP)) == (
        "INVALID_FIELD"
    )


def test_events_become_outbound_messages_with_current_values_and_no_deletions(
    org: SalesforceOrg,
) -> None:
    events: list[Event] = []
    org.store.on_event(events.append)
    row = org.add("Opportunity", _deal(Name="Salt & <pepper>"), REP)
    org.edit("Opportunity", row.id, {"StageName": "Qualification"}, REP)
    gone = org.add("Account", {"Name": "Gone Ltd"}, REP)
    org.remove("Account", gone.id, REP)

    (message,) = (
        d for d in org.deliveries(events, "https://x.example/") if b"sf:Opportunity" in d.body
    )

    assert message.url == "https://x.example/webhooks/salesforce/door"
    assert message.expects in b"<Ack>true</Ack>"
    sobject = "{urn:sobject.enterprise.soap.sforce.com}"
    tree = fromstring(message.body)
    assert [e.text for e in tree.iter(f"{sobject}Id")] == [row.id]
    assert [e.text for e in tree.iter(f"{sobject}Name")] == ["Salt & <pepper>"]
    assert [e.text for e in tree.iter(f"{sobject}StageName")] == ["Qualification"]
    assert org.deliveries([e for e in events if e.kind == "deleted"], "https://x.example") == []


def test_a_hundred_notifications_go_in_one_message(org: SalesforceOrg) -> None:
    events: list[Event] = []
    org.store.on_event(events.append)
    for number in range(150):
        org.add("Account", {"Name": f"Account {number}"}, REP)

    sizes = [d.body.count(b"<Notification>") for d in org.deliveries(events, "https://x.example")]

    assert sizes == [100, 50]


def test_a_write_that_commits_late_has_the_stamp_of_its_beginning(
    org: SalesforceOrg, clock: Clock
) -> None:
    row = org.add("Opportunity", _deal(), REP)
    began = clock()
    clock.go_on(300)

    with org.committing_late(began):
        org.edit("Opportunity", row.id, {"Name": "late"}, REP)

    assert row.modified_at == began
    assert org.edit("Opportunity", row.id, {"Name": "later"}, REP).modified_at == clock()


def test_an_org_on_disk_keeps_records_ids_and_unique_keys(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "salesforce.sqlite3"
    first = SalesforceOrg(clock, CREDENTIALS, path)
    first.seed()
    row = first.add("Opportunity", _deal(), REP)
    counts = {name: len(first.store.rows(name)) for name in OBJECTS}
    first.store.close()

    again = SalesforceOrg(clock, CREDENTIALS, path)
    again.seed()

    assert {name: len(again.store.rows(name)) for name in OBJECTS} == counts
    assert _code(lambda: again.add("Opportunity", _deal(), REP)) == "DUPLICATE_VALUE"
    assert again.add("Opportunity", _deal(Dealreg_Id__c="new"), REP).id > row.id
    again.store.close()


def test_the_seed_has_the_shared_accounts_two_reps_and_two_open_deals(org: SalesforceOrg) -> None:
    accounts = {row.fields["Name"]: row for row in org.store.rows("Account")}

    assert accounts["Sandpiper Foods Ltd"].fields["Type"] == "Customer - Direct"
    assert accounts["Goldcrest Aerospace Corp."].fields["House_Account__c"] is True
    assert accounts["Dunlin Health Trust"].fields["Do_Not_Call__c"] is True
    owners = {row.fields["OwnerId"] for row in org.store.rows("Opportunity")}
    assert owners == {org.user_named(name) for name in SALES_REPS}
    assert all(not row.fields["IsClosed"] for row in org.store.rows("Opportunity"))


def test_an_unknown_user_is_told_who_there_is(org: SalesforceOrg) -> None:
    with pytest.raises(SandboxError, match=REP):
        org.add("Account", {"Name": "x"}, "Nobody")


def test_the_daily_quota_refuses_and_begins_anew_the_next_day(
    org: SalesforceOrg, clock: Clock
) -> None:
    org.calls_max = 1
    org.count_call()

    assert _code(org.count_call) == "REQUEST_LIMIT_EXCEEDED"
    clock.go_on(24 * 3600)
    assert org.count_call() == 1
