"""What every connector owes its callers: create, find, read, update, history, schema, check.

`connectors/port.py` is the contract; the in-memory twin keeps it like the CRMs.
"""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from connectors.errors import (
    AuthenticationFailed,
    CallRejected,
)
from connectors.port import (
    Absence,
    AlreadyExists,
    Gone,
    Refused,
    Stale,
    UpdateItem,
    Written,
)
from registration_core.contracts import FieldType, Value
from tests.contract.peers import Peer

# --- create and find


def test_a_created_record_is_found_by_its_key_at_once(peer: Peer) -> None:
    names = peer.names
    key, record_id = peer.create(text="Freezer hall")
    found = peer.connector.find(names.object, names.key, [key], names.all_fields)
    assert set(found) == {key}
    assert found[key].record_id == record_id
    assert found[key].object == names.object
    assert peer.values(found[key])["text"] == "Freezer hall"
    assert found[key].modified_by_us in {True, None}


def test_a_second_create_with_the_same_key_changes_nothing(peer: Peer) -> None:
    names = peer.names
    key, record_id = peer.create(text="First")
    again = peer.item(key, text="Second")
    (outcome,) = peer.connector.create(names.object, names.key, [again])
    assert isinstance(outcome, AlreadyExists)
    assert outcome.record_id in {record_id, None}
    assert peer.read_values(record_id)["text"] == "First"


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
    record = peer.read(record_id)
    assert peer.values(record) == {"key": key, **written}
    assert record.modified_at.utcoffset() == timedelta(0)


def test_empty_is_none_and_not_missing(peer: Peer) -> None:
    _, record_id = peer.create()
    found = peer.read_values(record_id)
    assert (found["money"], found["day"], found["long_text"]) == (None, None, None)


def test_text_that_a_person_typed_with_combining_marks_comes_back_composed(peer: Peer) -> None:
    _, record_id = peer.create()
    peer.org.edit(record_id, {peer.names.text: unicodedata.normalize("NFD", "Café Zürich")})
    assert peer.read_values(record_id)["text"] == "Café Zürich"


# --- update


def test_an_update_changes_only_the_fields_it_names(peer: Peer) -> None:
    _, record_id = peer.create(text="Before", money=Decimal("10.50"), day=date(2027, 1, 2))
    before = peer.read_values(record_id)
    patch = peer.patch(record_id, text="After")
    (outcome,) = peer.connector.update(peer.names.object, [patch])
    assert isinstance(outcome, Written)
    assert outcome.record_id == record_id
    assert peer.read_values(record_id) == {**before, "text": "After"}


def test_none_clears_a_field(peer: Peer) -> None:
    _, record_id = peer.create(money=Decimal("10.50"), day=date(2027, 1, 2), long_text="note")
    patch = peer.patch(record_id, money=None, day=None, long_text=None)
    (outcome,) = peer.connector.update(peer.names.object, [patch])
    assert isinstance(outcome, Written)
    found = peer.read_values(record_id)
    assert (found["money"], found["day"], found["long_text"]) == (None, None, None)


def test_an_update_planned_on_an_old_version_is_stale_where_the_crm_can_tell(peer: Peer) -> None:
    _, record_id = peer.create(text="Ours")
    planned_on = peer.read(record_id).version
    peer.org.edit(record_id, {peer.names.text: "Theirs"})
    patch = peer.patch(record_id, planned_on, money=Decimal(7))
    (outcome,) = peer.connector.update(peer.names.object, [patch])
    after = peer.read_values(record_id)
    if peer.connector.capabilities.precondition:
        assert outcome == Stale(record_id)
        assert (after["text"], after["money"]) == ("Theirs", None)
    else:
        assert isinstance(outcome, Written)
        assert (after["text"], after["money"]) == ("Theirs", Decimal(7))


def test_an_update_planned_on_the_present_version_is_written(peer: Peer) -> None:
    _, record_id = peer.create(text="Before")
    patch = peer.patch(record_id, peer.read(record_id).version, text="After")
    (outcome,) = peer.connector.update(peer.names.object, [patch])
    assert isinstance(outcome, Written)
    assert peer.read_values(record_id)["text"] == "After"


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
    assert peer.read_values(good)["text"] == "After"
    assert peer.read_values(bad)["text"] == "Before"


# --- history


def test_history_tells_who_changed_a_field_where_the_crm_keeps_it(peer: Peer) -> None:
    names, connector = peer.names, peer.connector
    _, record_id = peer.create(text="First")
    since = peer.read(record_id).modified_at
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
