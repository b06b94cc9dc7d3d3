"""The account, contact and line item of docs/how-do-i.md made for a deal, on each stand-in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from connectors.port import CreateItem
from registration_core.model import Customer, DisputeState
from registration_core.store import repository
from sandbox.serving import Running
from sync import checking, push
from sync.process.runtime import Runtime
from tests.contract.names import NAMES
from tests.contract.peers import Timepiece
from tests.contract.stories import CONNECTIONS, approved, at_home_in, poll
from tests.contract.test_companions import BESIDE
from tests.unit.mapping.test_how_do_i import TASKS, examples


def with_companions(text: str, crm: str, product_id: str) -> str:
    """The shipped mapping with what tasks 11 and 12 put beside the deal; all of it is made."""
    yaml = YAML()
    whole = yaml.load(text)
    home = whole["objects"]["home"]
    for task in TASKS[10:12]:
        shown: dict[str, Any] = yaml.load(dict(examples(task, "mappings"))[CONNECTIONS[crm]])
        whole["shared"] = {**whole.get("shared", {}), **shown.get("shared", {})}
        given = shown["objects"]["home"]
        home["companions"] = {**home.get("companions", {}), **given["companions"]}
        details = given["groups"].get("details", [])
        home["groups"]["details"] = [*home["groups"].get("details", []), *details]
    for companion in home["companions"].values():
        companion.pop("missing", None)
    written = StringIO()
    yaml.dump({name: value for name, value in whole.items() if value}, written)
    return re.sub(r"01uHs\w+", product_id or "unused", written.getvalue())


@pytest.fixture(params=CONNECTIONS)
def crm(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def runtime(
    crm: str, tmp_path: Path, running: Running, sqlite_template: Path, timepiece: Timepiece
) -> Iterator[Runtime]:
    products = running.crms["salesforce"].org.store.rows("PricebookEntry")
    product_id = next(iter(products)).id

    def change(text: str) -> str:
        return with_companions(text, crm, product_id)

    with at_home_in(crm, tmp_path, running, sqlite_template, timepiece, change) as built:
        yield built


def keyed(running: Running, crm: str, object_name: str) -> Mapping[str, Mapping[str, Any]]:
    """The records of an object that carry a key of ours."""
    key = NAMES[crm].key
    rows = running.crms[crm].org.store.rows(object_name)
    return {row.id: row.fields for row in rows if row.fields.get(key)}


def test_what_a_deal_needs_is_made_once_and_nobody_disputes_it(
    runtime: Runtime, running: Running, crm: str, timepiece: Timepiece
) -> None:
    names, connection = BESIDE[crm], CONNECTIONS[crm]
    objects = (names.account, names.contact, NAMES[crm].object, names.item)
    before = {name: set(keyed(running, crm, name)) for name in objects}
    made = approved(runtime, Customer("Torsnes Verft", "NO"))
    for _ in range(2):
        push.drain(runtime, connection)
        poll(runtime, connection, timepiece)
        checking.drain(runtime)

    after = {name: set(keyed(running, crm, name)) - before[name] for name in objects}
    assert {name: len(ids) for name, ids in after.items()} == dict.fromkeys(objects, 1)
    with runtime.database.read() as session:
        held = repository.registration(session, made.id)
    assert {held.accounts[connection]} == after[names.account]
    assert held.dispute_state is DisputeState.NONE
    (deal,) = after[NAMES[crm].object]
    wanted = [names.deal_contact, NAMES[crm].account_link]
    record = runtime.connector(connection).read(NAMES[crm].object, [deal], wanted)[deal]
    assert set(record.fields.values()) == after[names.contact] | after[names.account]  # type: ignore[union-attr]


def test_a_contact_that_is_deleted_the_moment_before_the_deal_is_made_is_made_again(
    runtime: Runtime,
    running: Running,
    crm: str,
    timepiece: Timepiece,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names, connection = BESIDE[crm], CONNECTIONS[crm]
    before = {name: set(keyed(running, crm, name)) for name in (names.contact, NAMES[crm].object)}
    door, lost = runtime.connector(connection), list[str]()
    create = door.create

    def deleting(object_name: str, key_field: str, items: Sequence[CreateItem]) -> Any:
        if object_name == NAMES[crm].object and not lost:
            lost.extend(set(keyed(running, crm, names.contact)) - before[names.contact])
            running.crms[crm].org.remove(names.contact, lost[0], NAMES[crm].user)
        return create(object_name, key_field, items)

    monkeypatch.setattr(door, "create", deleting)
    approved(runtime, Customer("Hellvik Slipp", "NO"))
    for _ in range(2):
        push.drain(runtime, connection)
        timepiece.skip(timedelta(minutes=6))

    (contact,) = set(keyed(running, crm, names.contact)) - before[names.contact]
    (deal,) = set(keyed(running, crm, NAMES[crm].object)) - before[NAMES[crm].object]
    assert contact not in lost
    record = runtime.connector(connection).read(NAMES[crm].object, [deal], [names.deal_contact])
    assert set(record[deal].fields.values()) == {contact}  # type: ignore[union-attr]
