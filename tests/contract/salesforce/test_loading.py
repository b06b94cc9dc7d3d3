"""Thousands of records at once, record types and duplicate rules of Salesforce, over the wire."""

from __future__ import annotations

import uuid
from dataclasses import replace
from decimal import Decimal

import pytest

from connectors.errors import CrmUnavailable
from connectors.port import (
    AlreadyExists,
    ConnectionSettings,
    CreateItem,
    Deferred,
    Gone,
    Refused,
    RemoteRecord,
    UpdateItem,
    Written,
)
from connectors.salesforce import bulk
from connectors.salesforce.connector import SalesforceConnector
from connectors.salesforce.schema import RECORD_TYPE
from registration_core.contracts import Condition
from sandbox.faults import Fault, FaultKind
from sandbox.salesforce.engine import SalesforceOrg
from sandbox.serving import Running
from tests.contract.peers import Timepiece, settings_of
from tests.contract.salesforce import KEY, OPPORTUNITY, REP, create, item

LEAD = "Lead"
LOAD = 201


@pytest.fixture
def settings(running: Running) -> ConnectionSettings:
    """The connection to the Salesforce stand-in, which loads in bulk early."""
    return replace(settings_of(running, "salesforce"), bulk_from=201)


@pytest.fixture
def connector(
    settings: ConnectionSettings, timepiece: Timepiece, monkeypatch: pytest.MonkeyPatch
) -> SalesforceConnector:
    """The connector under test; it does not wait between two looks at a job."""
    monkeypatch.setattr(bulk, "_LOOK_SECONDS", (0.0,))
    return SalesforceConnector(settings, timepiece)


def _lead(**fields: str) -> CreateItem:
    key = str(uuid.uuid4())
    base = {KEY: key, "LastName": f"Buyer {key[:8]}", "Company": f"Company {key[:8]}"}
    return CreateItem(key, base | fields)


def test_a_bulk_job_answers_each_row_by_itself(
    connector: SalesforceConnector, org: SalesforceOrg
) -> None:
    there = item()
    connector.create(OPPORTUNITY, KEY, [there])
    hostile = item(Name='"quoted", =1+1\nsecond line', Amount=Decimal("1234.50"))
    bad = item(Name="x" * 200)
    cleared = item(NextStep=None)
    rest = [item() for _ in range(LOAD - 4)]

    outcomes = connector.create(OPPORTUNITY, KEY, [there, hostile, bad, cleared, *rest])

    assert isinstance(outcomes[0], AlreadyExists)
    assert isinstance(outcomes[1], Written)
    assert isinstance(outcomes[2], Refused)
    assert (outcomes[2].code, outcomes[2].field) == ("STRING_TOO_LONG", "Name")
    assert all(isinstance(outcome, Written) for outcome in outcomes[3:])
    (record,) = connector.read(OPPORTUNITY, [outcomes[1].record_id], ["Name", "Amount"]).values()
    assert isinstance(record, RemoteRecord)
    assert record.fields == {
        "Name": '"quoted", =1+1\nsecond line',
        "Amount": Decimal("1234.50"),
    }


def test_a_bulk_update_changes_clears_and_leaves_alone(
    connector: SalesforceConnector, org: SalesforceOrg
) -> None:
    outcomes = connector.create(OPPORTUNITY, KEY, [item(NextStep="call") for _ in range(LOAD)])
    ids = [outcome.record_id for outcome in outcomes if isinstance(outcome, Written)]
    org.remove(OPPORTUNITY, ids[2], REP)
    patches = [UpdateItem(i, {"Description": "loaded"}) for i in ids]
    patches[1] = UpdateItem(ids[1], {"NextStep": None})

    outcomes = connector.update(OPPORTUNITY, patches)

    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == [Written, Written, Gone, *[Written] * (LOAD - 3)]
    found = connector.read(OPPORTUNITY, ids[:2], ["NextStep", "Description"])
    assert [r.fields for r in found.values() if isinstance(r, RemoteRecord)] == [
        {"NextStep": "call", "Description": "loaded"},
        {"NextStep": None, "Description": None},
    ]


def test_a_bulk_job_whose_end_is_lost_may_have_happened(
    connector: SalesforceConnector, org: SalesforceOrg, running: Running
) -> None:
    items = [item() for _ in range(LOAD)]
    faults = running.crms["salesforce"].faults
    faults.add(Fault(FaultKind.DOWN, "GET", "/failedResults"))

    with pytest.raises(CrmUnavailable) as caught:
        connector.create(OPPORTUNITY, KEY, items)

    assert caught.value.may_have_happened
    faults.clear()
    assert len(connector.find(OPPORTUNITY, KEY, [i.key for i in items], [KEY])) == LOAD


def test_rows_that_did_not_arrive_were_not_written(
    connector: SalesforceConnector, org: SalesforceOrg, running: Running
) -> None:
    items = [item() for _ in range(LOAD)]
    faults = running.crms["salesforce"].faults
    faults.add(Fault(FaultKind.DROP_ANSWER, "PUT", "/batches", remaining=1))

    with pytest.raises(CrmUnavailable) as caught:
        connector.create(OPPORTUNITY, KEY, items)

    assert not caught.value.may_have_happened
    assert connector.find(OPPORTUNITY, KEY, [i.key for i in items], [KEY]) == {}


def test_a_job_that_failed_as_a_whole_leaves_its_rows_for_later(
    connector: SalesforceConnector, org: SalesforceOrg
) -> None:
    items = [item(NextStep="call") for _ in range(LOAD)]
    connector.describe(OPPORTUNITY)
    org.hide_field(OPPORTUNITY, "NextStep")
    try:
        outcomes = connector.create(OPPORTUNITY, KEY, items)
    finally:
        org.show_field(OPPORTUNITY, "NextStep")

    assert {type(outcome) for outcome in outcomes} == {Deferred}


def test_the_one_text_that_a_bulk_job_reads_as_empty_is_refused(
    connector: SalesforceConnector,
) -> None:
    items = [item(NextStep="#N/A"), *(item() for _ in range(LOAD))]

    outcomes = connector.create(OPPORTUNITY, KEY, items)

    assert isinstance(outcomes[0], Refused)
    assert "#N/A" in outcomes[0].message
    assert {type(outcome) for outcome in outcomes[1:]} == {Written}


def test_a_record_type_goes_by_its_developer_name(connector: SalesforceConnector) -> None:
    field = connector.describe(OPPORTUNITY).fields[RECORD_TYPE]
    assert field.options == ("Direct_Deal", "Partner_Deal")
    partner = create(connector, **{RECORD_TYPE: "Partner_Deal"})
    direct = create(connector, **{RECORD_TYPE: "Direct_Deal"})
    create(connector)

    found = connector.read(OPPORTUNITY, [partner], [RECORD_TYPE])[partner]
    selected = connector.select(
        OPPORTUNITY,
        [Condition(RECORD_TYPE, ("Direct_Deal",)), Condition("Id", (partner, direct))],
        ["Name", RECORD_TYPE],
        10,
    )

    assert isinstance(found, RemoteRecord)
    assert found.fields == {RECORD_TYPE: "Partner_Deal"}
    assert [(r.record_id, r.fields[RECORD_TYPE]) for r in selected.records] == [
        (direct, "Direct_Deal")
    ]


def test_a_record_type_that_our_user_has_not_refuses_its_row_by_name(
    connector: SalesforceConnector,
) -> None:
    (outcome,) = connector.create(OPPORTUNITY, KEY, [item(**{RECORD_TYPE: "Nobody_s"})])

    assert isinstance(outcome, Refused)
    assert "Nobody_s" in outcome.message


def test_a_duplicate_rule_is_obeyed_and_names_the_records_it_found(
    connector: SalesforceConnector, org: SalesforceOrg
) -> None:
    address = "only-here@acme.example"  # other tests' leads stand in the same org
    first = _lead(Email=address)
    (written,) = connector.create(LEAD, KEY, [first])
    assert isinstance(written, Written)
    org.rules.block_duplicates(LEAD, "Email")
    other = _lead(Email=address)

    refused, fine = connector.create(LEAD, KEY, [other, _lead(Email="new@acme.example")])

    assert isinstance(refused, Refused)
    assert refused.code == "DUPLICATES_DETECTED"
    assert refused.duplicates == (written.record_id,)
    assert isinstance(fine, Written)
    assert connector.find(LEAD, KEY, [other.key], [KEY]) == {}


@pytest.mark.parametrize("version", ["51.0", "52.0"])
def test_the_records_of_a_duplicate_rule_are_read_in_either_spelling_of_their_key(
    settings: ConnectionSettings, timepiece: Timepiece, org: SalesforceOrg, version: str
) -> None:
    connector = SalesforceConnector(replace(settings, api_version=version), timepiece)
    email = f"buyer@{version}.example"
    (written,) = connector.create(LEAD, KEY, [_lead(Email=email)])
    assert isinstance(written, Written)
    org.rules.block_duplicates(LEAD, "Email")

    (refused,) = connector.create(LEAD, KEY, [_lead(Email=email)])

    assert isinstance(refused, Refused)
    assert refused.duplicates == (written.record_id,)


def test_a_validation_rule_is_told_in_the_admins_own_words(
    connector: SalesforceConnector, org: SalesforceOrg
) -> None:
    org.rules.refuse_value(OPPORTUNITY, "NextStep", "skip", "Say why the step is skipped.")

    (outcome,) = connector.create(OPPORTUNITY, KEY, [item(NextStep="skip")])

    assert outcome == Refused(
        "FIELD_CUSTOM_VALIDATION_EXCEPTION", "Say why the step is skipped.", "NextStep"
    )
