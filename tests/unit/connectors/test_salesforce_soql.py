"""SOQL that the connector words: literals that nothing leaves, and no query that is too long."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.salesforce.soql import (
    QUERY_MAX,
    Asked,
    halves,
    length,
    one_of,
    parts,
    select,
    where,
)
from connectors.salesforce.wire import from_wire, literal
from registration_core.contracts import FieldSchema, FieldType, Value
from sandbox.salesforce.soql import Comparison, parse
from tests.unit.connectors.test_salesforce_wire import DAY, FLAG, LOOKUP, SET, TEXT

COLUMNS = [f"Column_{number}__c" for number in range(40)]
FRAME = select(COLUMNS, "Opportunity", "", "ORDER BY Id LIMIT 2000")
#: Text as long as a field of Salesforce holds; three bytes a character, nine in an address.
_WIDE = st.sampled_from("語話ß'\\\n\u2028 %a")
_TEXTS = st.builds(
    lambda seed, count, size: [f"{seed}{n}".ljust(size, seed) for n in range(count)],
    _WIDE, st.integers(0, 400), st.integers(1, 255),
)  # fmt: skip
_IDS = st.integers(0, 1500).map(lambda n: [f"001{number:012}" for number in range(n)])
_SETS = st.integers(0, 600).map(lambda n: [("Cooling", f"Option {number}") for number in range(n)])
_DAYS = st.integers(0, 1500).map(lambda n: [date.fromordinal(700_000 + day) for day in range(n)])
_LISTS: Sequence[tuple[FieldSchema, st.SearchStrategy[Sequence[Value]]]] = [
    (TEXT, _TEXTS), (LOOKUP, _IDS), (SET, _SETS), (DAY, _DAYS),
    (FLAG, st.lists(st.booleans(), max_size=2, unique=True)),
]  # fmt: skip
_ASKED = st.tuples(*(st.tuples(st.just(f), values.map(tuple)) for f, values in _LISTS)).flatmap(
    lambda pairs: st.permutations(pairs).map(lambda p: p[:3])
)


def _query(part: Sequence[Asked]) -> str:
    return select(COLUMNS, "Opportunity", where(tuple(part)), "ORDER BY Id LIMIT 2000")


@given(st.text(min_size=1, max_size=60))
def test_no_text_can_leave_its_literal(text: str) -> None:
    query = parse(select(["Id"], "Account", f"Name = {literal(TEXT, text)}"))

    assert isinstance(query.where, Comparison)
    (read_back,) = query.where.literals
    assert from_wire(TEXT, read_back) == from_wire(TEXT, text)


def test_a_literal_stands_on_one_line() -> None:
    assert literal(TEXT, "a\nb\u2028c\u2029'") == r"'a\nb\u2028c\u2029\''"


def test_empty_is_compared_with_null_and_joined_in_parentheses() -> None:
    assert one_of(TEXT, [None, "a"]) == "(Name = null OR Name = 'a')"
    assert one_of(FLAG, [True]) == "House_Account__c = true"
    assert one_of(SET, [("A", "B")]) == "Regions__c INCLUDES ('A;B')"
    assert (
        one_of(DAY, [date(2026, 1, 2), date(2026, 1, 3)]) == "CloseDate IN (2026-01-02,2026-01-03)"
    )
    assert one_of(TEXT, []) == "Id = null"


@given(_ASKED)
def test_no_query_is_too_long_whatever_is_asked(asked: Sequence[Asked]) -> None:
    assert all(length(_query(part)) <= QUERY_MAX for part in parts(asked, FRAME))


@given(_ASKED)
def test_every_combination_of_values_is_asked_for_exactly_once(asked: Sequence[Asked]) -> None:
    few = [(field, values[:60]) for field, values in asked]
    wide = FRAME + "x" * (QUERY_MAX - length(FRAME) - 9_000)

    told: Counter[tuple[Value, ...]] = Counter()
    for part in parts(few, wide):
        told.update(itertools.product(*(values for _, values in part)))

    assert told == Counter(itertools.product(*(values for _, values in few)))


@given(_ASKED)
def test_a_part_can_be_halved_until_one_value_is_left_of_each_condition(
    asked: Sequence[Asked],
) -> None:
    part = tuple((field, values[:20]) for field, values in asked)
    waiting, asked_for = [part], list[Asked]()
    whole = Counter(itertools.product(*(values for _, values in part)))
    told: Counter[tuple[Value, ...]] = Counter()
    while waiting:
        one = waiting.pop()
        both = halves(one)
        if both is None:
            asked_for += one
            told.update(itertools.product(*(values for _, values in one)))
        else:
            waiting += both

    assert told == whole
    assert all(len(values) <= 1 for _, values in asked_for)


def test_a_long_list_is_split_into_as_few_queries_as_hold_it() -> None:
    values = [f"value {number}" for number in range(2000)]

    split = list(parts([(TEXT, (*values, "VALUE 1"))], FRAME))

    assert [value for ((_, some),) in split for value in some] == values
    room = QUERY_MAX - length(FRAME)
    assert len(split) == -(-sum(length(f"'{value}',") for value in values) // (room - 100))


def test_words_that_are_one_to_no_org_are_all_asked_for() -> None:
    """Full case folding takes ß for ss, which is another word to Salesforce."""
    (((_, values),),) = parts([(TEXT, ("Straße", "Strasse", "STRASSE"))], FRAME)

    assert values == ("Straße", "Strasse")


@pytest.mark.parametrize("lists", [1, 2, 3])
def test_long_conditions_share_what_a_query_takes(lists: int) -> None:
    fields = [FieldSchema(f"Field_{n}__c", FieldType.TEXT) for n in range(lists)]
    values = tuple(f"value {number}" for number in range(600))
    short = (FLAG, (True,))

    split = list(parts([short, *((field, values) for field in fields)], FRAME))

    assert all(part[0] == short for part in split)
    assert max(length(_query(part)) for part in split) > QUERY_MAX * 0.9
