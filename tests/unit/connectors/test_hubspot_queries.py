"""Conditions worded as HubSpot searches."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from connectors.hubspot.links import COMPANIES
from connectors.hubspot.queries import NotSearchable, body, filter_sets
from registration_core.contracts import Condition, FieldSchema, FieldType, ObjectSchema, Value

SCHEMA = ObjectSchema(
    "deals",
    fields={
        field.name: field
        for field in (
            FieldSchema("dealname", FieldType.TEXT),
            FieldSchema("dealstage", FieldType.PICKLIST),
            FieldSchema("amount", FieldType.NUMBER),
            FieldSchema("vip", FieldType.BOOLEAN),
            FieldSchema(COMPANIES, FieldType.REFERENCE),
        )
    },
)


def sets(*where: tuple[str, tuple[Value, ...]]) -> list[list[dict[str, object]]]:
    """Word conditions."""
    return list(filter_sets(SCHEMA, [Condition(name, values) for name, values in where]))


def test_no_condition_is_one_search_for_everything() -> None:
    assert sets() == [[]]


def test_conditions_are_joined_and_values_listed() -> None:
    assert sets(("dealname", ("Acme", "Ébène")), ("vip", (True,))) == [
        [
            {"propertyName": "dealname", "operator": "IN", "values": ["acme", "ébène"]},
            {"propertyName": "vip", "operator": "EQ", "value": "true"},
        ]
    ]


def test_choices_keep_their_case() -> None:
    ((only,),) = sets(("dealstage", ("closedWon",)))
    assert only["value"] == "closedWon"


def test_an_empty_value_is_a_search_of_its_own() -> None:
    assert sets(("amount", (None, Decimal("5.0")))) == [
        [{"propertyName": "amount", "operator": "NOT_HAS_PROPERTY"}],
        [{"propertyName": "amount", "operator": "EQ", "value": "5.0"}],
    ]


def test_each_company_is_a_search_of_its_own() -> None:
    found = sets((COMPANIES, ("77", "78")))
    assert [each[0]["value"] for each in found] == ["77", "78"]
    assert {each[0]["propertyName"] for each in found} == {"associations.company"}


def test_a_condition_without_values_fits_nothing() -> None:
    assert sets(("dealname", ()), ("vip", (True,))) == []


def test_what_a_search_cannot_say_is_refused() -> None:
    with pytest.raises(NotSearchable, match="being empty"):
        sets((COMPANIES, (None,)))
    with pytest.raises(NotSearchable, match="conditions"):
        sets(*[("dealname", ("a",))] * 5)


def test_every_body_stays_under_what_a_search_takes() -> None:
    ids = tuple(f"0192f3c4-aaaa-7bbb-8ccc-{number:012d}" for number in range(90))
    seen: set[object] = set()
    for filters in sets(*[("dealname", ids)], ("dealstage", ids[:30]), ("vip", (True,))):
        assert len(json.dumps(body(filters, "9" * 20))) <= 3000
        for each in filters:
            if each["propertyName"] == "dealname":
                values = each.get("values") or [each["value"]]
                assert isinstance(values, list)
                seen |= set(values)
    assert seen == set(ids)


def test_pages_follow_the_record_id() -> None:
    later = body([{"propertyName": "vip", "operator": "EQ", "value": "true"}], "512")
    assert later["filterGroups"][0]["filters"][-1] == {
        "propertyName": "hs_object_id",
        "operator": "GT",
        "value": "512",
    }
    assert later["sorts"] == [{"propertyName": "hs_object_id", "direction": "ASCENDING"}]
    assert body([], "")["filterGroups"] == []
