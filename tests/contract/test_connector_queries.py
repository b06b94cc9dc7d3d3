"""What every connector owes its callers: change feed, selections, accounts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from connectors.errors import (
    CallRejected,
)
from connectors.port import (
    Absence,
    ChangePage,
    Gone,
    RemoteRecord,
    UpdateItem,
    Written,
)
from registration_core.contracts import Condition
from tests.contract.names import Accounts
from tests.contract.peers import Peer, SandboxPeerOrg


def drain(peer: Peer, cursor: str | None) -> list[ChangePage]:
    """Read every page of the feed that is waiting."""
    pages: list[ChangePage] = []
    while not pages or pages[-1].more:
        cursor = pages[-1].cursor if pages else cursor
        pages.append(peer.connector.changes(peer.names.object, peer.names.all_fields, cursor))
        assert len(pages) < 100, "the feed does not end"
    return pages


def drain_after_a_while(peer: Peer, cursor: str) -> list[ChangePage]:
    """Read the feed once everything that has happened so far must be in it."""
    peer.clock.skip(timedelta(minutes=3))
    return drain(peer, cursor)


# --- change feed


def test_the_feed_starts_with_everything(peer: Peer) -> None:
    created = {peer.create()[1] for _ in range(3)}
    peer.clock.skip(timedelta(minutes=3))
    handed_out = {record.record_id for page in drain(peer, None) for record in page.records}
    assert created <= handed_out


def test_the_feed_tells_of_a_persons_edit_and_of_our_own(peer: Peer) -> None:
    _, theirs = peer.create(text="Before")
    _, ours = peer.create(text="Before")
    peer.clock.skip(timedelta(minutes=3))
    cursor = drain(peer, None)[-1].cursor
    peer.org.edit(theirs, {peer.names.text: "Theirs"})
    peer.connector.update(peer.names.object, [peer.patch(ours, text="Ours")])
    pages = drain_after_a_while(peer, cursor)
    told = {record.record_id: record for page in pages for record in page.records}
    assert peer.values(told[theirs])["text"] == "Theirs"
    assert peer.values(told[ours])["text"] == "Ours"
    assert told[theirs].modified_by_us in {False, None}
    assert told[ours].modified_by_us in {True, None}


def test_the_feed_tells_of_deletions_where_it_can(peer: Peer) -> None:
    _, record_id = peer.create()
    peer.clock.skip(timedelta(minutes=3))
    cursor = drain(peer, None)[-1].cursor
    peer.org.remove(record_id)
    pages = drain_after_a_while(peer, cursor)
    told = {gone.record_id for page in pages for gone in page.gone}
    assert (record_id in told) is peer.connector.capabilities.feed_tells_deletes
    assert record_id not in {record.record_id for page in pages for record in page.records}


def test_an_old_page_of_the_feed_can_be_read_again(peer: Peer) -> None:
    peer.clock.skip(timedelta(minutes=3))
    cursor = drain(peer, None)[-1].cursor
    _, record_id = peer.create()
    for pages in (drain_after_a_while(peer, cursor), drain(peer, cursor)):
        assert record_id in {record.record_id for page in pages for record in page.records}


# --- select and count


@pytest.mark.parametrize(
    "tail",
    ["O'Brien & Søn", 'the "Hall"', "100% _sure_", "a\\b", "[x] (y) *z*", "50% + more?", "a,b;c"],
)
def test_a_condition_compares_awkward_text_exactly(peer: Peer, tail: str) -> None:
    names, stem = peer.names, peer.new_key()
    _, wanted = peer.create(text=f"{stem} {tail}")
    peer.create(text=f"{stem} other")
    peer.create(text=f"{stem} {tail.replace('%', 'x').replace('_', 'y').replace('*', 'w')} too")
    where = [Condition(names.text, (f"{stem} {tail}",))]
    selection = peer.connector.select(names.object, where, names.all_fields, 10)
    assert [record.record_id for record in selection.records] == [wanted]
    assert selection.complete
    assert peer.connector.count(names.object, where) == 1


def test_conditions_are_joined_by_and_their_values_by_or(peer: Peer) -> None:
    names, stem = peer.names, peer.new_key()
    first, second = names.choices
    _, one = peer.create(text=f"{stem} 1", choice=first, money=Decimal(5))
    _, two = peer.create(text=f"{stem} 2", choice=second)
    peer.create(text=f"{stem} 3", choice=second, money=Decimal(5))
    texts = Condition(names.text, (f"{stem} 1", f"{stem} 2", f"{stem} 3"))
    empty = [texts, Condition(names.choice, (second,)), Condition(names.money, (None,))]
    either = [texts, Condition(names.choice, (first,)), Condition(names.money, (Decimal(5), None))]
    for where, expected in ((empty, two), (either, one)):
        selection = peer.connector.select(names.object, where, names.all_fields, 10)
        assert [record.record_id for record in selection.records] == [expected]


def test_a_selection_cut_short_by_its_limit_says_so(peer: Peer) -> None:
    names, stem = peer.names, peer.new_key()
    created = sorted(peer.create(text=stem)[1] for _ in range(3))
    where = [Condition(names.text, (stem,))]
    cut = peer.connector.select(names.object, where, names.all_fields, 2)
    whole = peer.connector.select(names.object, where, names.all_fields, 3)
    assert len(cut.records) == 2
    assert not cut.complete
    assert whole.complete
    assert sorted(record.record_id for record in whole.records) == created
    assert peer.connector.count(names.object, where) == 3


def test_a_field_the_crm_does_not_know_is_rejected(peer: Peer) -> None:
    with pytest.raises(CallRejected, match="no_such_field"):
        peer.connector.select(peer.names.object, [], ["no_such_field"], 1)


# --- accounts


def test_every_account_is_selected_and_counted_once(remote_peer: Peer) -> None:
    accounts, connector = _accounts(remote_peer), remote_peer.connector
    selection = connector.select(accounts.object, [], accounts.all_fields, 10_000)
    ids = [record.record_id for record in selection.records]
    assert selection.complete
    assert len(ids) > 150
    assert len(ids) == len(set(ids)) == connector.count(accounts.object, [])


def test_every_account_is_in_the_first_run_of_the_feed(remote_peer: Peer) -> None:
    accounts, connector = _accounts(remote_peer), remote_peer.connector
    remote_peer.clock.skip(timedelta(minutes=3))
    handed_out: set[str] = set()
    page = connector.changes(accounts.object, accounts.all_fields, None)
    handed_out.update(record.record_id for record in page.records)
    while page.more:
        page = connector.changes(accounts.object, accounts.all_fields, page.cursor)
        handed_out.update(record.record_id for record in page.records)
    selection = connector.select(accounts.object, [], accounts.all_fields, 10_000)
    assert {record.record_id for record in selection.records} <= handed_out


def test_the_list_of_house_accounts_has_its_canary(remote_peer: Peer) -> None:
    accounts, connector = _accounts(remote_peer), remote_peer.connector
    house = [Condition(accounts.house, (True,))]
    selection = connector.select(accounts.object, house, accounts.all_fields, 1000)
    names = {record.fields[accounts.name] for record in selection.records}
    assert {"Goldcrest Aerospace Corp.", "Canary House Account"} <= names
    assert "Kestrel Maschinenbau GmbH" not in names
    assert {record.fields[accounts.house] for record in selection.records} == {True}
    assert connector.count(accounts.object, house) == len(selection.records)


def test_a_deal_is_linked_to_an_account_and_found_by_it(remote_peer: Peer) -> None:
    accounts, connector, names = _accounts(remote_peer), remote_peer.connector, remote_peer.names
    where = [Condition(accounts.tax_id, ("84-1190277", "36-5520148"))]
    avocet, wheatear = sorted(
        connector.select(accounts.object, where, accounts.all_fields, 10).records,
        key=lambda record: str(record.fields[accounts.name]),
    )
    item, key = remote_peer.item(remote_peer.new_key()), remote_peer.new_key()
    item = replace(
        item,
        key=key,
        fields={**item.fields, names.key: key, names.account_link: avocet.record_id},
    )
    (outcome,) = connector.create(names.object, names.key, [item])
    assert isinstance(outcome, Written)
    assert _linked_to(remote_peer, avocet.record_id) >= {outcome.record_id}
    moved = UpdateItem(outcome.record_id, {names.account_link: wheatear.record_id})
    assert isinstance(connector.update(names.object, [moved])[0], Written)
    assert outcome.record_id in _linked_to(remote_peer, wheatear.record_id)
    assert outcome.record_id not in _linked_to(remote_peer, avocet.record_id)


def test_the_loser_of_a_merge_is_gone_and_leads_to_the_survivor_where_the_crm_tells(
    remote_peer: Peer, stand_in: SandboxPeerOrg
) -> None:
    accounts, connector = _accounts(remote_peer), remote_peer.connector
    loser, _ = stand_in.merge_accounts("Merged Away Ltd", "Survivor Ltd")
    gone = connector.read(accounts.object, [loser], accounts.all_fields)[loser]
    assert isinstance(gone, Gone)
    assert gone.absence is Absence.MERGED
    assert gone.merged_into is not None
    survivor = connector.read(accounts.object, [gone.merged_into], accounts.all_fields)
    record = survivor[gone.merged_into]
    assert isinstance(record, RemoteRecord)
    assert record.fields[accounts.name] == "Survivor Ltd"


def _accounts(peer: Peer) -> Accounts:
    assert peer.names.accounts is not None
    return peer.names.accounts


def _linked_to(peer: Peer, account_id: str) -> set[str]:
    """Return the deals of an account, each of which must say so itself."""
    names, link = peer.names, peer.names.account_link
    where = [Condition(link, (account_id,))]
    records = peer.connector.select(names.object, where, [link], 1000).records
    assert {record.fields[link] for record in records} <= {account_id}
    return {record.record_id for record in records}
