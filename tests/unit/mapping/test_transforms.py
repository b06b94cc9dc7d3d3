"""Every transform's laws, on generated values: written reads back, read writes back."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapping.transform_files import TRANSFORMS
from mapping.transforms import (
    Boolean,
    Copy,
    Date,
    Enum,
    Number,
    Reference,
    Text,
    Transform,
    Untranslatable,
)
from registration_core.contracts import Fields, FieldType, Value

STAGES = Enum(
    (
        ("early", (("Prospecting",), ("Qualification",))),
        ("late", (("Negotiation",),)),
        ("won", (("Closed Won",),)),
    )
)
STATES = Enum((("early", (("0", "0"), ("0", "1"))), ("won", (("1", "*"),))))

texts = st.text(max_size=20)
numbers = st.decimals(
    min_value=-(10**12), max_value=10**12, allow_nan=False, allow_infinity=False, places=6
)
days = st.dates(min_value=date(1970, 1, 1), max_value=date(2200, 1, 1))
moments = st.datetimes(
    min_value=datetime(1970, 1, 1),  # noqa: DTZ001
    max_value=datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-7)), timezone(timedelta(hours=9))]),
)
ids = st.text("abcXYZ0123456789-", min_size=1, max_size=36)

#: Transform, values of ours, values of theirs (a tuple where it takes several fields).
LENSES: dict[str, tuple[Transform, st.SearchStrategy[Value], st.SearchStrategy[object]]] = {
    "copy text": (Copy(FieldType.TEXT), texts, texts),
    "copy number": (Copy(FieldType.NUMBER), numbers, numbers),
    "copy boolean": (Copy(FieldType.BOOLEAN), st.booleans(), st.booleans()),
    "copy moment": (Copy(FieldType.DATETIME), moments, moments),
    "text": (Text(7), texts, texts),
    "text upper": (Text(3, "upper"), texts, texts),
    "text lower": (Text(5, "lower"), texts, texts),
    "date": (Date(), days, days),
    "date as datetime": (Date(as_datetime=True), days, moments),
    "money": (Number(2, "money"), numbers, numbers),
    "number": (Number(0), numbers, numbers),
    "boolean": (Boolean("Yes", "No"), st.booleans(), st.sampled_from(["Yes", "No"])),
    "reference": (Reference(), ids, ids),
    "enum": (
        STAGES,
        st.sampled_from(["early", "late", "won"]),
        st.sampled_from(["Prospecting", "Qualification", "Negotiation", "Closed Won"]),
    ),
    "enum of two fields": (
        STATES,
        st.sampled_from(["early", "won"]),
        st.sampled_from([("0", "0"), ("0", "1"), ("1", "0"), ("1", "7")]),
    ),
}


def names_of(transform: Transform) -> tuple[str, ...]:
    return ("state", "stage") if transform is STATES else ("field",)


def written(transform: Transform, ours: Value, before: Fields | None = None) -> Fields:
    return {**(before or {}), **transform.write(ours, names_of(transform))}


def read(transform: Transform, theirs: Fields) -> Value:
    return transform.read([theirs.get(name) for name in names_of(transform)])


def test_every_transform_a_file_may_name_has_its_laws_tested() -> None:
    assert {name.split()[0] for name in LENSES} == set(TRANSFORMS)


@pytest.mark.parametrize("lens", LENSES)
@given(data=st.data())
def test_what_is_written_reads_back_as_its_canonical_form(lens: str, data: st.DataObject) -> None:
    transform, ours, _ = LENSES[lens]
    value = data.draw(ours)
    canonical = read(transform, written(transform, value))
    assert read(transform, written(transform, canonical)) == canonical
    assert written(transform, canonical) == written(transform, value)


@pytest.mark.parametrize("lens", LENSES)
@given(data=st.data())
def test_writing_what_was_read_does_not_change_what_is_read(lens: str, data: st.DataObject) -> None:
    transform, _, theirs = LENSES[lens]
    drawn = data.draw(theirs)
    values = drawn if isinstance(drawn, tuple) else (drawn,)
    before = dict(zip(names_of(transform), values, strict=True))
    value = read(transform, before)
    assert read(transform, written(transform, value, before)) == value


@pytest.mark.parametrize("lens", [name for name in LENSES if name != "enum of two fields"])
@pytest.mark.parametrize("empty", [None, "", ()])
def test_empty_stands_for_empty(lens: str, empty: Value) -> None:
    transform = LENSES[lens][0]
    assert transform.read([empty]) is None
    assert transform.write(empty, ["field"]) == {"field": None}


def test_a_field_that_does_not_matter_is_not_written_and_reads_as_anything() -> None:
    assert STATES.write("won", ["state", "stage"]) == {"state": "1"}
    assert STATES.read(["1", None]) == STATES.read(["1", "3"]) == "won"


@pytest.mark.parametrize(
    ("transform", "ours", "theirs"),
    [
        (Copy(FieldType.TEXT), "  Cafe\u0301 ", "Caf\u00e9"),
        (Copy(FieldType.TEXT), "   ", None),
        (Text(5), "Borealis Cold", "Borea"),
        (Text(6), "Cold  Storage", "Cold"),
        (Text(3, "upper"), "usd", "USD"),
        (Number(2, "money"), Decimal("10.005"), Decimal("10.00")),
        (Number(2, "money"), Decimal("10.015"), Decimal("10.02")),
        (Number(0), Decimal("-0.4"), Decimal(0)),
        (Date(as_datetime=True), date(2026, 3, 1), datetime(2026, 3, 1, tzinfo=UTC)),
        (Boolean("Ja", "Nein"), False, "Nein"),
        (STAGES, "early", "Prospecting"),
    ],
)
def test_values_are_written_in_canonical_form(
    transform: Transform, ours: Value, theirs: Value
) -> None:
    assert transform.write(ours, ["field"]) == {"field": theirs}


def test_a_moment_is_read_as_its_day_in_utc() -> None:
    evening = datetime(2026, 3, 1, 20, tzinfo=timezone(timedelta(hours=-7)))
    assert Date(as_datetime=True).read([evening]) == date(2026, 3, 2)


def test_text_keeps_a_star() -> None:
    assert Text(5).write("*", ["field"]) == {"field": "*"}


@pytest.mark.parametrize(
    ("transform", "theirs", "said"),
    [
        (STAGES, ("Perception Analysis",), "is not listed in the mapping"),
        (STATES, ("0", "9"), "is not listed in the mapping"),
        (Boolean("Yes", "No"), ("Maybe",), "is not listed in the mapping"),
        (Number(2), ("12",), "is text, where a number is expected"),
        (Number(2), (True,), "is a boolean, where a number is expected"),
        (Number(2), (Decimal("Infinity"),), "is a number, where a number is expected"),
        (Number(2), (Decimal("1e40"),), "has too many digits"),
        (Date(), ("2026-01-01",), "is text, where a date is expected"),
        (Copy(FieldType.DATE), (datetime(2026, 1, 1, tzinfo=UTC),), "is a date and time"),
        (Copy(FieldType.BOOLEAN), ("true",), "is text, where a boolean is expected"),
        (Text(5), (Decimal(5),), "is a number, not text"),
        (Reference(), ("two words",), "is not a record id"),
    ],
)
def test_what_has_no_counterpart_is_refused(
    transform: Transform, theirs: tuple[Value, ...], said: str
) -> None:
    with pytest.raises(Untranslatable, match=said):
        transform.read(theirs)


@pytest.mark.parametrize("ours", ["unknown", None])
def test_an_enum_of_two_fields_writes_only_what_it_lists(ours: Value) -> None:
    with pytest.raises(Untranslatable):
        STATES.write(ours, ["state", "stage"])
