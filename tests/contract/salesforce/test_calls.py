"""Writing to Salesforce, asking it, and what it refuses, through its real wire protocol."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
import requests
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import SalesforceGeneralError

from connectors.errors import CallRejected, RateLimited
from connectors.port import (
    Absence,
    AlreadyExists,
    ConnectionSettings,
    CrmConnector,
    Deferred,
    Gone,
    ObjectNeed,
    Refused,
    RemoteRecord,
    UpdateItem,
    Written,
)
from connectors.salesforce.connector import SalesforceConnector
from registration_core.contracts import Condition
from sandbox.salesforce.engine import SalesforceOrg
from sandbox.serving import Running
from tests.contract.peers import Timepiece
from tests.contract.salesforce import KEY, OPPORTUNITY, REP, account, create, item
from tests.verify.salesforce import golden, simple
from tests.verify.salesforce.environment import Environment


def test_a_lookup_to_a_deleted_account_is_a_refusal_and_the_deal_is_not_gone(
    connector: CrmConnector, org: SalesforceOrg
) -> None:
    lost = account(org, "Vanishing")
    deal = create(connector)
    org.remove("Account", lost, REP)

    (outcome,) = connector.update(OPPORTUNITY, [UpdateItem(deal, {"AccountId": lost})])

    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.field) == ("ENTITY_IS_DELETED", "AccountId")


def test_a_locked_row_is_deferred_and_its_neighbours_are_written(
    connector: CrmConnector, org: SalesforceOrg
) -> None:
    locked, free = create(connector), create(connector)
    org.lock_row(locked)

    outcomes = connector.update(
        OPPORTUNITY, [UpdateItem(i, {"NextStep": "call"}) for i in (locked, free)]
    )

    assert [type(outcome) for outcome in outcomes] == [Deferred, Written]


def test_two_patches_of_one_record_are_one_write_and_the_later_value_stands(
    connector: CrmConnector, org: SalesforceOrg
) -> None:
    deal = create(connector)
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
    wanted = item()
    again = replace(wanted, key=wanted.key.upper())

    first, second = connector.create(OPPORTUNITY, KEY, [wanted, again])

    assert isinstance(first, Written)
    assert second == AlreadyExists(first.record_id)
    assert connector.count(OPPORTUNITY, [Condition(KEY, (wanted.key,))]) == 1


def test_a_value_that_json_cannot_carry_refuses_its_row_and_no_other(
    connector: CrmConnector,
) -> None:
    good, bad = item(), item(Amount="lots")

    outcomes = connector.create(OPPORTUNITY, KEY, [bad, good])

    assert [type(outcome) for outcome in outcomes] == [Refused, Written]


def test_a_short_id_is_answered_under_the_name_it_was_asked_by(connector: CrmConnector) -> None:
    deal = create(connector)

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
    deal = create(connector, Name=marked)
    create(connector)

    selection = connector.select(OPPORTUNITY, [Condition("Name", (marked,))], ["Name"], 10)

    assert [(r.record_id, r.fields["Name"]) for r in selection.records] == [(deal, marked)]
    assert selection.complete


def test_a_condition_with_more_values_than_a_url_takes_is_answered_in_full(
    connector: CrmConnector,
) -> None:
    keys = [item() for _ in range(3)]
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
    deal = create(connector, NextStep=None)
    mine = Condition("Id", (deal,))

    assert connector.select(OPPORTUNITY, [Condition("Name", ())], ["Name"], 5).records == ()
    assert connector.count(OPPORTUNITY, [mine, Condition("NextStep", (None, "x"))]) == 1
    assert connector.count(OPPORTUNITY, [mine, Condition("NextStep", ("x",))]) == 0


def test_a_set_of_options_finds_the_deals_that_have_all_of_it(connector: CrmConnector) -> None:
    step = "Sets of options"  # other tests' deals in the same org have sets too
    both = create(connector, NextStep=step, Modules__c=("Cooling", "Routing"))
    create(connector, NextStep=step, Modules__c=("Cooling",))
    customs = create(connector, NextStep=step, Modules__c=("Customs",))
    asked = Condition("Modules__c", (("Routing", "Cooling"), ("Customs",)))

    selection = connector.select(
        OPPORTUNITY, [Condition("NextStep", (step,)), asked], ["Modules__c"], 10
    )

    assert {r.record_id: r.fields["Modules__c"] for r in selection.records} == {
        both: ("Cooling", "Routing"),
        customs: ("Customs",),
    }


def test_closing_and_reopening_is_a_stage(connector: CrmConnector) -> None:
    deal = create(connector)
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
    items = [item() for _ in range(201)]

    with pytest.raises(CallRejected, match="200"):
        connector.create(OPPORTUNITY, KEY, items)

    assert connector.find(OPPORTUNITY, KEY, [items[0].key], [KEY]) == {}


def test_a_field_that_is_hidden_is_an_error_and_never_an_empty_value(
    settings: ConnectionSettings, org: SalesforceOrg, timepiece: Timepiece
) -> None:
    connector = SalesforceConnector(settings, timepiece)
    deal = create(connector)
    connector.read(OPPORTUNITY, [deal], ["LeadSource"])
    org.hide_field(OPPORTUNITY, "LeadSource")
    try:
        timepiece.skip(timedelta(hours=1))
        with pytest.raises(CallRejected, match="LeadSource"):
            connector.read(OPPORTUNITY, [deal], ["LeadSource"])
        need = ObjectNeed(OPPORTUNITY, KEY, reads=("LeadSource",), writes=("NextStep", "IsWon"))
        need = replace(need, two_way=("NextStep",))
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


def test_simple_salesforce_reads_and_writes_the_stand_in_by_its_own_methods(
    running: Running, settings: ConnectionSettings, org: SalesforceOrg, timepiece: Timepiece
) -> None:
    connector = SalesforceConnector(settings, timepiece)
    simple.check_records(Environment(running.crms["salesforce"], org, settings, connector))


def test_every_kind_of_answer_has_the_keys_that_salesforce_gives_it(
    running: Running, settings: ConnectionSettings, org: SalesforceOrg, timepiece: Timepiece
) -> None:
    connector = SalesforceConnector(settings, timepiece)
    golden.check(Environment(running.crms["salesforce"], org, settings, connector))


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
            salesforce.restful("tooling/sobjects")


def test_what_is_known_of_an_object_is_asked_once_and_by_the_configured_version(
    settings: ConnectionSettings, org: SalesforceOrg, running: Running, timepiece: Timepiece
) -> None:
    connector = SalesforceConnector(replace(settings, api_version="66.0"), timepiece)
    lasting = account(org, "Lasting")
    journal = running.crms["salesforce"].journal

    def asked() -> list[str]:
        before = journal.total
        connector.read("Account", [lasting], ["Name"])
        return [entry.path for entry in journal.last(journal.total - before)]

    first, second = asked(), asked()

    assert [path for path in first if path.endswith("/sobjects/Account/describe")]
    assert second == ["/services/data/v66.0/composite/sobjects/Account"]
    assert {path.split("/")[3] for path in first if "/services/data/" in path} == {"v66.0"}
