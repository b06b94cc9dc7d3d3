"""What is written is what is read, and equal values are one text."""

from __future__ import annotations

import unicodedata
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from registration_core.contracts import Value
from registration_core.store.types import dump_fields, is_exact, load_fields, plain

ZONES = st.sampled_from(
    [UTC, timezone(timedelta(hours=5, minutes=30)), timezone(-timedelta(hours=8))]
)
VALUES: st.SearchStrategy[Value] = st.one_of(
    st.none(),
    st.booleans(),
    st.text(max_size=20).map(lambda text: unicodedata.normalize("NFC", text)),
    st.decimals(allow_nan=False, allow_infinity=False, places=4),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**40), max_value=10**40),
    st.dates(),
    st.datetimes(timezones=ZONES, min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1)),  # noqa: DTZ001 - bounds are naive
    st.lists(st.text(max_size=5)).map(tuple),
)


@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=5))
def test_fields_come_back_with_their_types_and_values(fields: dict[str, Value]) -> None:
    loaded = load_fields(dump_fields(fields))
    assert loaded == fields
    assert {n: type(v) for n, v in loaded.items()} == {n: type(v) for n, v in fields.items()}


@given(st.decimals(allow_nan=False, allow_infinity=False), st.integers(0, 6))
@example(Decimal("-0"), 0)
@example(Decimal("1E+3"), 2)
@example(Decimal("1E+30"), 0)
def test_equal_numbers_are_written_as_one_text(number: Decimal, zeros: int) -> None:
    longer = Decimal(f"{number:f}" + ("" if "." in f"{number:f}" else ".") + "0" * zeros)
    assert longer == number
    assert dump_fields({"n": longer}) == dump_fields({"n": number})
    assert "E" not in str(plain(number)).upper() or abs(number) < Decimal("1e-6")


def test_the_same_instant_in_two_zones_is_written_as_one_text() -> None:
    here = datetime(2031, 3, 4, 15, 0, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    assert dump_fields({"t": here}) == dump_fields({"t": datetime(2031, 3, 4, 9, 30, tzinfo=UTC)})


def test_the_order_of_fields_is_not_written() -> None:
    one, two = Decimal(1), date(2031, 3, 4)
    assert dump_fields({"a": one, "b": two}) == dump_fields({"b": two, "a": one})


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time without a zone"):
        dump_fields({"t": datetime(2031, 3, 4)})  # noqa: DTZ001 - naive is the point


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_is_not_a_number_is_refused(number: str) -> None:
    with pytest.raises(ValueError, match="not a number"):
        dump_fields({"n": Decimal(number)})


@pytest.mark.parametrize(
    ("number", "exact"),
    [
        ("1.2345", True),
        ("1.23450000", True),
        ("1.23456", False),
        ("1E+9", True),
        ("-0.0001", True),
        ("NaN", False),
        ("Infinity", False),
    ],
)
def test_an_amount_has_at_most_four_decimals(number: str, exact: bool) -> None:
    assert is_exact(Decimal(number)) is exact
