"""What only Dynamics 365 does: alternate keys, closing by action, lookups, merges."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from connectors.errors import CallRejected
from connectors.port import (
    Absence,
    AlreadyExists,
    CreateItem,
    Gone,
    Refused,
    Stale,
    Written,
)
from registration_core.contracts import Condition, Fields, FieldType, Value
from sandbox.dynamics365 import schema
from sandbox.dynamics365.columns import Table
from tests.contract.dynamics365 import (
    ACCOUNT,
    KEY,
    MIRROR,
    OPPORTUNITY,
    REP,
    Crm,
    fresh,
)


def test_building_a_connector_calls_nobody(crm: Crm) -> None:
    before = crm.stand_in.journal.total
    fresh(crm)
    assert crm.stand_in.journal.total == before


# --- lookups and currencies


def test_lookups_and_currency_are_written_and_read_by_their_plain_names(crm: Crm) -> None:
    account = crm.account()
    fields: dict[str, Any] = {
        "customerid_account": account,
        "parentaccountid": account.upper(),
        "estimatedvalue": Decimal("1234.56"),
        "transactioncurrencyid": "NOK",
        "estimatedclosedate": date(2027, 6, 30),
    }
    record = crm.read(crm.create(**fields), *fields, "ownerid")
    assert record.fields == {
        **fields,
        "parentaccountid": account,
        "ownerid": record.fields["ownerid"],
    }
    assert record.modified_by_us
    cleared = {"customerid_account": None, "parentaccountid": None, "estimatedvalue": None}
    assert isinstance(crm.update(record.record_id, cleared), Written)
    assert crm.read(record.record_id, *cleared).fields == cleared


def test_the_mirror_table_has_its_own_lookup_in_its_own_case(crm: Crm) -> None:
    account = crm.account()
    record_id = crm.create(MIRROR, dr_account=account, dr_stage="developing")
    where = [Condition("dr_account", (account,)), Condition("dr_stage", ("developing",))]
    selection = crm.connector.select(MIRROR, where, ["dr_account"], 5)
    assert [record.record_id for record in selection.records] == [record_id]
    assert selection.records[0].fields == {"dr_account": account}


def test_a_currency_can_be_a_condition(crm: Crm) -> None:
    record_id = crm.create(transactioncurrencyid="SEK", description="only this one")
    where = [Condition("transactioncurrencyid", ("SEK", "DKK"))]
    selection = crm.connector.select(OPPORTUNITY, where, ["transactioncurrencyid"], 50)
    found = {record.record_id: record.fields for record in selection.records}
    assert found[record_id] == {"transactioncurrencyid": "SEK"}


def test_one_row_with_a_value_that_cannot_be_sent_does_not_stop_the_others(crm: Crm) -> None:
    keys = [crm.peer.new_key() for _ in range(3)]
    rows: list[Fields] = [
        {KEY: keys[0], "name": "A", "transactioncurrencyid": "XXX"},
        {KEY: keys[1], "name": "B"},
        {KEY: keys[2], "name": "C", "parentaccountid": crm.peer.names.unknown_id},
    ]
    items = [CreateItem(key, fields) for key, fields in zip(keys, rows, strict=True)]
    currency, written, dangling = crm.connector.create(OPPORTUNITY, KEY, items)
    assert isinstance(currency, Refused)
    assert currency.field == "transactioncurrencyid"
    assert isinstance(written, Written)
    assert isinstance(dangling, Refused)


def test_a_missing_related_record_is_not_taken_for_the_record_itself(crm: Crm) -> None:
    outcome = crm.update(crm.create(), {"parentaccountid": crm.peer.names.unknown_id})
    assert isinstance(outcome, Refused)


def test_describe_shows_each_customer_type_as_a_reference_of_its_own(crm: Crm) -> None:
    fields = crm.connector.describe(OPPORTUNITY).fields
    assert fields["customerid_account"].references == ("account",)
    assert fields["customerid_contact"].references == ("contact",)
    assert "customerid" not in fields
    owner = fields["ownerid"]
    assert (owner.createable, owner.updateable) == (False, False)
    currency = fields["transactioncurrencyid"]
    assert (currency.type, currency.length) == (FieldType.TEXT, 3)
    assert fields["statecode"].options == ("0", "1", "2")
    assert (fields["estimatedvalue"].scale, fields["name"].length) == (2, 300)
    assert not fields["modifiedon"].updateable


def test_a_multi_select_choice_is_written_read_and_asked_for_by_one_of_its_values(
    crm: Crm,
) -> None:
    wanted, other = crm.account(new_segments="3,1"), crm.account(new_segments="2")
    record = crm.read(wanted, "new_segments", object_name=ACCOUNT)
    assert record.fields == {"new_segments": ("1", "3")}
    where = [Condition("new_segments", ("3", "4"))]
    selection = crm.connector.select(ACCOUNT, where, ["new_segments"], 5)
    assert [record.record_id for record in selection.records] == [wanted]
    assert crm.connector.describe(ACCOUNT).fields["new_segments"].options == ("1", "2", "3", "4")
    assert isinstance(crm.update(other, {"new_segments": ("4", "1")}, None, ACCOUNT), Written)
    assert crm.connector.count(ACCOUNT, where) == 2
    assert isinstance(crm.update(wanted, {"new_segments": None}, None, ACCOUNT), Written)
    assert crm.read(wanted, "new_segments", object_name=ACCOUNT).fields == {"new_segments": None}
    assert isinstance(crm.update(wanted, {"new_segments": ("9",)}, None, ACCOUNT), Refused)


# --- closing and re-opening


@pytest.mark.parametrize(
    ("state", "status", "expected"), [("1", None, "3"), ("2", None, "4"), ("2", "5", "5")]
)
def test_a_deal_is_closed_by_the_action_with_everything_else_in_one_step(
    crm: Crm, state: str, status: str | None, expected: str
) -> None:
    record_id = crm.create(estimatedvalue=Decimal(10))
    day = date(2027, 2, 28)
    fields: dict[str, Value] = {"statecode": state, "actualclosedate": day, "name": "Closed"}
    if status is not None:
        fields["statuscode"] = status
    if state == "1":
        fields["actualvalue"] = Decimal("99.5")
    outcome = crm.update(record_id, fields)
    assert crm.stage(record_id) == {
        "statecode": state,
        "statuscode": expected,
        "actualvalue": Decimal("99.5") if state == "1" else None,
        "actualclosedate": day,
    }
    record = crm.read(record_id, "name")
    assert record.fields["name"] == "Closed"
    assert outcome == Written(record_id, record.version, record.modified_at)


def test_closing_obeys_the_version_even_when_nothing_else_changes(crm: Crm) -> None:
    record_id = crm.create()
    version = crm.read(record_id).version
    crm.org.edit(OPPORTUNITY, record_id, {"name": "Theirs"}, REP)
    assert crm.update(record_id, {"statecode": "1"}, version) == Stale(record_id)
    assert crm.stage(record_id)["statecode"] == "0"
    assert crm.stage(record_id)["actualclosedate"] is None


def test_a_refused_close_takes_the_changes_with_it(crm: Crm) -> None:
    record_id = crm.create(name="Before")
    outcome = crm.update(record_id, {"statecode": "1", "statuscode": "4", "name": "After"})
    assert isinstance(outcome, Refused)
    assert crm.read(record_id, "name").fields["name"] == "Before"


def test_a_deal_is_reopened_before_its_other_changes(crm: Crm) -> None:
    record_id = crm.create()
    crm.update(record_id, {"statecode": "2"})
    crm.org.behaviour.closed_takes_changes = False
    version = crm.read(record_id).version
    outcome = crm.update(record_id, {"statecode": "0", "name": "Again"}, version)
    assert isinstance(outcome, Written)
    record = crm.read(record_id, "statecode", "statuscode", "name")
    assert record.fields == {"statecode": "0", "statuscode": "1", "name": "Again"}
    assert record.version == outcome.version


def test_a_closed_deal_that_takes_no_changes_refuses_them(crm: Crm) -> None:
    record_id = crm.create()
    crm.update(record_id, {"statecode": "1"})
    crm.org.behaviour.closed_takes_changes = False
    outcome = crm.update(record_id, {"dr_state": "expired"})
    assert isinstance(outcome, Refused)
    assert outcome.code == "0x80040515"


def test_a_deal_can_be_created_won(crm: Crm) -> None:
    record_id = crm.create(statecode="1", actualvalue=Decimal(7), actualclosedate=date(2027, 1, 5))
    assert crm.stage(record_id) == {
        "statecode": "1",
        "statuscode": "3",
        "actualvalue": Decimal(7),
        "actualclosedate": date(2027, 1, 5),
    }
    key = crm.read(record_id, KEY).fields[KEY]
    fields: Fields = {KEY: key, "name": "Twice", "statecode": "1"}
    outcomes = crm.connector.create(OPPORTUNITY, KEY, [CreateItem(str(key), fields)])
    assert outcomes == (AlreadyExists(),)


# --- merges


def test_the_loser_of_a_merge_is_gone_wherever_it_is_asked_for(crm: Crm) -> None:
    tax = crm.peer.new_key()
    loser, winner = crm.account(dr_taxid=tax), crm.account(dr_taxid=tax)
    cursor = crm.drain(None)[-1].cursor
    crm.org.merge(ACCOUNT, loser, winner, REP)
    gone = Gone(loser, Absence.MERGED, winner)
    assert crm.connector.read(ACCOUNT, [loser], ["name"]) == {loser: gone}
    where = [Condition("dr_taxid", (tax,))]
    selection = crm.connector.select(ACCOUNT, where, ["name"], 10)
    assert [record.record_id for record in selection.records] == [winner]
    assert crm.connector.count(ACCOUNT, where) == 1
    assert gone in crm.drain(cursor)[-1].gone


# --- long and odd questions


def dict_of(tables: Mapping[str, Table]) -> dict[str, Table]:
    assert isinstance(tables, dict)
    return tables


def test_a_condition_without_values_finds_nothing(crm: Crm) -> None:
    where = [Condition("name", ())]
    assert crm.connector.select(ACCOUNT, where, ["name"], 10).records == ()


def test_text_that_is_no_id_is_not_found_and_never_sent(crm: Crm) -> None:
    crm.connector.describe(OPPORTUNITY)
    odd = "x') or (1 eq 1"
    before = crm.stand_in.journal.total
    found = crm.connector.read(OPPORTUNITY, [odd], ["name"])
    assert found == {odd: Gone(odd, Absence.NOT_FOUND)}
    assert crm.update(odd, {"name": "X"}) == Gone(odd, Absence.NOT_FOUND)
    assert crm.stand_in.journal.total == before


def test_a_key_with_forbidden_characters_is_refused_by_itself(crm: Crm) -> None:
    items = [CreateItem("a/b", {KEY: "a/b", "name": "X"})]
    (outcome,) = crm.connector.create(OPPORTUNITY, KEY, items)
    assert isinstance(outcome, Refused)
    assert outcome.field == KEY


def test_a_column_added_while_we_run_is_found(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    connector = fresh(crm)
    where = [Condition("dr_new", ("x",))]
    with pytest.raises(CallRejected, match="dr_new"):
        connector.count(ACCOUNT, where)
    column = dataclasses.replace(schema.ACCOUNT.by_name["dr_taxid"], name="dr_new")
    grown = dataclasses.replace(schema.ACCOUNT, columns=(*schema.ACCOUNT.columns, column))
    monkeypatch.setitem(dict_of(schema.TABLES), ACCOUNT, grown)
    monkeypatch.setitem(dict_of(schema.BY_SET), "accounts", grown)
    assert connector.count(ACCOUNT, where) == 0
