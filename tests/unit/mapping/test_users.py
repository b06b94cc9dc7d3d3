"""What may be said of the user that rows refer to, and every mistake with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

import config
from mapping.check import objects_of
from mapping.loader import load
from mapping.page import html_page, page
from mapping.schema import ConnectionMapping, Missing
from registration_core.errors import ConfigurationError
from tests.unit.mapping.catalogue import GROUPS, OURS
from tests.unit.mapping.test_json_schema import SCHEMA, fits

SHIPPED = Path(config.__file__).parent / "mappings" / "salesforce.yaml"
_BEFORE = "    groups:\n      identity:"
USER = """\
    companions:
      user:
        email: {ours: customer_country, transform: $owners}
        missing: leave
"""
_LINE_ITEM = """\
      line_item:
        object: OpportunityLineItem
        key: Dealreg_Id__c
        fields:
          - {ours: record, theirs: OpportunityId, transform: reference}
"""
_REFERS = "- {ours: user, theirs: OwnerId, direction: push, write: on_create, transform: reference}"
_OWNER = "      owner:\n"


def text(*changes: tuple[str, str]) -> str:
    whole = SHIPPED.read_text(encoding="utf-8")
    whole = whole.replace(
        "objects:\n", "shared:\n  owners: {enum: {DE: a@x.example}}\nobjects:\n", 1
    )
    whole = whole.replace(_BEFORE, USER + _BEFORE, 1)
    whole = whole.replace(_OWNER, f"{_OWNER}        {_REFERS}\n", 1)
    for old, new in changes:
        assert old in whole
        whole = whole.replace(old, new, 1)
    return whole


def read(*changes: tuple[str, str]) -> ConnectionMapping:
    return load(text(*changes), "crm.yaml", OURS, GROUPS)


def line_of(words: str, *changes: tuple[str, str]) -> int:
    return next(n for n, line in enumerate(text(*changes).splitlines(), 1) if words in line)


def test_a_user_is_looked_for_and_nothing_is_made() -> None:
    home = read().objects["home"]
    assert home.user is not None
    assert home.user.missing is Missing.LEAVE
    assert home.companions == {}
    assert "" not in objects_of(read())
    assert read(("        missing: leave\n", "")).objects["home"].user.missing is Missing.WAIT  # type: ignore[union-attr]
    assert read().objects["mirror"].user is None


@pytest.mark.parametrize(
    "email",
    ["contact_email", "{ours: contact_email}", "{expression: 'lower(contact_email)'}",
     "{ours: contact_email, transform: {text: {max: 80, case: lower}}}"],
)  # fmt: skip
def test_an_address_is_a_field_a_table_or_an_expression(email: str) -> None:
    changed = read(("{ours: customer_country, transform: $owners}", email))
    assert changed.objects["home"].user is not None


@pytest.mark.parametrize(
    ("old", "new", "at", "words"),
    [
        ("email: {ours: customer_country, transform: $owners}", "email: contact_mail",
         "email: contact_mail", "did you mean contact_email?"),
        ("email: {ours: customer_country, transform: $owners}", "email: [contact_email]",
         "email: [contact_email]", "email says which address to look for"),
        ("email: {ours: customer_country, transform: $owners}", "email: owner",
         "email: owner", "owner is a reference, no address"),
        ("email: {ours: customer_country, transform: $owners}", "email: user",
         "email: user", "we have no field 'user'"),
        ("        email: {ours: customer_country, transform: $owners}\n", "",
         "      user:", "email says which address to look for"),
        ("transform: $owners}", "theirs: Email}", "theirs: Email", "unknown field 'theirs'"),
        ("transform: $owners}", "transform: $owner}", "$owner}", "did you mean owners?"),
        ("missing: leave", "missing: create", "missing: create", "one of: wait, leave"),
        ("missing: leave", "object: User", "object: User", "unknown field 'object'"),
        (_REFERS, _REFERS.replace(", write: on_create", ""), "ours: user",
         "user is written once: a person may choose another one there (write: on_create)"),
        (_REFERS, _REFERS.replace("on_create", "if_empty"), "ours: user", "user is written once"),
        (_REFERS, _REFERS.replace(" direction: push,", ""), "ours: user",
         "user only flows to the CRM (direction: push)"),
        (_REFERS + "\n", "- {ours: owner, theirs: Owner__c}\n", "      user:",
         "no row refers to the user"),
        ("      name:\n", "      name:\n        " + _REFERS.replace("OwnerId", "Rep__c") + "\n",
         "theirs: Rep__c",
         "user is not in group name (move the row to owner)"),
        ("        missing: leave\n", _LINE_ITEM + "          - " + _REFERS[2:].replace(
            " direction: push, write: on_create,", "") + "\n",
         "{ours: user, theirs: OwnerId, transform", "this comes after it"),
    ],
)  # fmt: skip
def test_each_mistake_is_told(old: str, new: str, at: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read((old, new))
    told = [str(problem) for problem in refused.value.problems]
    assert any(words in each for each in told), told
    assert f"crm.yaml:{line_of(at, (old, new))}" in {each.split(": ")[0] for each in told}, told


def test_editors_and_the_sales_team_know_the_user() -> None:
    data = YAML(typ="safe").load(text())
    assert fits(data, SCHEMA)
    user = data["objects"]["home"]["companions"]["user"]
    for wrong in ({**user, "missing": "create"}, {"missing": "wait"}, {"email": "no_such_field"}):
        data["objects"]["home"]["companions"]["user"] = wrong
        assert not fits(data, SCHEMA)
    for right in ("contact_email", {"expression": "lower(contact_email)"}):
        data["objects"]["home"]["companions"]["user"] = {"email": right}
        assert fits(data, SCHEMA)
    shown = page(read())
    assert "### Beside it, the user\n" in shown
    assert "found by e-mail address; none is ever made. Where there is none, the deal goes" in shown
    assert "a@x.example" in html_page(read())
