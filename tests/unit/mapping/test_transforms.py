"""Every transform's laws, on generated values: written reads back, read writes back."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapping.transform_files import TRANSFORMS
from mapping.transforms import (
    Boolean,
    Copy,
    Country,
    Date,
    Default,
    Domain,
    Enum,
    Join,
    JsonList,
    Moment,
    Multi,
    Number,
    Phone,
    Reference,
    Split,
    State,
    Text,
    TextList,
    Transform,
    Untranslatable,
    Url,
)
from mapping.transforms.places import states
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

sets = st.lists(st.text("ab c;\u00e9", min_size=1, max_size=5), max_size=4).map(tuple)
sets_without_separator = st.lists(st.text("ab c\u00e9", min_size=1, max_size=5), max_size=4).map(
    tuple
)
listed = st.lists(st.sampled_from(["licence", "support"]), max_size=4).map(tuple)
numbers_to_call = st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True)
written_numbers = st.sampled_from(
    [
        "+49 (0)30 1234-567",
        "0049 30 1234567",
        "030 / 123 45 67",
        "(030) 1234567",
        "+1 (212) 555.0100",
    ]
)
hosts = st.from_regex(r"[a-z0-9]{1,9}(-[a-z0-9]{1,5})?\.(example|co\.example)", fullmatch=True)
addresses = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "http://", "HTTPS://", "https://www."]),
    hosts,
    st.sampled_from(["", "/", "/about", ":443/", ":8443/a?b=c#d", "/%C3%A9"]),
)
BERLIN, SAO_PAULO, APIA = map(ZoneInfo, ("Europe/Berlin", "America/Sao_Paulo", "Pacific/Apia"))
PRODUCTS = Multi((("licence", ("Licence", "License")), ("support", ("Support",))))

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
    "boolean": (
        Boolean(("Yes", "Y"), ("No",)),
        st.booleans(),
        st.sampled_from(["Yes", "Y", "No"]),
    ),
    "copy set": (Copy(FieldType.MULTI_PICKLIST), sets, sets),
    "date in Berlin": (Date(as_datetime=True, zone=BERLIN), days, moments),
    "date where midnight is missing": (Date(as_datetime=True, zone=SAO_PAULO), days, moments),
    "date where a day is missing": (Date(as_datetime=True, zone=APIA), days, moments),
    "datetime": (Moment(), moments, moments),
    "datetime to the minute": (Moment("minute"), moments, moments),
    "datetime as date": (Moment(as_date=True, zone=BERLIN), moments, days),
    "multi": (PRODUCTS, listed, st.sampled_from([("Licence",), ("License", "Support"), ()])),
    "list": (TextList(";"), sets_without_separator, st.text("ab; ", max_size=9)),
    "json_list": (JsonList(), sets, st.sampled_from(['["b", "a", "a "]', "[]", '[""]'])),
    "split": (Split(";", 2), texts, st.text("ab; ", max_size=9)),
    "join": (
        Join(" "),
        st.text("ab  ", max_size=9),
        st.tuples(st.text("ab ", max_size=4), st.text("ab ", max_size=4)),
    ),
    "country": (
        Country(),
        st.sampled_from(["DE", "US", "gb"]),
        st.sampled_from(["DE", "USA", "france", "U.S.", "T\u00fcrkiye"]),
    ),
    "country name": (
        Country("name"),
        st.sampled_from(["DE", "US", "GB"]),
        st.sampled_from(["DE", "USA", "United Kingdom"]),
    ),
    "state": (
        State("US", "name"),
        st.sampled_from(["CA", "ny"]),
        st.sampled_from(["US-CA", "california", "NY"]),
    ),
    "phone": (Phone("49", "0"), numbers_to_call, written_numbers | numbers_to_call),
    "url": (Url(), addresses, addresses),
    "domain": (Domain(), addresses | hosts.map("sales@{}".format), addresses),
    "default": (Default("Acme", Text(9)), texts | st.none(), texts),
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
    return ("state", "stage") if transform.several and transform is not STAGES else ("field",)


def written(transform: Transform, ours: Value, before: Fields | None = None) -> Fields:
    return {**(before or {}), **transform.write(ours, names_of(transform))}


def read(transform: Transform, theirs: Fields) -> Value:
    return transform.read([theirs.get(name) for name in names_of(transform)])


def test_every_transform_a_file_may_name_has_its_laws_tested() -> None:
    assert {name.split()[0] for name in LENSES} == set(TRANSFORMS)


#: What may only flow one way keeps no law both ways; below is why.
TWO_WAY = [name for name, (transform, _, _) in LENSES.items() if transform.one_way is None]


@pytest.mark.parametrize("lens", TWO_WAY)
@settings(max_examples=40)
@given(data=st.data())
def test_what_is_written_reads_back_as_its_canonical_form(lens: str, data: st.DataObject) -> None:
    transform, ours, _ = LENSES[lens]
    value = data.draw(ours)
    canonical = transform.canonical(value, names_of(transform))
    assert read(transform, written(transform, value)) == canonical
    assert read(transform, written(transform, canonical)) == canonical
    assert written(transform, canonical) == written(transform, value)


@pytest.mark.parametrize("lens", LENSES)
@settings(max_examples=40)
@given(data=st.data())
def test_a_canonical_form_stays_as_it_is(lens: str, data: st.DataObject) -> None:
    transform, ours, _ = LENSES[lens]
    canonical = transform.canonical(data.draw(ours), names_of(transform))
    assert transform.canonical(canonical, names_of(transform)) == canonical


@pytest.mark.parametrize("lens", TWO_WAY)
@settings(max_examples=40)
@given(data=st.data())
def test_writing_what_was_read_does_not_change_what_is_read(lens: str, data: st.DataObject) -> None:
    transform, _, theirs = LENSES[lens]
    drawn = data.draw(theirs)
    several = transform.several and isinstance(drawn, tuple)
    values: Any = drawn if several else (drawn,)
    before = dict(zip(names_of(transform), values, strict=True))
    value = read(transform, before)
    assert read(transform, written(transform, value, before)) == value


@pytest.mark.parametrize(
    "lens", [n for n in LENSES if n not in ("enum of two fields", "join", "default")]
)
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
        (Boolean(("Ja", "J"), ("Nein",)), False, "Nein"),
        (STAGES, "early", "Prospecting"),
        (Copy(FieldType.MULTI_PICKLIST), ("b", " a", "b"), ("a", "b")),
        (
            Date(as_datetime=True, zone=BERLIN),
            date(2026, 7, 1),
            datetime(2026, 6, 30, 22, tzinfo=UTC),
        ),
        (
            Moment("minute"),
            datetime(2026, 3, 1, 9, 5, 59, 7, UTC),
            datetime(2026, 3, 1, 9, 5, tzinfo=UTC),
        ),
        (
            Moment(as_date=True, zone=BERLIN),
            datetime(2026, 3, 1, 23, 30, tzinfo=UTC),
            date(2026, 3, 2),
        ),
        (PRODUCTS, ("support", "licence"), ("Licence", "Support")),
        (TextList("; "), ("b", "a"), "a; b"),
        (JsonList(), ("\u00e9", "a"), '["a", "\u00e9"]'),
        (Country(), "germany", "DE"),
        (Country("alpha3"), "GB", "GBR"),
        (Country("name"), "KR", "South Korea"),
        (State("US", "name"), "NY", "New York"),
        (State("CA"), "quebec", "QC"),
        (Phone(), "0044 20 7946 0000", "+442079460000"),
        (Phone("49", "0"), "(030) 1234 567", "+49301234567"),
        (Phone("39"), "06 1234 5678", "+390612345678"),
        (Phone("49", "0"), "+49 (0)30 1234567", "+49301234567"),
        (Url(), "WWW.Acme.example/", "https://www.acme.example"),
        (Url(), "http://acme.example:80/Shop?x=1#top", "http://acme.example/Shop?x=1"),
        (Url(), "https://b\u00fccher.example", "https://xn--bcher-kva.example"),
        (Domain(), "https://www.Acme.example:8443/about", "acme.example"),
        (Domain(), "ann@acme.example", "acme.example"),
        (Default("Acme", Text(9)), None, "Acme"),
        (Default("Acme", Text(9)), " ", "Acme"),
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
        (Boolean(("Yes",), ("No",)), ("Maybe",), "is not listed in the mapping"),
        (Number(2), ("12",), "is text, where a number is expected"),
        (Number(2), (True,), "is a boolean, where a number is expected"),
        (Number(2), (Decimal("Infinity"),), "is a number, where a number is expected"),
        (Number(2), (Decimal("1e40"),), "has too many digits"),
        (Date(), ("2026-01-01",), "is text, where a date is expected"),
        (Copy(FieldType.DATE), (datetime(2026, 1, 1, tzinfo=UTC),), "is a date and time"),
        (Copy(FieldType.BOOLEAN), ("true",), "is text, where a boolean is expected"),
        (Text(5), (Decimal(5),), "is a number, not text"),
        (Reference(), ("two words",), "is not a record id"),
        (PRODUCTS, (("Hardware",),), "has 'Hardware', which is not listed"),
        (JsonList(), ("[1]",), "is not a JSON list of texts"),
        (JsonList(), ("[" * 100_000,), "is not JSON"),
        (Country(), ("Deutschland",), "is no country we know"),
        (State("US"), ("Bavaria",), "is no state of US we know"),
        (Phone(), ("030 1234567",), "has no country calling code"),
        (Phone(), ("+49 30 1234567 ext. 5",), "is not a phone number that E.164 can write"),
        (Phone(), ("+49 30",), "has 4 digits, which no phone number has"),
        (Phone(), ("+0301234567",), "is not a phone number"),
        (Url(), ("javascript:alert(1)",), "is not a web address"),
        (Url(), ("https://ann:secret@acme.example",), "is not a web address"),
        (Url(), ("not an address",), "is not a web address"),
        (Url(), ("https://acme.example:port",), "is not a web address"),
        (Domain(), ("localhost",), "is not a web address"),
        (Moment(), (date(2026, 1, 1),), "is a date, where a datetime is expected"),
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


def test_a_member_that_holds_the_separator_is_not_written() -> None:
    with pytest.raises(Untranslatable, match="has a member that holds the separator"):
        TextList(";").write(("a;b",), ["field"])
    assert TextList(" ").write(("a", "b"), ["field"]) == {"field": "a b"}


def test_two_way_join_would_move_words_between_fields() -> None:
    names = ["first", "last"]
    assert Join(" ").read(["Mary Ann", "Lee"]) == "Mary Ann Lee"
    assert Join(" ").write("Mary Ann Lee", names) == {"first": "Mary", "last": "Ann Lee"}
    assert Join(" ").write("Lee", names) == {"first": "Lee", "last": None}
    assert Join(" ").one_way is not None


def test_a_part_of_a_text_is_read_and_never_written() -> None:
    assert Split(",", 2).read(["Berlin, Germany"]) == "Germany"
    assert Split(",", 3).read(["Berlin, Germany"]) is None
    with pytest.raises(Untranslatable, match="cannot be written alone"):
        Split(",", 2).write("Germany", ["field"])


def test_every_country_and_state_has_its_own_code_and_name() -> None:
    for form in ("alpha2", "alpha3", "name"):
        country = Country(form)
        written_forms = [country.write(code, ["f"])["f"] for code in ("DE", "DO", "DM", "CD", "CG")]
        assert len(set(written_forms)) == 5
        assert [country.read([f]) for f in written_forms] == ["DE", "DO", "DM", "CD", "CG"]
    assert (len(states("US")), len(states("CA")), len(states("AU"))) == (56, 13, 8)
