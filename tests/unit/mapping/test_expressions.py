"""Expressions: what they may say, where each mistake is, and that nothing escapes them."""

from __future__ import annotations

from contextlib import suppress
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapping.expressions import LENGTH_MAX, Flaw, read_expression
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
        ('customer_country in ["DE", "AT"] ? "DACH" : "rest"', {"customer_country": "AT"}, "DACH"),
    ],
)  # fmt: skip
def test_an_expression_computes_from_our_fields(
    source: str, ours: dict[str, Value], value: Value
) -> None:
    assert read_expression(source, FIELDS).value(ours) == value


@pytest.mark.parametrize(
    ("source", "line", "column", "what"),
    [
        ("deal_name +", 1, 12, "Syntax error"),
        ('deal_name +\n  custmer_name + ""', 2, 3, "we have no field 'custmer_name'"),
        ('"custmer_name" + deal_nam', 1, 18, "we have no field 'deal_nam'"),
        ("double(deal_name)", 1, 1, "there is no function double here"),
        ('deal_name + timestamp("2026-01-01T00:00:00Z")', 1, 13, "no function timestamp"),
        ("deal_name + 1.5", 1, 13, "a number with a fraction"),
        ('amount > "900" ? "a" : "b"', 1, 1, "No such overload"),
        ('amount + 1 == 2 ? "a" : "b"', 1, 1, "map + int"),
        ("amount", 1, 1, "yields dict"),
        ('deal_name == "" ? "x" : urgent', 1, 1, "yields boolean or text"),
        ('at_least(amount, "much")', 1, 1, "at_least cannot compare"),
        ("((((((((((deal_name))))))))))", 1, 9, "nested too deeply"),
        ("tags.map(t, tags.map(u, u))", 1, 17, "over lists more than once"),
        ("[" + ", ".join(["deal_name"] * 50) + "]", 1, 1, "characters"),
        ("[" + ",".join("1" * 230) + "]", 1, 1, "too many members"),
        ("null", 1, 1, "yields NoneType"),
        ("''", 1, 1, "never yields anything"),
        ("open('/etc/passwd')", 1, 1, "there is no function open here"),
        ("deal_name.__class__", 1, 1, ""),
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
