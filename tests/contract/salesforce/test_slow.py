"""Queries of Salesforce that are too much at once: less is asked for, down to a floor."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest

from connectors.errors import CrmUnavailable
from connectors.port import ConnectionSettings, CrmConnector
from connectors.salesforce import asking
from connectors.salesforce.connector import SalesforceConnector
from registration_core.contracts import Condition
from sandbox.salesforce.engine import SalesforceOrg
from sandbox.salesforce.errors import SalesforceError
from sandbox.salesforce.reading import Page
from sandbox.serving import Running
from tests.contract.peers import Timepiece
from tests.contract.salesforce import KEY, OPPORTUNITY, create, drain, item, seen


@pytest.fixture
def connector(settings: ConnectionSettings, timepiece: Timepiece) -> CrmConnector:
    """The connector under test."""
    return SalesforceConnector(settings, timepiece)


class Slow:
    """An org that is too slow for more than so many rows or values in one query."""

    def __init__(self, org: SalesforceOrg) -> None:
        self.code, self.most = "QUERY_TIMEOUT", 10**9
        self.asked: list[int] = []
        #: Whether it is slow for many values though few rows are asked for, and whether it counts.
        self.of_values, self.counts = False, True
        self._ask = org.reader.query

    def __call__(self, soql: str, **how: Any) -> Page:
        """Answer a query, or refuse it for its length."""
        limit = None if self.of_values else re.search(r"LIMIT (\d+)$", soql)
        size = int(limit[1]) if limit else soql.count("',") + 1
        self.asked.append(size)
        if size > self.most or (not self.counts and "COUNT()" in soql):
            raise SalesforceError(self.code, "Your query request was running for too long.")
        return self._ask(soql, **how)


@pytest.fixture
def slow(running: Running, monkeypatch: pytest.MonkeyPatch) -> Slow:
    """The stand-in's queries, as slow as a test says."""
    org = running.crms["salesforce"].org
    assert isinstance(org, SalesforceOrg)
    answering = Slow(org)
    monkeypatch.setattr(org.reader, "query", answering)
    return answering


@pytest.mark.parametrize("code", ["QUERY_TIMEOUT", "OPERATION_TOO_LARGE", "QUERY_TOO_COMPLICATED"])
def test_a_page_of_changes_that_is_too_much_is_asked_for_by_halves(
    connector: CrmConnector, slow: Slow, code: str
) -> None:
    made = {create(connector) for _ in range(3)}
    connector.describe(OPPORTUNITY)
    slow.code, slow.most, slow.asked = code, 250, []

    pages, _ = drain(connector, None)

    assert slow.asked[:3] == [1000, 500, 250]
    assert made <= seen(pages).keys()


def test_a_page_that_is_too_much_at_its_smallest_is_told_with_what_to_do(
    connector: CrmConnector, slow: Slow
) -> None:
    connector.describe(OPPORTUNITY)
    slow.most, slow.asked = 10, []

    with pytest.raises(CrmUnavailable) as caught:
        connector.changes(OPPORTUNITY, ["Name"], None)

    assert not caught.value.may_have_happened
    assert "fewer fields" in caught.value.hint
    assert slow.asked[-1] == asking.PAGE_ROWS_MIN
    assert len(slow.asked) == len(set(slow.asked))


def test_a_look_up_of_too_many_keys_is_asked_for_by_halves(
    connector: CrmConnector, slow: Slow
) -> None:
    items = [item() for _ in range(20)]
    connector.create(OPPORTUNITY, KEY, items)
    keys = [each.key for each in items]
    slow.most, slow.asked = 5, []

    found = connector.find(OPPORTUNITY, KEY, keys, [KEY])

    assert found.keys() == set(keys)
    assert max(size for size in slow.asked if size <= 5) == 5
    assert slow.asked == [20, 10, 5, 5, 10, 5, 5]


def test_a_selection_that_is_too_much_is_asked_for_by_halves_of_its_values(
    connector: CrmConnector, slow: Slow
) -> None:
    items = [item() for _ in range(12)]
    connector.create(OPPORTUNITY, KEY, items)
    where = [Condition(KEY, tuple(each.key for each in items)), Condition("IsClosed", (False,))]
    slow.of_values, slow.most = True, 5

    found = connector.select(OPPORTUNITY, where, [KEY], 50)

    assert {record.fields[KEY] for record in found.records} == {each.key for each in items}
    assert found.complete
    assert connector.count(OPPORTUNITY, where) == 12


def test_a_selection_that_cannot_be_halved_any_more_is_read_page_by_page(
    connector: CrmConnector, slow: Slow
) -> None:
    step = f"Call {uuid.uuid4()}"
    connector.create(OPPORTUNITY, KEY, [item(NextStep=step) for _ in range(90)])
    where = [Condition("NextStep", (step,))]
    slow.most, slow.asked = 40, []

    whole = connector.select(OPPORTUNITY, where, [KEY], 100)
    some = connector.select(OPPORTUNITY, where, [KEY], 60)

    assert (len(whole.records), whole.complete) == (90, True)
    assert (some.records, some.complete) == (whole.records[:60], False)
    assert slow.asked == [101, 50, 25, 25, 25, 25, 61, 30, 30, 30]


def test_what_cannot_be_counted_at_once_is_counted_by_reading_ids(
    connector: CrmConnector, slow: Slow
) -> None:
    step = f"Call {uuid.uuid4()}"
    connector.create(OPPORTUNITY, KEY, [item(NextStep=step) for _ in range(30)])
    slow.counts = False

    assert connector.count(OPPORTUNITY, [Condition("NextStep", (step,))]) == 30


def test_a_deal_with_several_of_the_sets_asked_for_is_counted_once(
    connector: CrmConnector, slow: Slow
) -> None:
    step = f"Call {uuid.uuid4()}"
    create(connector, NextStep=step, Modules__c=("Cooling", "Routing"))
    fillers = tuple((f"Option {number}", f"Filler {number}") for number in range(600))
    sets = Condition("Modules__c", (("Cooling",), *fillers, ("Routing",)))
    where = [Condition("NextStep", (step,)), sets]

    assert connector.count(OPPORTUNITY, where) == 1
    assert len(connector.select(OPPORTUNITY, where, [KEY], 5).records) == 1
