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


PERSON = schema(
    "Person",
    FieldSchema("Last", T, "Last name", length=80, required=True),
    FieldSchema("Mail", T, "Email", length=80),
    FieldSchema("Key", T, length=36, unique=True),
)
BUYER = FieldSchema("Buyer", R, "Contact", references=("Person",))


def with_contact(person: ObjectSchema, *fields: FieldSchema) -> str:
    sale = schema("Sale", BUYER, *fields)
    return draft("crm", Objects(sale, None, ACCOUNT, {"Person": person}), OURS, GROUPS)


def test_a_contact_that_the_deal_refers_to_is_looked_up_and_the_deal_goes_without() -> None:
    text = with_contact(PERSON)
    for line in (
        "      contact:",
        "        object: Person",
        "        key: Key",
        "        missing: leave",
        "          - {ours: contact_name, theirs: Last, transform: {text: {max: 80}}}",
        "          - {ours: contact_email, theirs: Mail, transform: {text: {max: 80}}}",
        "        - {ours: contact, theirs: Buyer, direction: push, write: on_create, transform: reference}",
    ):
        assert any(each.startswith(line) for each in text.splitlines()), line


def test_a_companion_without_a_key_is_asked_and_stands_there_as_comments() -> None:
    keyless = schema("Person", *(f for f in PERSON.fields.values() if f.name != "Key"))
    text = with_contact(keyless)
    asked = "contact: which unique text field of 36 characters of Person carries our id? none yet"
    assert asked in [told for _, told in questions(text)]
    for line in (
        "    # companions:",
        "      # contact:",
        "      #   key: THE_FIELD",
        "        # - {ours: contact, theirs: Buyer, direction: push, write: on_create, transform: reference}",
    ):
        assert any(each.startswith(line) for each in text.splitlines()), line


def test_what_a_companion_requires_and_no_row_fills_is_asked() -> None:
    region = FieldSchema("Region", P, "Region", required=True, options=("North", "South"))
    text = with_contact(schema("Person", *PERSON.fields.values(), region))
    assert "contact: Person requires Region: one of North, South" in [q for _, q in questions(text)]
    assert "      #     Region: THE_VALUE" in text.splitlines()


def test_two_references_to_a_contact_are_both_named_and_neither_is_taken() -> None:
    text = with_contact(PERSON, FieldSchema("Payer", R, "Contact", references=("Person",)))
    assert "# ? contact: which field of Sale refers to it? Buyer or Payer" in text
    assert "theirs: Buyer" not in text


def test_what_our_user_may_not_see_is_not_drafted() -> None:
    sale = schema("Sale", BUYER)
    assert "contact" not in draft("crm", Objects(sale, None, ACCOUNT), OURS, GROUPS)
