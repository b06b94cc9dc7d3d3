"""Salesforce's recycle bin: what is restored from it, and what is left when it is emptied."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.port import Absence, CrmConnector, Gone, RemoteRecord, UpdateItem, Written
from sandbox.salesforce.engine import SalesforceOrg
from sandbox.salesforce.reading import Page
from tests.contract.salesforce import KEY, OPPORTUNITY, REP, account, create, drain, item, seen


def test_a_record_that_the_bin_was_emptied_of_is_not_found_and_not_told_of(
    connector: CrmConnector, org: SalesforceOrg
) -> None:
    wanted = item()
    (written,) = connector.create(OPPORTUNITY, KEY, [wanted])
    assert isinstance(written, Written)
    deal = written.record_id
    cursor = drain(connector, None)[1]
    org.remove(OPPORTUNITY, deal, REP)
    assert set(connector.find_gone(OPPORTUNITY, KEY, [wanted.key])) == {wanted.key}
    org.purge(OPPORTUNITY, deal)

    pages, _ = drain(connector, cursor)

    unknown = Gone(deal, Absence.NOT_FOUND)
    assert connector.read(OPPORTUNITY, [deal], ["Name"]) == {deal: unknown}
    assert connector.update(OPPORTUNITY, [UpdateItem(deal, {"NextStep": "call"})]) == (unknown,)
    assert deal not in seen(pages)
    assert deal not in {gone.record_id for page in pages for gone in page.gone}
    assert connector.find_gone(OPPORTUNITY, KEY, [wanted.key]) == {}
    (again,) = connector.create(OPPORTUNITY, KEY, [wanted])
    assert isinstance(again, Written)
    assert again.record_id != deal


def test_a_winner_that_the_bin_was_emptied_of_is_still_what_the_loser_became(
    connector: CrmConnector, org: SalesforceOrg
) -> None:
    loser, winner = account(org, "Loser"), account(org, "Winner")
    org.merge("Account", loser, winner, REP)
    org.remove("Account", winner, REP)
    org.purge("Account", winner)

    answer = connector.read("Account", [loser, winner], ["Name"])

    assert answer[loser] == Gone(loser, Absence.MERGED, winner)
    assert answer[winner] == Gone(winner, Absence.NOT_FOUND)


def test_a_record_that_is_restored_comes_back_with_the_feed_under_its_id(
    connector: CrmConnector, org: SalesforceOrg
) -> None:
    deal = create(connector, Name="Back again")
    org.remove(OPPORTUNITY, deal, REP)
    pages, cursor = drain(connector, None)
    assert deal in {gone.record_id for page in pages for gone in page.gone}
    org.restore(OPPORTUNITY, deal, REP)

    pages, _ = drain(connector, cursor)

    assert seen(pages)[deal] == "Back again"
    record = connector.read(OPPORTUNITY, [deal], ["Name"])[deal]
    assert isinstance(record, RemoteRecord)
    assert record.modified_by_us is False


def test_a_record_that_is_restored_while_it_is_read_is_read(
    connector: CrmConnector, org: SalesforceOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    restored, deleted = create(connector, Name="Back again"), create(connector)
    for record_id in (restored, deleted):
        org.remove(OPPORTUNITY, record_id, REP)
    answer = org.reader.query

    def restore_first(soql: str, **options: Any) -> Page:
        monkeypatch.undo()
        org.restore(OPPORTUNITY, restored, REP)
        return answer(soql, **options)

    connector.describe(OPPORTUNITY)
    monkeypatch.setattr(org.reader, "query", restore_first)
    found = connector.read(OPPORTUNITY, [restored, deleted], ["Name"])

    record = found[restored]
    assert isinstance(record, RemoteRecord)
    assert record.fields == {"Name": "Back again"}
    assert found[deleted] == Gone(deleted, Absence.DELETED)


def test_the_loser_of_a_merge_that_is_restored_lives_beside_the_winner(
    connector: CrmConnector, org: SalesforceOrg
) -> None:
    loser, winner = account(org, "Loser"), account(org, "Winner")
    deal = create(connector, AccountId=loser)
    org.merge("Account", loser, winner, REP)
    org.restore("Account", loser, REP)

    accounts = connector.read("Account", [loser, winner], ["Name"])

    assert all(isinstance(record, RemoteRecord) for record in accounts.values())
    held = connector.read(OPPORTUNITY, [deal], ["AccountId"])[deal]
    assert isinstance(held, RemoteRecord)
    assert held.fields == {"AccountId": winner}
