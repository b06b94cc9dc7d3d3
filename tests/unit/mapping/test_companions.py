"""What may be said of companions: their order, and every mistake with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

import config
from mapping.check import check, objects_of
from mapping.loader import load
from mapping.page import page
from mapping.schema import ConnectionMapping
from registration_core.contracts import FieldSchema, FieldType, ObjectSchema
from registration_core.errors import ConfigurationError
from tests.unit.mapping.catalogue import GROUPS, OURS
from tests.unit.mapping.test_json_schema import SCHEMA, fits

SHIPPED = Path(config.__file__).parent / "mappings" / "salesforce.yaml"
#: Stands from line 18 of the shipped file on.
COMPANIONS = """\
    companions:
      line_item:
        object: OpportunityLineItem
        key: Dealreg_Id__c
        on_create: {Quantity: 1}
        fields:
          - {ours: record, theirs: OpportunityId, transform: reference}
      contact:
        object: Contact
        key: Dealreg_Id__c
        missing: leave
        fields:
          - {ours: contact_name, theirs: LastName}
          - {ours: contact_email, theirs: Email}
          - {ours: account, theirs: AccountId, transform: reference}
      account:
        object: Account
        key: Dealreg_Id__c
        fields:
          - {ours: customer_name, theirs: Name}
"""
PARTNER = """\
      partner:
        object: Account
        key: Dealreg_Id__c
        missing: wait
        fields:
          - {ours: partner_code, theirs: AccountNumber}
"""
_BEFORE = "    groups:\n      identity:"
_DETAILS = "      details:\n"
_CONTACT = (
    "{ours: contact, theirs: ContactId, direction: push, write: on_create, transform: reference}"
)


def text(*changes: tuple[str, str]) -> str:
    whole = SHIPPED.read_text(encoding="utf-8").replace(_BEFORE, COMPANIONS + _BEFORE, 1)
    whole = whole.replace(_DETAILS, f"{_DETAILS}        - {_CONTACT}\n", 1)
    for old, new in changes:
        assert old in whole
        whole = whole.replace(old, new, 1)
    return whole


def read(*changes: tuple[str, str]) -> ConnectionMapping:
    return load(text(*changes), "crm.yaml", OURS, GROUPS)


def line_of(words: str, *changes: tuple[str, str]) -> int:
    return next(n for n, line in enumerate(text(*changes).splitlines(), 1) if words in line)


def problems(*changes: tuple[str, str]) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        read(*changes)
    return [str(problem) for problem in refused.value.problems]


def test_what_is_referred_to_comes_first_whatever_the_order_of_the_file() -> None:
    home = read().objects["home"]
    assert [each.name for each in home.before] == ["account", "contact"]
    assert [each.name for each in home.after] == ["line_item"]
    assert home.companions["contact"].field_of("contact_email") == "Email"
    assert read().objects["mirror"].companions == {}


def test_a_circle_is_told_at_each_row_that_closes_it() -> None:
    name = "          - {ours: contact_name, theirs: LastName}\n"
    change = (name, f"{name}          - {{ours: record, theirs: Deal__c, transform: reference}}\n")
    told = problems(change)
    assert len(told) == 2
    assert all("in a circle, so that none can be first: " in each for each in told)
    lines = {line_of("theirs: Deal__c", change), line_of("theirs: ContactId", change)}
    assert {int(each.split(":")[1]) for each in told} == lines


@pytest.mark.parametrize(
    ("old", "new", "at", "words"),
    [
        ("      contact:", "      kontact:", "kontact:", "did you mean contact?"),
        ("missing: leave", "missing: ask", "missing: ask", "unknown missing 'ask'"),
        ("theirs: Email}", "theirs: Email, write: if_empty}", "Email, write", "unknown field 'write'"),
        (
            "          - {ours: contact_email, theirs: Email}\n", "", "fields:",
            "a contact is looked up by contact_email, which no row has",
        ),
        (
            "object: Contact", "object: Deal_Registration__c", "object: Deal_Registration__c",
            "is mapped twice",
        ),
        ("object: Account\n        key", "object: Customer__c\n        key", "object: Customer__c",
         "accounts are read from Account, and made in Customer__c"),
        (
            "theirs: ContactId, direction: push, write: on_create",
            "theirs: ContactId, direction: push", "theirs: ContactId",
            "a person may choose another one there",
        ),
        ("ours: record, theirs", "ours: kontact, theirs", "ours: kontact", "did you mean contact?"),
        ("{ours: customer_name, theirs: Name}", "{ours: account, theirs: Name}", "theirs: Name}",
         "these refer to each other in a circle, so that none can be first: account → account"),
    ],
)  # fmt: skip
def test_each_mistake_is_told(old: str, new: str, at: str, words: str) -> None:
    told = problems((old, new))
    assert any(words in each for each in told), told
    if at != "fields:":
        assert f"crm.yaml:{line_of(at, (old, new))}" in {each.split(": ")[0] for each in told}


def test_a_deal_cannot_refer_to_what_is_not_beside_it() -> None:
    whole = SHIPPED.read_text(encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        load(whole.replace(_DETAILS, f"{_DETAILS}        - {_CONTACT}\n", 1), "f", OURS, GROUPS)
    assert "we have no field 'contact'" in str(refused.value.problems[0])


def test_a_companion_is_held_against_its_own_schema() -> None:
    mapping = read()
    assert {"Contact", "OpportunityLineItem"} <= set(objects_of(mapping))
    email = FieldSchema("Email", FieldType.NUMBER)
    found = check(mapping, {"Contact": ObjectSchema("Contact", fields={"Email": email})})
    told = [str(problem) for problem in found.problems]
    where = line_of("missing: leave") - 1
    assert any(f"crm.yaml:{where}: Contact has no field Dealreg_Id__c" in each for each in told)
    assert any("Email is a number" in each for each in told)
    assert any("shows us no object OpportunityLineItem" in each for each in told)


def test_editors_and_the_sales_team_know_companions() -> None:
    data = YAML(typ="safe").load(text())
    assert fits(data, SCHEMA)
    data["objects"]["home"]["companions"]["contact"]["fields"][0]["write"] = "overwrite"
    assert not fits(data, SCHEMA)
    shown = page(read())
    assert "### Beside it, the line item: OpportunityLineItem" in shown
    assert "found by e-mail address. Where there is none, the deal goes without it." in shown


_REFERS_TO_PARTNER = (
    "      partner:\n        - {ours: partner, theirs: Partner__c, direction: push, "
    "write: on_create, transform: reference}\n"
)
WITH_PARTNER = ("      account:\n", f"{PARTNER}      account:\n")
REFERRED = (
    "      partner:\n        - {ours: partner_name",
    _REFERS_TO_PARTNER + "        - {ours: partner_name",
)


def test_a_partner_may_be_an_account_under_the_same_key_and_comes_before_the_deal() -> None:
    home = read(REFERRED, WITH_PARTNER).objects["home"]
    assert {each.name for each in home.before} == {"account", "contact", "partner"}
    assert home.companions["partner"].mark == "partner_code"
    data = YAML(typ="safe").load(text(REFERRED, WITH_PARTNER))
    assert fits(data, SCHEMA)
    assert "found by our key, else by code or name" in page(read(REFERRED, WITH_PARTNER))


@pytest.mark.parametrize(
    ("old", "new", "at", "words"),
    [
        ("ours: partner_code, theirs", "ours: customer_city, theirs", "customer_city",
         "a partner is looked up by partner_code or partner_name, which no row has"),
        ("key: Dealreg_Id__c\n        missing: wait", "key: Partner_Key__c\n        missing: wait",
         "object: Account", "Account is mapped twice"),
        ("theirs: Partner__c, direction: push, write: on_create", "theirs: Partner__c, direction: push",
         "theirs: Partner__c", "partner is written once"),
        ("theirs: Partner__c, direction: push, ", "theirs: Partner__c, ", "theirs: Partner__c",
         "partner only flows to the CRM"),
    ],
)  # fmt: skip
def test_each_mistake_about_a_partner_is_told(old: str, new: str, at: str, words: str) -> None:
    changes = (REFERRED, WITH_PARTNER, (old, new))
    told = problems(*changes)
    assert any(words in each for each in told), told
    assert f"crm.yaml:{line_of(at, *changes)}" in " ".join(told) or words.startswith("a partner")
