"""Expressions: what they may say, where each mistake is, and that nothing escapes them."""

from __future__ import annotations

from contextlib import suppress
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapping.expression_types import Flaw
from mapping.expressions import LENGTH_MAX, read_expression
from mapping.transforms import Untranslatable
from registration_core.contracts import FieldSchema, FieldType, ObjectSchema, Value
from tests.unit.mapping.catalogue import OURS

FIELDS = ObjectSchema(
    "registration",
    fields={
        **OURS.fields,
        "tags": FieldSchema("tags", FieldType.MULTI_PICKLIST, options=("new", "old")),
        "urgent": FieldSchema("urgent", FieldType.BOOLEAN),
    },
)


@pytest.mark.parametrize(
    ("source", "ours", "value"),
    [
        ('customer_name + " / " + product_line', {"customer_name": "Nordhafen"}, "Nordhafen /"),
        ('at_least(amount, "10000") ? "big" : "small"', {"amount": Decimal("10000.00")}, "big"),
        ('at_least(amount, "10000") ? "big" : "small"', {"amount": None}, "small"),
        ('text(amount) + " " + currency', {"amount": Decimal("0.10"), "currency": "EUR"}, "0.10 EUR"),
        ("upper(deal_name)", {"deal_name": "deal"}, "DEAL"),
        ('urgent ? "now" : ""', {"urgent": None}, None),
        ('tags.exists(t, t == "new")', {"tags": ("new", "old")}, True),
        ("size(tags)", {"tags": ("new", "old")}, Decimal(2)),
        ('expected_close_on < "2026-06-01" ? "soon" : "late"',
         {"expected_close_on": date(2026, 5, 31)}, "soon"),
        ('(tags + ["old"]).map(t, upper(t))[0]', {"tags": ("new",)}, "NEW"),
        ('-size(deal_name) % 3 >= -2 && !urgent || "é" == r"é" ? "a" : "b"', {}, "a"),
        ('tags + ["x"] == ["new", "x"] // why not\n ? "a" : "b"', {"tags": ("new",)}, "a"),
        ('customer_country in ["DE", "AT"] ? "DACH" : "rest"', {"customer_country": "AT"}, "DACH"),
    ],
)  # fmt: skip
def test_an_expression_computes_from_our_fields(
    source: str, ours: dict[str, Value], value: Value
) -> None:
    read = read_expression(source, FIELDS)
    assert read.value(ours) == value
    yielded = {str: FieldType.TEXT, bool: FieldType.BOOLEAN, Decimal: FieldType.NUMBER}
    assert value is None or read.type is yielded[type(value)]


@pytest.mark.parametrize(
    ("source", "line", "column", "what"),
    [
        ("deal_name +", 1, 12, "Syntax error"),
        ('deal_name +\n  custmer_name + ""', 2, 3, "we have no field 'custmer_name'"),
        ('"custmer_name" + deal_nam', 1, 18, "we have no field 'deal_nam'"),
        ("double(deal_name)", 1, 1, "there is no function double here"),
        ('deal_name + timestamp("2026-01-01T00:00:00Z")', 1, 13, "no function timestamp"),
        ("deal_name + 1.5", 1, 13, "a number with a fraction"),
        ('amount > "900" ? "a" : "b"', 1, 8, "> cannot take a number and a text"),
        ('amount + 1 == 2 ? "a" : "b"', 1, 8, "+ cannot take a number and a whole number"),
        ("amount", 1, 1, "yields a number"),
        ('deal_name == "" ? "x" : urgent', 1, 17, "yields a text or true or false"),
        ('at_least(amount, "much")', 1, 18, "'much' is no number"),
        (
            'deal_name +\n  (urgent ? "a" : "b") + 5',
            2,
            24,
            "+ cannot take a text and a whole number",
        ),
        ('product_line in ["a", "b"] ? "x" : 1', 1, 28, "yields a text or a whole number"),
        ('deal_name == 3 ? "a" : "b"', 1, 11, "== cannot take a text and a whole number"),
        ('deal_name ? "a" : "b"', 1, 11, "? asks for true or false, and gets a text"),
        ("deal_name.startsWith(3)", 1, 22, "startsWith takes a text, and gets a whole number"),
        ("startsWith(deal_name)", 1, 1, "startsWith stands behind a text"),
        ("at_least(amount)", 1, 1, "at_least takes 2 values, and gets 1"),
        ('tags.map(t, t + 1) == [] ? "a" : "b"', 1, 15, "+ cannot take a text and a whole number"),
        ('tags.exists(t, u == "new")', 1, 16, "we have no field 'u'"),
        ("deal_name[0]", 1, 10, "a text has no members"),
        ('{"a": deal_name}.a', 1, 1, "maps are not used here"),
        ('["a", 1].exists(x, x == "a")', 1, 7, "a list of texts has no room for a whole number"),
        ("tags", 1, 1, "yields a list of texts"),
        ("b'x' == b'y'", 1, 1, "is not understood here"),
        ("((((((((((deal_name))))))))))", 1, 9, "nested too deeply"),
        ("tags.map(t, tags.map(u, u))", 1, 17, "over lists more than once"),
        ("[" + ", ".join(["deal_name"] * 50) + "]", 1, 1, "characters"),
        ("[" + ",".join("1" * 230) + "]", 1, 1, "too many members"),
        ("null", 1, 1, "nothing is null here"),
        ("''", 1, 1, "never yields anything"),
        ("open('/etc/passwd')", 1, 1, "there is no function open here"),
        ("deal_name.__class__", 1, 11, "a text has no part __class__"),
    ],
)
def test_each_mistake_is_told_with_its_place(
    source: str, line: int, column: int, what: str
) -> None:
    with pytest.raises(Flaw) as flaw:
        read_expression(source, FIELDS)
    assert (flaw.value.line, flaw.value.column) == (line, column)
    assert what in flaw.value.what
    assert flaw.value.remedy


def test_a_value_that_breaks_an_expression_is_told_and_not_raised_on() -> None:
    found = read_expression('at_least(amount, deal_name) ? "a" : "b"', _with_number_names())
    with pytest.raises(Untranslatable, match="at_least cannot compare '5' and 'x'"):
        found.value({"amount": Decimal(5), "deal_name": "x"})


def _with_number_names() -> ObjectSchema:
    named = FieldSchema("deal_name", FieldType.PICKLIST, options=("1", "2"))
    return ObjectSchema("registration", fields={**OURS.fields, "deal_name": named})


@given(st.decimals(allow_nan=False, allow_infinity=False, places=2), st.integers(-(10**18), 10**18))
def test_money_is_compared_and_worded_exactly(amount: Decimal, limit: int) -> None:
    compared = read_expression(f'at_least(amount, "{limit}.01") ? "yes" : "no"', FIELDS)
    assert (compared.value({"amount": amount}) == "yes") is (amount >= Decimal(f"{limit}.01"))
    worded = read_expression("text(amount)", FIELDS).value({"amount": amount})
    assert Decimal(str(worded)) == amount


@given(st.text(max_size=LENGTH_MAX + 5))
def test_no_text_brings_the_reader_down(source: str) -> None:
    with suppress(Flaw):
        read_expression(source, FIELDS)
