"""Values and definitions to and from HubSpot's JSON."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.hubspot.links import COMPANIES
from connectors.hubspot.wire import from_wire, object_schema, record, to_wire
from registration_core.contracts import FieldSchema, FieldType, Value


def field(type_: FieldType) -> FieldSchema:
    """Make a field of a type."""
    return FieldSchema("field", type_)


def definition(name: str, type_: str = "string", **more: Any) -> dict[str, Any]:
    """Word a property definition."""
    return {"name": name, "label": name.title(), "type": type_, "fieldType": "text", **more}


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4))
def test_a_number_survives_the_wire_as_a_number(number: Decimal) -> None:
    wire = to_wire(number, field(FieldType.NUMBER))
    assert "E" not in wire
    assert from_wire(wire, field(FieldType.NUMBER)) == number


@given(st.dates(min_value=date(1900, 1, 1)))
def test_a_day_survives_the_wire(day: date) -> None:
    assert from_wire(to_wire(day, field(FieldType.DATE)), field(FieldType.DATE)) == day


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_survives_the_wire_to_the_millisecond(when: datetime) -> None:
    schema = field(FieldType.DATETIME)
    cut = when.replace(microsecond=when.microsecond // 1000 * 1000)
    assert from_wire(to_wire(when, schema), schema) == cut


@given(st.booleans())
def test_a_boolean_survives_the_wire(value: bool) -> None:
    assert from_wire(to_wire(value, field(FieldType.BOOLEAN)), field(FieldType.BOOLEAN)) is value


@given(st.sets(st.text("abcdef", min_size=1), min_size=1))
def test_a_set_of_choices_survives_the_wire(choices: set[str]) -> None:
    schema = field(FieldType.MULTI_PICKLIST)
    value = tuple(sorted(choices))
    assert from_wire(to_wire(value, schema), schema) == value


@pytest.mark.parametrize(
    ("value", "type_", "wire"),
    [
        (None, FieldType.TEXT, ""),
        (True, FieldType.BOOLEAN, "true"),
        (Decimal("1E+3"), FieldType.NUMBER, "1000"),
        (date(2027, 6, 30), FieldType.DATE, "2027-06-30"),
        (date(2027, 6, 30), FieldType.DATETIME, "2027-06-30T00:00:00.000Z"),
        (
            datetime(2027, 6, 30, 12, tzinfo=timezone(timedelta(hours=2))),
            FieldType.DATETIME,
            "2027-06-30T10:00:00.000Z",
        ),
        (("a", "b"), FieldType.MULTI_PICKLIST, "a;b"),
    ],
)
def test_a_value_is_worded_as_hubspot_takes_it(value: Value, type_: FieldType, wire: str) -> None:
    assert to_wire(value, field(type_)) == wire


@pytest.mark.parametrize("type_", list(FieldType))
@pytest.mark.parametrize("raw", [None, ""])
def test_missing_null_and_empty_text_are_all_empty(type_: FieldType, raw: str | None) -> None:
    assert from_wire(raw, field(type_)) is None


@pytest.mark.parametrize(
    ("raw", "type_", "value"),
    [
        ("1500.00", FieldType.NUMBER, Decimal(1500)),
        ("1767225600000", FieldType.DATE, date(2026, 1, 1)),
        ("1767225600000", FieldType.DATETIME, datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-02T03:04:06Z", FieldType.DATETIME, datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)),
        ("b;a;", FieldType.MULTI_PICKLIST, ("a", "b")),
        ("Cafe\u0301", FieldType.TEXT, "Café"),
    ],
)
def test_a_value_is_read_as_hubspot_gives_it(raw: str, type_: FieldType, value: Value) -> None:
    assert from_wire(raw, field(type_)) == value


@pytest.mark.parametrize(
    ("raw", "type_"),
    [("ten", FieldType.NUMBER), ("soon", FieldType.DATE), ("soon", FieldType.DATETIME)],
)
def test_a_value_that_is_not_of_its_type_is_not_guessed_at(raw: str, type_: FieldType) -> None:
    with pytest.raises(ValueError, match=r".+"):
        from_wire(raw, field(type_))


def test_definitions_become_typed_fields() -> None:
    schema = object_schema(
        "companies",
        [
            definition("hs_object_id", "number", modificationMetadata={"readOnlyValue": True}),
            definition("tax_id", hasUniqueValue=True),
            definition("hubspot_owner_id", "enumeration", referencedObjectType="OWNER"),
            definition("hs_parent_company_id", "number"),
            definition("tags", "enumeration", fieldType="checkbox", options=[{"value": "a"}]),
            definition("score", "number", calculated=True),
            definition("vip", "bool", options=[{"value": "true"}, {"value": "false"}]),
            definition("gone", archived=True),
        ],
        [],
    )
    fields = schema.fields
    assert fields["hs_object_id"].type is FieldType.REFERENCE
    assert not fields["hs_object_id"].updateable
    assert fields["tax_id"].unique
    assert fields["tax_id"].length == 65_536
    assert fields["hubspot_owner_id"].references == ("owners",)
    assert fields["hs_parent_company_id"].references == ("companies",)
    assert fields["tags"].type is FieldType.MULTI_PICKLIST
    assert fields["tags"].options == ("a",)
    assert (fields["score"].calculated, fields["score"].history_kept) == (True, False)
    assert fields["vip"].type is FieldType.BOOLEAN
    assert fields["vip"].options is None
    assert "gone" not in fields
    assert COMPANIES not in fields


def test_a_deals_stages_are_those_of_its_live_pipelines() -> None:
    schema = object_schema(
        "deals",
        [definition("dealstage", options=[{"value": "old"}]), definition("pipeline")],
        [
            {"id": "default", "stages": [{"id": "won"}, {"id": "retired", "archived": True}]},
            {"id": "old", "archived": True, "stages": [{"id": "lost"}]},
        ],
    )
    assert schema.fields["dealstage"].options == ("won",)
    assert schema.fields["pipeline"].options == ("default",)
    assert schema.fields[COMPANIES].references == ("companies",)
    assert not schema.fields[COMPANIES].history_kept


def test_a_record_has_exactly_the_fields_that_were_asked_for() -> None:
    schema = object_schema("deals", [definition("dealname"), definition("amount", "number")], [])
    raw = {
        "id": 512,
        "properties": {"dealname": "Acme", "other": "x"},
        "createdAt": "2026-01-02T03:04:05.678Z",
        "updatedAt": "2026-01-02T03:04:06Z",
    }
    found = record(schema, raw, ["dealname", "amount", COMPANIES], {COMPANIES: "77"})
    assert found.record_id == "512"
    assert found.fields == {"dealname": "Acme", "amount": None, COMPANIES: "77"}
    assert found.modified_at == datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)
    assert found.created_at == datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
