"""The values of a mapping's rows held against what the CRM's fields take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from mapping.check import SchemaReport, check
from mapping.loader import load
from registration_core.contracts import FieldSchema, ObjectSchema
from tests.unit.mapping.catalogue import GROUPS, OURS
from tests.unit.mapping.test_check import FILE, ORG, P, T, field


def checked(row: str, changed: FieldSchema, known: Mapping[str, tuple[str, ...]]) -> SchemaReport:
    """Check with a row of ours in the place of the description's, and what our fields may hold."""
    old = "{ours: description, theirs: Description, direction: push, write: on_create}"
    org = {name: dict(of_object) for name, of_object in ORG.items()}
    org["Opportunity"]["Description"] = changed
    schemas = {
        name: ObjectSchema(name, fields={f: replace(s, name=f) for f, s in of_object.items()})
        for name, of_object in org.items()
    }
    return check(load(FILE.replace(old, row), "crm.yaml", OURS, GROUPS), schemas, values=known)


LINES = {"product_line": ("platform", "support")}


@pytest.mark.parametrize(
    ("row", "changed", "problems", "warnings"),
    [
        (
            "{ours: product_line, theirs: Description, direction: push}",
            field(P, options=("platform", "hardware")),
            ["Description has no value 'support' (it has: platform, hardware)"],
            [],
        ),
        (
            "{ours: product_line, theirs: Description, direction: push, transform: {text: {max: 9, case: upper}}}",
            field(P, options=("PLATFORM", "SUPPORT")),
            [],
            [],
        ),
        (
            "{ours: product_line, theirs: Description, direction: push, transform: {enum: {platform: P}}}",
            field(P, options=("P",)),
            [],
            ['product_line may be support, for which the table has nothing: such a deal waits (add it, or "*")'],
        ),
        (
            "{ours: product_line, theirs: Description, direction: push, transform: {enum: {platform: P, '*': P}}}",
            field(P, options=("P",)),
            [],
            [],
        ),
        (
            "{ours: customer_city, theirs: Description, direction: push}",
            field(P, options=("Berlin", "Rome")),
            [],
            [("Description takes Berlin, Rome alone, and customer_city is any text: another is refused "
             "(list them: transform: {enum: {…}}, or direction: pull)")],
        ),
        ("{ours: product_line, theirs: Description, direction: push}", field(T, length=7),
         [("Description takes 7 characters, and product_line may have 8 (transform: {text: {max: 7}}, "
          "or a longer field)")], []),
        (
            "{ours: customer_city, theirs: Description}",
            field(T, required=True),
            [("Description must not be empty there, and customer_city may be (direction: pull; or "
             "direction: push with transform: {default: {value: …}})")],
            [],
        ),
        (
            "{ours: customer_city, theirs: Description, direction: push}",
            field(T, required=True),
            [],
            [("Description must not be empty there, and customer_city may be: such a deal is refused "
             "(transform: {default: {value: …}}, or another field)")],
        ),
        (
            "{ours: customer_city, theirs: Description, direction: push, transform: {default: {value: none}}}",
            field(T, required=True),
            [],
            [],
        ),
        ("{ours: customer_name, theirs: Description}", field(T, required=True), [], []),
    ],
)  # fmt: skip
def test_every_value_that_ours_may_have_is_held_against_what_theirs_takes(
    row: str, changed: FieldSchema, problems: list[str], warnings: list[str]
) -> None:
    found = checked(row, changed, LINES)
    assert [str(p) for p in found.problems] == [f"crm.yaml:26: {each}" for each in problems]
    assert [str(p) for p in found.warnings] == [f"crm.yaml:26: {each}" for each in warnings]
