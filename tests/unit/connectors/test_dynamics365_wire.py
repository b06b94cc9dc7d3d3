"""Values to and from the JSON and the filters of the Web API."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.dynamics365 import wire
from connectors.dynamics365.tables import Column, Table
from registration_core.contracts import FieldSchema, FieldType, ObjectSchema, Value

ACCOUNT_ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
EUR_ID = "7c9e6679-7425-40de-944b-e07fc1f90ae7"


def _column(name: str, kind: str, field_type: FieldType, **rest: object) -> Column:
    wire_name = f"_{name}_value" if kind in ("Lookup", "Owner") else name
    return Column(FieldSchema(name, field_type), kind, wire_name, **rest)  # type: ignore[arg-type]


COLUMNS = [
    _column("name", "String", FieldType.TEXT),
    _column("estimatedvalue", "Money", FieldType.NUMBER),
    _column("closeprobability", "Integer", FieldType.NUMBER),
    _column("estimatedclosedate", "DateTime", FieldType.DATE),
    _column("createdon", "DateTime", FieldType.DATETIME),
    _column("dr_house", "Boolean", FieldType.BOOLEAN),
    _column("salesstage", "Picklist", FieldType.PICKLIST),
    _column("dr_regions", "MultiSelectPicklist", FieldType.MULTI_PICKLIST),
    _column("dr_account", "Lookup", FieldType.REFERENCE, navigation={"account": "dr_Account"}),
    _column(
        "transactioncurrencyid",
        "Lookup",
        FieldType.TEXT,
        navigation={"transactioncurrency": "transactioncurrencyid"},
    ),
    Column(
        FieldSchema("customerid_account", FieldType.REFERENCE, references=("account",)),
        "Customer",
        "_customerid_value",
        {"account": "customerid_account"},
    ),
]
TABLE = Table(
    schema=ObjectSchema("opportunity"),
    set_name="opportunities",
    primary_id="opportunityid",
    columns={column.schema.name: column for column in COLUMNS},
    target_sets={"account": "accounts", "transactioncurrency": "transactioncurrencies"},
    keys={("dr_dealregid",): True},
    privileges={},
    change_tracking=True,
    optimistic_concurrency=True,
    default_status={},
)


def there_and_back(name: str, value: Value) -> Value:
    sent = json.loads(json.dumps(wire.to_wire(TABLE, name, value, {})), parse_float=Decimal)
    return wire.from_wire(TABLE.columns[name], sent, {})


@given(st.decimals(-(10**9), 10**9, places=4))
def test_an_amount_comes_back_exactly(amount: Decimal) -> None:
    assert there_and_back("estimatedvalue", amount) == amount


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", "Søndergård & «Co»"),
        ("closeprobability", Decimal(40)),
        ("estimatedclosedate", date(2027, 2, 28)),
        ("createdon", datetime(2027, 2, 28, 23, 59, 58, tzinfo=UTC)),
        ("dr_house", False),
        ("salesstage", "3"),
        ("dr_regions", ("1", "12", "3")),
        ("name", None),
    ],
)
def test_a_value_comes_back_as_it_was_sent(name: str, value: Value) -> None:
    assert there_and_back(name, value) == value


def test_a_time_is_sent_in_utc() -> None:
    local = datetime(2027, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=2)))
    assert wire.to_wire(TABLE, "createdon", local, {}) == {"createdon": "2026-12-31T22:30:00Z"}


@pytest.mark.parametrize("value", [ACCOUNT_ID, None])
@pytest.mark.parametrize("navigation", [("systemuser", "team"), ("owner",)])
def test_an_owner_is_not_written_as_its_id_says_nothing_of_its_table(
    navigation: tuple[str, ...], value: Value
) -> None:
    owner = dict.fromkeys(navigation, "ownerid")
    column = _column("ownerid", "Owner", FieldType.REFERENCE, navigation=owner)
    table = dataclasses.replace(TABLE, columns={"ownerid": column})
    with pytest.raises(wire.UnfitValueError, match="which table") as caught:
        wire.to_wire(table, "ownerid", value, {})
    assert caught.value.field == "ownerid"


def test_a_lookup_is_written_through_its_navigation_property_in_its_case() -> None:
    assert wire.to_wire(TABLE, "dr_account", ACCOUNT_ID.upper(), {}) == {
        "dr_Account@odata.bind": f"/accounts({ACCOUNT_ID})"
    }
    assert wire.to_wire(TABLE, "customerid_account", None, {}) == {
        "customerid_account@odata.bind": None
    }


def test_a_currency_travels_by_its_id_and_shows_as_its_code() -> None:
    sent = wire.to_wire(TABLE, "transactioncurrencyid", "EUR", {"EUR": EUR_ID})
    assert sent == {"transactioncurrencyid@odata.bind": f"/transactioncurrencies({EUR_ID})"}
    row = {"_transactioncurrencyid_value": EUR_ID}
    column = TABLE.columns["transactioncurrencyid"]
    assert wire.from_wire(column, row, {EUR_ID: "EUR"}) == "EUR"


def test_a_customer_that_is_a_contact_is_no_account() -> None:
    name = "_customerid_value@Microsoft.Dynamics.CRM.lookuplogicalname"
    column = TABLE.columns["customerid_account"]
    assert wire.from_wire(column, {"_customerid_value": ACCOUNT_ID, name: "contact"}, {}) is None
    row = {"_customerid_value": ACCOUNT_ID, name: "account"}
    assert wire.from_wire(column, row, {}) == ACCOUNT_ID


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("closeprobability", Decimal("12.5")),
        ("estimatedvalue", Decimal("1234567890123456.789")),
        ("estimatedvalue", Decimal("NaN")),
        ("estimatedclosedate", datetime(2027, 1, 1, tzinfo=UTC)),
        ("salesstage", "Qualify"),
        ("dr_account", "accounts(1)"),
        ("transactioncurrencyid", "XXX"),
        ("name", Decimal(1)),
    ],
)
def test_a_value_that_does_not_fit_is_not_sent(name: str, value: Value) -> None:
    with pytest.raises(wire.UnfitValueError) as caught:
        wire.to_wire(TABLE, name, value, {})
    assert caught.value.field == name


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("name", "O'Brien' or 1 eq 1", "'O''Brien'' or 1 eq 1'"),
        ("name", None, "null"),
        ("salesstage", "2", "2"),
        ("dr_house", True, "true"),
        ("estimatedvalue", Decimal("1E+3"), "1000"),
        ("estimatedvalue", Decimal("12.50"), "12.5"),
        ("estimatedclosedate", date(2027, 2, 28), "2027-02-28"),
        ("dr_account", ACCOUNT_ID.upper(), ACCOUNT_ID),
    ],
)
def test_a_literal_cannot_leave_its_place_in_a_filter(
    name: str, value: Value, expected: str
) -> None:
    assert wire.literal(TABLE.columns[name], value, {}) == expected


@pytest.mark.parametrize("key", ["a/b", "50%", "a&b", "x:y", "", "a?b", "a+b"])
def test_a_key_that_cannot_be_an_address_is_refused(key: str) -> None:
    with pytest.raises(wire.UnfitValueError):
        wire.address_by_key(TABLE, "dr_dealregid", key)


def test_a_query_escapes_what_would_end_an_option() -> None:
    address = wire.query(TABLE, select="name", filter="name eq 'A & B #1 = 100%'")
    assert address == (
        "opportunities?$select=name&$filter=name%20eq%20%27A%20%26%20B%20%231%20%3D%20100%25%27"
    )
