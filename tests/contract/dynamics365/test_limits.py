"""What one call to Dynamics 365 holds, and what goes in several."""

from __future__ import annotations

import re
from typing import Any

import pytest

from connectors.dynamics365.connector import DynamicsConnector
from connectors.errors import CallRejected, CrmUnavailable
from connectors.port import CreateItem, Deferred, Refused, UpdateItem, Written
from registration_core.contracts import Condition
from sandbox.dynamics365 import reading
from sandbox.dynamics365.calls import Call
from sync.process.apart import sent
from tests.contract.dynamics365 import ACCOUNT, KEY, OPPORTUNITY, Crm, fresh


def test_a_condition_too_long_for_one_address_is_asked_in_pieces(crm: Crm) -> None:
    wanted = crm.account(telephone1="+47 22 00 00 01")
    values = tuple(f"a telephone number so long {number:05}" for number in range(900))
    where = [Condition("telephone1", (*values, "+47 22 00 00 01"))]
    selection = crm.connector.select(ACCOUNT, where, ["name"], 10)
    assert [record.record_id for record in selection.records] == [wanted]
    assert selection.complete
    assert crm.connector.count(ACCOUNT, where) == 1


def test_a_condition_with_more_values_than_a_query_takes_is_asked_in_pieces(crm: Crm) -> None:
    wanted = crm.account(dr_duns="123456789")
    values = tuple(f"{number:09}" for number in range(700))
    where = [Condition("dr_duns", (*values, "123456789"))]
    selection = crm.connector.select(ACCOUNT, where, ["name"], 10)
    assert [record.record_id for record in selection.records] == [wanted]


def test_an_address_that_is_too_long_is_refused(crm: Crm) -> None:
    connector = fresh(crm)
    assert isinstance(connector, DynamicsConnector)
    with pytest.raises(CallRejected, match="too long"):
        connector._transport.get(f"accounts?$filter=name eq '{'x' * 33_000}'", "select")


def stuck_cookie(call: Call) -> dict[str, Any] | None:
    """Read the page number of a cookie, and lose where the page begins."""
    found = re.search(r'pagenumber="(\d+)"', call.query.get("$skiptoken", ""))
    return {"page": int(found.group(1)), "last": []} if found else None


@pytest.mark.parametrize("broken", ["the cookie", "the whole link"])
def test_a_page_that_leads_to_itself_is_an_outage_and_not_read_without_end(
    crm: Crm, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    monkeypatch.setattr("connectors.dynamics365.reading.PAGE_MAX", 60)
    if broken == "the cookie":
        monkeypatch.setattr(reading, "_cookie", stuck_cookie)
    else:
        link = f"{crm.stand_in.url}/api/data/v9.2/accounts?$select=name"
        monkeypatch.setattr(reading, "_next_link", lambda *_: link)
    with pytest.raises(CrmUnavailable, match="same page"):
        crm.connector.count(ACCOUNT, [])
    with pytest.raises(CrmUnavailable, match="same page"):
        crm.connector.select(ACCOUNT, [], ["name"], 1_000_000)


def test_a_row_that_is_throttled_inside_a_batch_says_so_and_for_how_long(crm: Crm) -> None:
    ids = [crm.create() for _ in range(3)]
    crm.org.behaviour.batch_throttled_after = 1
    patches = [UpdateItem(record_id, {"name": "Later"}) for record_id in ids]
    first, *others = crm.connector.update(OPPORTUNITY, patches)
    assert isinstance(first, Written)
    for other in others:
        assert isinstance(other, Deferred)
        assert (other.throttled, other.retry_after_seconds) == (True, 7.0)
        assert "concurrent requests" in other.reason
    assert crm.read(ids[1], "name").fields["name"] == "Deal"


def test_a_batch_that_is_too_long_is_sent_in_halves_and_the_next_ones_are_smaller(
    crm: Crm,
) -> None:
    connector = fresh(crm)
    keys = [crm.peer.new_key() for _ in range(40)]
    items = [CreateItem(key, {KEY: key, "name": "Deal", "description": "x" * 400}) for key in keys]
    before = connector.capabilities.write_batch
    crm.org.behaviour.body_max = 20_000
    outcomes = sent(lambda few: connector.create(OPPORTUNITY, KEY, few), items)
    assert [type(outcome) for outcome in outcomes] == [Written] * 40
    assert connector.capabilities.write_batch <= before // 4


def test_a_row_that_is_too_long_by_itself_is_refused(crm: Crm) -> None:
    crm.org.behaviour.body_max = 20_000
    keys = [crm.peer.new_key() for _ in range(2)]
    long, short = (
        CreateItem(key, {KEY: key, "name": "Deal", "description": "x" * length})
        for key, length in zip(keys, (30_000, 10), strict=True)
    )
    refused, written = sent(lambda few: crm.connector.create(OPPORTUNITY, KEY, few), [long, short])
    assert isinstance(refused, Refused)
    assert isinstance(written, Written)


def test_rows_behind_a_full_batch_wait_and_are_written_by_the_next(
    crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing takes three operations a row, and a batch holds a thousand."""
    monkeypatch.setattr("connectors.dynamics365.writing.OPERATIONS_MAX", 7)
    ids = [crm.create() for _ in range(3)]
    patches = [UpdateItem(record_id, {"statecode": "2"}) for record_id in ids]
    first, second, third = crm.connector.update(OPPORTUNITY, patches)
    assert isinstance(first, Written)
    assert isinstance(second, Written)
    assert isinstance(third, Deferred)
    assert crm.stage(ids[2])["statecode"] == "0"
    (again,) = crm.connector.update(OPPORTUNITY, patches[2:])
    assert isinstance(again, Written)
