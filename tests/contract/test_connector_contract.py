"""What every connector owes its callers (`connectors/port.py`), the in-memory twin included."""

from __future__ import annotations

import time
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from connectors.errors import (
    AuthenticationFailed,
    CallRejected,
    CrmUnavailable,
    RateLimited,
    WebhookRejected,
)
from connectors.port import (
    Absence,
    AlreadyExists,
    ChangePage,
    Gone,
    Refused,
    RemoteRecord,
    Stale,
    UpdateItem,
    Written,
)
from registration_core.contracts import Condition, FieldType, Value
from tests.contract.peers import Accounts, Peer, SandboxPeerOrg


def read_one(peer: Peer, record_id: str) -> RemoteRecord:
    """Read a record that must be there, with every field of the suite."""
    names = peer.names
    found = peer.connector.read(names.object, [record_id], names.all_fields)[record_id]
    assert isinstance(found, RemoteRecord), f"{record_id} is {found}"
    return found


def values(peer: Peer, record: RemoteRecord) -> dict[str, Value]:
    """Return a record's values under the suite's names."""
    suite = ("key", "text", "long_text", "money", "day", "choice")
    return {name: record.fields[getattr(peer.names, name)] for name in suite}


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


# --- create and find


def test_a_created_record_is_found_by_its_key_at_once(peer: Peer) -> None:
    names = peer.names
    key, record_id = peer.create(text="Freezer hall")
    found = peer.connector.find(names.object, names.key, [key], names.all_fields)
    assert set(found) == {key}
    assert found[key].record_id == record_id
    assert found[key].object == names.object
    assert values(peer, found[key])["text"] == "Freezer hall"
    assert found[key].modified_by_us in {True, None}


def test_a_second_create_with_the_same_key_changes_nothing(peer: Peer) -> None:
    names = peer.names
    key, record_id = peer.create(text="First")
    again = peer.item(key, text="Second")
    (outcome,) = peer.connector.create(names.object, names.key, [again])
    assert isinstance(outcome, AlreadyExists)
    assert outcome.record_id in {record_id, None}
    assert values(peer, read_one(peer, record_id))["text"] == "First"


def test_a_batch_with_one_bad_row_lands_the_others_and_says_what_was_wrong(peer: Peer) -> None:
    names = peer.names
    keys = [peer.new_key() for _ in range(3)]
    items = [peer.item(key) for key in keys]
    field, value = names.bad
    items[1] = replace(items[1], fields={**items[1].fields, field: value})
    first, bad, last = peer.connector.create(names.object, names.key, items)
    assert isinstance(first, Written)
    assert isinstance(last, Written)
    assert isinstance(bad, Refused)
    assert bad.code
    assert bad.message
    assert bad.field == field
    found = peer.connector.find(names.object, names.key, keys, names.all_fields)
    assert {key: record.record_id for key, record in found.items()} == {
        keys[0]: first.record_id,
        keys[2]: last.record_id,
    }


def test_a_full_batch_is_created_in_order(peer: Peer) -> None:
    names, size = peer.names, peer.connector.capabilities.write_batch
    keys = [peer.new_key() for _ in range(size)]
    outcomes = peer.connector.create(names.object, names.key, [peer.item(key) for key in keys])
    found = peer.connector.find(names.object, names.key, keys, names.all_fields)
    assert len(outcomes) == size
    assert [getattr(outcome, "record_id", None) for outcome in outcomes] == [
        found[key].record_id for key in keys
    ]


def test_find_leaves_out_keys_that_nobody_has_and_takes_any_number(peer: Peer) -> None:
    names = peer.names
    key, _ = peer.create()
    others = [peer.new_key() for _ in range(peer.connector.capabilities.read_batch + 3)]
    found = peer.connector.find(names.object, names.key, [*others, key], names.all_fields)
    assert set(found) == {key}


# --- read


def test_an_id_nobody_has_reads_as_not_found(peer: Peer) -> None:
    names = peer.names
    _, record_id = peer.create()
    answer = peer.connector.read(names.object, [names.unknown_id, record_id], names.all_fields)
    assert set(answer) == {names.unknown_id, record_id}
    assert answer[names.unknown_id] == Gone(names.unknown_id, Absence.NOT_FOUND)


def test_a_deleted_record_reads_as_gone(peer: Peer) -> None:
    names = peer.names
    key, record_id = peer.create()
    peer.org.remove(record_id)
    gone = peer.connector.read(names.object, [record_id], names.all_fields)[record_id]
    assert isinstance(gone, Gone)
    assert gone.record_id == record_id
    assert gone.absence in {Absence.DELETED, Absence.NOT_FOUND}
    assert peer.connector.find(names.object, names.key, [key], names.all_fields) == {}


def test_typed_values_come_back_as_they_were_written(peer: Peer) -> None:
    written: dict[str, Value] = {
        "text": "Ångström & “Søn” <東京> ½",
        "long_text": " ".join(["a longer note"] * 100),
        "money": Decimal("123456.78"),
        "day": date(2028, 2, 29),
        "choice": peer.names.choices[0],
    }
    key, record_id = peer.create(**written)
    record = read_one(peer, record_id)
    assert values(peer, record) == {"key": key, **written}
    assert record.modified_at.utcoffset() == timedelta(0)


def test_empty_is_none_and_not_missing(peer: Peer) -> None:
    _, record_id = peer.create()
    found = values(peer, read_one(peer, record_id))
    assert (found["money"], found["day"], found["long_text"]) == (None, None, None)


def test_text_that_a_person_typed_with_combining_marks_comes_back_composed(peer: Peer) -> None:
    _, record_id = peer.create()
    peer.org.edit(record_id, {peer.names.text: unicodedata.normalize("NFD", "Café Zürich")})
    assert values(peer, read_one(peer, record_id))["text"] == "Café Zürich"


# --- update


def test_an_update_changes_only_the_fields_it_names(peer: Peer) -> None:
    _, record_id = peer.create(text="Before", money=Decimal("10.50"), day=date(2027, 1, 2))
    before = values(peer, read_one(peer, record_id))
    patch = peer.patch(record_id, text="After")
    (outcome,) = peer.connector.update(peer.names.object, [patch])
    assert isinstance(outcome, Written)
    assert outcome.record_id == record_id
    assert values(peer, read_one(peer, record_id)) == {**before, "text": "After"}


def test_none_clears_a_field(peer: Peer) -> None:
    _, record_id = peer.create(money=Decimal("10.50"), day=date(2027, 1, 2), long_text="note")
    patch = peer.patch(record_id, money=None, day=None, long_text=None)
    (outcome,) = peer.connector.update(peer.names.object, [patch])
    assert isinstance(outcome, Written)
    found = values(peer, read_one(peer, record_id))
    assert (found["money"], found["day"], found["long_text"]) == (None, None, None)


def test_an_update_planned_on_an_old_version_is_stale_where_the_crm_can_tell(peer: Peer) -> None:
    _, record_id = peer.create(text="Ours")
    planned_on = read_one(peer, record_id).version
    peer.org.edit(record_id, {peer.names.text: "Theirs"})
    patch = peer.patch(record_id, planned_on, money=Decimal(7))
    (outcome,) = peer.connector.update(peer.names.object, [patch])
    after = values(peer, read_one(peer, record_id))
    if peer.connector.capabilities.precondition:
        assert outcome == Stale(record_id)
        assert (after["text"], after["money"]) == ("Theirs", None)
    else:
        assert isinstance(outcome, Written)
        assert (after["text"], after["money"]) == ("Theirs", Decimal(7))


def test_an_update_planned_on_the_present_version_is_written(peer: Peer) -> None:
    _, record_id = peer.create(text="Before")
    patch = peer.patch(record_id, read_one(peer, record_id).version, text="After")
    (outcome,) = peer.connector.update(peer.names.object, [patch])
    assert isinstance(outcome, Written)
    assert values(peer, read_one(peer, record_id))["text"] == "After"


def test_an_update_of_a_deleted_record_is_gone_and_creates_nothing(peer: Peer) -> None:
    names = peer.names
    key, record_id = peer.create()
    peer.org.remove(record_id)
    (outcome,) = peer.connector.update(names.object, [peer.patch(record_id, text="After")])
    assert isinstance(outcome, Gone)
    assert outcome.record_id == record_id
    assert peer.connector.find(names.object, names.key, [key], names.all_fields) == {}


def test_an_update_batch_answers_each_row_for_itself(peer: Peer) -> None:
    names = peer.names
    _, good = peer.create(text="Before")
    _, bad = peer.create(text="Before")
    field, value = names.bad
    outcomes = peer.connector.update(
        names.object,
        [
            UpdateItem(bad, {field: value}),
            peer.patch(names.unknown_id, text="After"),
            peer.patch(good, text="After"),
        ],
    )
    refused, gone, written = outcomes
    assert isinstance(refused, Refused)
    assert refused.field == field
    assert isinstance(gone, Gone)
    assert isinstance(written, Written)
    assert values(peer, read_one(peer, good))["text"] == "After"
    assert values(peer, read_one(peer, bad))["text"] == "Before"


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
    assert values(peer, told[theirs])["text"] == "Theirs"
    assert values(peer, told[ours])["text"] == "Ours"
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


# --- history


def test_history_tells_who_changed_a_field_where_the_crm_keeps_it(peer: Peer) -> None:
    names, connector = peer.names, peer.connector
    _, record_id = peer.create(text="First")
    since = read_one(peer, record_id).modified_at
    peer.clock.skip(timedelta(seconds=2))
    peer.org.edit(record_id, {names.tracked: "Theirs"})
    peer.clock.skip(timedelta(seconds=2))
    connector.update(names.object, [UpdateItem(record_id, {names.tracked: "Ours"})])
    changes = connector.history(names.object, [record_id], [names.tracked], since)
    if not connector.capabilities.history:
        assert changes == ()
        return
    assert [(c.field, c.value, c.by_us) for c in changes[-2:]] == [
        (names.tracked, "Theirs", False),
        (names.tracked, "Ours", True),
    ]
    assert all(change.record_id == record_id for change in changes)
    assert changes[-2].changed_at < changes[-1].changed_at


def test_an_overwrite_can_be_prevented_or_proven(peer: Peer) -> None:
    able = peer.connector.capabilities
    assert able.precondition or able.history


# --- schema, identity, check


def test_describe_names_the_key_as_unique_and_types_every_field(peer: Peer) -> None:
    names = peer.names
    fields = peer.connector.describe(names.object).fields
    types = {name: fields[getattr(names, name)].type for name in ("text", "money", "day", "choice")}
    assert fields[names.key].unique
    assert types == {
        "text": FieldType.TEXT,
        "money": FieldType.NUMBER,
        "day": FieldType.DATE,
        "choice": FieldType.PICKLIST,
    }
    assert set(names.choices) <= set(fields[names.choice].options or ())


def test_an_object_the_crm_does_not_have_is_rejected(peer: Peer) -> None:
    with pytest.raises(CallRejected, match="no_such_thing"):
        peer.connector.describe("no_such_thing")


def test_identity_is_the_orgs_own_and_stays_the_same(peer: Peer) -> None:
    identity = peer.connector.identity()
    assert identity.org_id == peer.org.org_id
    assert identity.user_id
    assert peer.connector.identity() == identity


def test_check_passes_on_a_prepared_org(peer: Peer) -> None:
    items = peer.connector.check([peer.need()])
    assert items
    assert [item for item in items if not item.ok] == []


def test_check_names_what_is_wrong_with_bad_credentials(peer: Peer) -> None:
    items = peer.org.stranger().check([peer.need()])
    wrong = [item for item in items if not item.ok]
    assert wrong
    assert wrong[0].detail
    assert wrong[0].remedy
    assert "not-the-secret" not in str(items)


def test_check_names_a_field_that_is_missing(peer: Peer) -> None:
    need = replace(peer.need(), reads=(peer.names.text, "no_such_field"))
    wrong = [item for item in peer.connector.check([need]) if not item.ok]
    assert any("no_such_field" in f"{item.step} {item.detail}" for item in wrong)


def test_bad_credentials_are_told_apart_from_an_outage(peer: Peer) -> None:
    names, key = peer.names, peer.new_key()
    with pytest.raises(AuthenticationFailed):
        peer.org.stranger().find(names.object, names.key, [key], names.all_fields)


# --- faults


def test_a_create_whose_answer_is_lost_may_have_happened_and_is_found_once(peer: Peer) -> None:
    names, key = peer.names, peer.new_key()
    peer.org.lose_answer_of_create()
    with pytest.raises(CrmUnavailable) as caught:
        peer.connector.create(names.object, names.key, [peer.item(key)])
    assert caught.value.may_have_happened
    peer.org.heal()
    found = peer.connector.find(names.object, names.key, [key], names.all_fields)
    assert set(found) == {key}
    assert peer.connector.count(names.object, [Condition(names.key, (key,))]) == 1


def test_too_many_calls_are_told_with_a_time_to_wait(peer: Peer) -> None:
    names, key = peer.names, peer.new_key()
    peer.org.throttle()
    with pytest.raises(RateLimited) as caught:
        peer.connector.create(names.object, names.key, [peer.item(key)])
    assert caught.value.retry_after_seconds > 0
    peer.org.heal()
    assert peer.connector.find(names.object, names.key, [key], names.all_fields) == {}


def test_a_slow_write_ends_within_the_time_out_and_is_sent_once(
    remote_peer: Peer, stand_in: SandboxPeerOrg
) -> None:
    names, key, impatient = remote_peer.names, remote_peer.new_key(), stand_in.impatient()
    impatient.describe(names.object)
    impatient.find(names.object, names.key, [key], names.all_fields)
    stand_in.slow_down(2.0)
    before, began = stand_in.stand_in.journal.total, time.monotonic()
    with pytest.raises(CrmUnavailable) as caught:
        impatient.create(names.object, names.key, [remote_peer.item(key)])
    assert caught.value.may_have_happened
    assert time.monotonic() - began < 2.0
    time.sleep(2.5)
    assert stand_in.stand_in.journal.total - before == 1


def test_a_slow_read_ends_within_a_few_seconds(remote_peer: Peer, stand_in: SandboxPeerOrg) -> None:
    names, impatient = remote_peer.names, stand_in.impatient()
    impatient.describe(names.object)
    stand_in.slow_down(60.0)
    began = time.monotonic()
    with pytest.raises(CrmUnavailable):
        impatient.read(names.object, [names.unknown_id], [names.text])
    assert time.monotonic() - began < 20.0


def test_an_outage_is_unavailable(remote_peer: Peer, stand_in: SandboxPeerOrg) -> None:
    names, key = remote_peer.names, remote_peer.new_key()
    stand_in.go_down()
    with pytest.raises(CrmUnavailable):
        remote_peer.connector.create(names.object, names.key, [remote_peer.item(key)])
    with pytest.raises(CrmUnavailable):
        remote_peer.connector.find(names.object, names.key, [key], names.all_fields)


def test_an_expired_token_is_renewed_once_where_the_crm_renews(
    remote_peer: Peer, stand_in: SandboxPeerOrg
) -> None:
    names, (key, record_id) = remote_peer.names, remote_peer.create()
    stand_in.stand_in.org.expire_tokens()
    if not names.renews_tokens:
        with pytest.raises(AuthenticationFailed):
            remote_peer.connector.read(names.object, [record_id], [names.key])
        return
    (outcome,) = remote_peer.connector.update(
        names.object, [remote_peer.patch(record_id, text="After")]
    )
    assert isinstance(outcome, Written)
    stand_in.stand_in.org.expire_tokens()
    found = remote_peer.connector.find(names.object, names.key, [key], [names.text])
    assert found[key].fields[names.text] == "After"


def test_threads_that_meet_an_expired_token_sign_in_once_between_them(
    remote_peer: Peer, stand_in: SandboxPeerOrg
) -> None:
    names, (_, record_id) = remote_peer.names, remote_peer.create(text="Shared")
    before = stand_in.sign_ins()
    if names.renews_tokens:
        stand_in.stand_in.org.expire_tokens()

    def read() -> Value:
        found = remote_peer.connector.read(names.object, [record_id], [names.text])[record_id]
        assert isinstance(found, RemoteRecord)
        return found.fields[names.text]

    with ThreadPoolExecutor(4) as pool:
        answers = [future.result() for future in [pool.submit(read) for _ in range(8)]]
    assert answers == ["Shared"] * 8
    assert stand_in.sign_ins() - before == (1 if names.renews_tokens else 0)


# --- webhooks


def test_a_webhook_tells_which_record_changed_and_for_which_org(peer: Peer) -> None:
    _, record_id = peer.create(text="Before")
    delivery = peer.connector.webhook(peer.org.delivery(record_id, {peer.names.text: "After"}))
    assert record_id in {notice.record_id for notice in delivery.notices}
    assert all(notice.event_id for notice in delivery.notices)
    assert delivery.org_id == peer.org.org_id
    assert 200 <= delivery.reply_status < 300


def test_a_webhook_without_its_secret_is_refused(peer: Peer) -> None:
    _, record_id = peer.create(text="Before")
    genuine = peer.org.delivery(record_id, {peer.names.text: "After"})
    forged = replace(
        genuine,
        headers={name: value for name, value in genuine.headers.items() if "type" in name.lower()},
        path_secret="forged",
        url=genuine.url.replace(genuine.path_secret, "forged")
        if genuine.path_secret
        else genuine.url,
    )
    with pytest.raises(WebhookRejected) as caught:
        peer.connector.webhook(forged)
    assert caught.value.status == 401
