"""Drafts of schemas that leave something open."""

from __future__ import annotations

from mapping.drafting import Objects, draft, questions
from registration_core.contracts import FieldSchema, FieldType, ObjectSchema
from tests.unit.mapping.catalogue import GROUPS, OURS

T, P, R, N = FieldType.TEXT, FieldType.PICKLIST, FieldType.REFERENCE, FieldType.NUMBER


def schema(name: str, *fields: FieldSchema) -> ObjectSchema:
    return ObjectSchema(name, fields={field.name: field for field in fields})


ACCOUNT = schema("Client", FieldSchema("Title", T, "Title"))


def drafted(*fields: FieldSchema) -> str:
    return draft("crm", Objects(schema("Sale", *fields), None, ACCOUNT), OURS, GROUPS)


def test_two_fields_that_fit_equally_well_are_both_named_and_neither_is_taken() -> None:
    text = drafted(FieldSchema("Value_A", N, "Amount"), FieldSchema("Value_B", N, "Amount"))
    assert "# ? amount (Estimated amount): Value_A or Value_B?" in text
    assert "# - {ours: amount, theirs: THE_FIELD}" in text
    assert "- {ours: amount, theirs: Value_A" not in text


def test_a_field_of_the_wrong_type_is_not_taken() -> None:
    text = drafted(FieldSchema("Amount", T, "Amount", length=20))
    assert "# ? amount (Estimated amount): no field looks like it" in text


def test_a_key_that_is_missing_or_not_clear_is_asked() -> None:
    assert "Which unique text field of 36 characters carries our id? none yet" in drafted()
    two = [FieldSchema(f"Id{n}__c", T, length=36, unique=True) for n in (1, 2)]
    assert "carries our id? Id1__c, Id2__c" in drafted(*two)


def test_a_read_only_field_is_only_read_and_a_required_one_is_asked() -> None:
    text = drafted(
        FieldSchema("Amount", N, "Amount", updateable=False, scale=4),
        FieldSchema("Region", P, "Region", required=True, options=("North", "South")),
    )
    assert (
        "- {ours: amount, theirs: Amount, direction: pull, transform: {money: {scale: 2}}}" in text
    )
    assert "# ? Sale requires Region: one of North, South" in text


def test_what_must_be_mapped_of_an_account_is_asked() -> None:
    text = drafted()
    assert "# ? Which field of Client is name? It must be mapped." in text
    assert len(questions(text)) == text.count("# ?") - 1  # the heading explains the mark
