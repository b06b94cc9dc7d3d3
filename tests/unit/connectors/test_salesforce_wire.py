"""Values to and from Salesforce's JSON and SOQL."""

from __future__ import annotations

import string
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.salesforce.wire import WireError, from_wire, is_id, to_18, to_wire
from registration_core.contracts import FieldSchema, FieldType, Value

TEXT = FieldSchema("Name", FieldType.TEXT)
MONEY = FieldSchema("Amount", FieldType.NUMBER, scale=2)
DAY = FieldSchema("CloseDate", FieldType.DATE)
TIME = FieldSchema("Seen__c", FieldType.DATETIME)
FLAG = FieldSchema("House_Account__c", FieldType.BOOLEAN)
SET = FieldSchema("Regions__c", FieldType.MULTI_PICKLIST)
LOOKUP = FieldSchema("AccountId", FieldType.REFERENCE)

_UTC_MILLISECONDS = st.datetimes(timezones=st.just(UTC)).map(
    lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000)
)
_OPTIONS = st.text(string.ascii_letters + " '", min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("short", "checksum"),
    [
        ("001D000000K0fXO", "IAZ"),
        ("00190000001pPvH", "AAU"),
        ("70130000001tcyI", "AAQ"),
        ("012000000000000", "AAA"),
    ],
)
def test_an_id_of_15_characters_gets_the_checksum_that_salesforce_gives_it(
    short: str, checksum: str
) -> None:
    assert to_18(short) == short + checksum
    assert to_18(short + checksum) == short + checksum


@pytest.mark.parametrize("text", ["", "001", "001D000000K0fX'", "001D000000K0fXOIA", "0" * 19])
def test_what_is_not_shaped_like_an_id_is_not_taken_for_one(text: str) -> None:
    assert not is_id(text)


@given(
    st.one_of(
        st.tuples(st.just(TEXT), st.text(string.printable, min_size=1).filter(str.strip)),
        st.tuples(st.just(MONEY), st.decimals(-(10**12), 10**12, places=2, allow_nan=False)),
        st.tuples(st.just(DAY), st.dates()),
        st.tuples(st.just(TIME), _UTC_MILLISECONDS),
        st.tuples(st.just(FLAG), st.booleans()),
        st.tuples(st.just(SET), st.sets(_OPTIONS, min_size=1).map(lambda s: tuple(sorted(s)))),
        st.tuples(st.just(LOOKUP), st.just("001D000000K0fXOIAZ")),
        st.tuples(st.sampled_from([TEXT, MONEY, DAY, TIME, SET, LOOKUP]), st.none()),
    )
)
def test_a_value_that_is_written_reads_back_the_same(case: tuple[FieldSchema, Value]) -> None:
    field, value = case

    assert from_wire(field, to_wire(field, value)) == value


def test_salesforces_own_spellings_are_read() -> None:
    assert from_wire(TIME, "2026-01-02T03:04:05.000+0000") == datetime(
        2026, 1, 2, 3, 4, 5, tzinfo=UTC
    )
    assert from_wire(MONEY, Decimal("1.25E8")) == Decimal("125000000.00")
    assert from_wire(MONEY, 19.999999999999996) == Decimal("20.00")
    assert from_wire(SET, "C;A;B") == ("A", "B", "C")
    assert from_wire(TEXT, "") is None
    assert from_wire(TEXT, "Cafe\u0301") == "Café"


def test_a_time_is_written_in_utc_and_without_a_plus_sign() -> None:
    oslo = datetime(2026, 1, 2, 4, 4, 5, tzinfo=timezone(timedelta(hours=1)))

    assert to_wire(TIME, oslo) == "2026-01-02T03:04:05.000Z"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (FLAG, None),
        (MONEY, "12"),
        (MONEY, Decimal("123456789012345678.91")),
        (DAY, datetime(2026, 1, 2, tzinfo=UTC)),
        (TEXT, True),
        (SET, ("a;b",)),
    ],
)
def test_a_value_that_the_field_cannot_hold_is_refused_with_the_fields_name(
    field: FieldSchema, value: Value
) -> None:
    with pytest.raises(WireError, match=field.name):
        to_wire(field, value)


@pytest.mark.parametrize(
    ("field", "raw"), [(FLAG, "true"), (DAY, "tomorrow"), (MONEY, "lots"), (TIME, "2026-01-02")]
)
def test_an_answer_that_is_no_such_value_is_an_error_and_not_a_guess(
    field: FieldSchema, raw: str
) -> None:
    with pytest.raises(WireError, match=field.name):
        from_wire(field, raw)
