"""The official Python SDK of Dataverse against the stand-in, and our connector on what it wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from PowerPlatform.Dataverse.client import DataverseClient
from PowerPlatform.Dataverse.core.errors import HttpError
from PowerPlatform.Dataverse.models.upsert import UpsertItem

from connectors.port import AlreadyExists, CreateItem, Gone, RemoteRecord
from sandbox.faults import Fault, FaultKind
from tests.verify.differences import Differs, expect
from tests.verify.dynamics.environment import Environment

_TABLE, _KEY = "opportunity", "dr_dealregid"


@contextmanager
def _client(environment: Environment) -> Iterator[DataverseClient]:
    token = environment.token
    credential = SimpleNamespace(
        get_token=lambda *_, **__: SimpleNamespace(token=token, expires_on=2**31)
    )
    with DataverseClient(environment.url, credential) as client:
        client._session.trust_env = False
        client._session.verify = environment.ca_file
        yield client


def _records(environment: Environment) -> None:
    """Create, read, update, delete, and what is not there."""
    with _client(environment) as client:
        record_id = client.records.create(_TABLE, {"name": "By the SDK", "estimatedvalue": 12.5})
        found = client.records.retrieve(_TABLE, record_id, select=["name", "estimatedvalue"])
        expect((found["name"], found["estimatedvalue"]), ("By the SDK", 12.5), "what was written")
        client.records.update(_TABLE, record_id, {"name": "Changed"})
        ours = environment.connector.read(_TABLE, [record_id], ["name"])[record_id]
        expect(isinstance(ours, RemoteRecord) and ours.fields, {"name": "Changed"}, "our read")
        client.records.delete(_TABLE, record_id)
        expect(client.records.retrieve(_TABLE, record_id), None, "a deleted record")
        gone = environment.connector.read(_TABLE, [record_id], ["name"])[record_id]
        expect(type(gone), Gone, "our read of a deleted record")


def _bulk(environment: Environment) -> None:
    """The bulk actions: ids in order, all or nothing."""
    with _client(environment) as client:
        names = [f"Bulk {n}" for n in range(5)]
        ids = client.records.create(_TABLE, [{"name": name} for name in names])
        found = environment.connector.read(_TABLE, ids, ["name"])
        expect([_name(found[record_id]) for record_id in ids], names, "ids in order")
        client.records.update(_TABLE, ids, [{"name": f"{name} again"} for name in names])
        found = environment.connector.read(_TABLE, ids, ["name"])
        expect([_name(found[i]) for i in ids], [f"{n} again" for n in names], "updated in order")
        before = environment.connector.count(_TABLE, [])
        _refused(lambda: client.records.create(_TABLE, [{"name": "A"}, {"name": "x" * 400}]), 400)
        expect(environment.connector.count(_TABLE, []), before, "rows after a refused bulk create")


def _upserts(environment: Environment) -> None:
    """Upserts by alternate key, one and many, and our create-only write beside them."""
    key, other = str(uuid4()), str(uuid4())
    with _client(environment) as client:
        client.records.upsert(_TABLE, [UpsertItem({_KEY: key}, {"name": "One"})])
        items = [UpsertItem({_KEY: k}, {"name": f"Many {k}"}) for k in (key, other)]
        client.records.upsert(_TABLE, items)
    found = environment.connector.find(_TABLE, _KEY, [key, other], ["name"])
    names = {k: record.fields["name"] for k, record in found.items()}
    expect(names, {k: f"Many {k}" for k in (key, other)}, "upserted names")
    item = CreateItem(key, {_KEY: key, "name": "Ours"})
    expect(environment.connector.create(_TABLE, _KEY, [item]), (AlreadyExists(),), "our create")


def _lists(environment: Environment) -> None:
    """Filters, order, top, and pages followed by their links."""
    with _client(environment) as client:
        marked = f"Page {uuid4()}"
        written = client.records.create(_TABLE, [{"name": f"{marked} {n}"} for n in range(7)])
        by_name = f"startswith(name,'{marked}')"
        pages = list(
            client.records.list_pages(
                _TABLE, filter=by_name, orderby=["name desc"], select=["name"], page_size=3
            )
        )
        expect([len(page) for page in pages], [3, 3, 1], "sizes of pages")
        names = [record["name"] for page in pages for record in page]
        expect(names, [f"{marked} {n}" for n in range(6, -1, -1)], "names in order")
        expect(len(client.records.list(_TABLE, filter=by_name, top=2)), 2, "top")
        quoted = client.records.create(_TABLE, {"name": "O'Brian & Sons + 100%"})
        same = client.records.list(_TABLE, filter="name eq 'O''Brian & Sons + 100%'")
        expect(
            quoted in [record["opportunityid"] for record in same],
            True,
            "a name with quotes is found",
        )
        expect(len(written), 7, "ids given")


def _batches(environment: Environment) -> None:
    """Batches, change sets with references, and both ways of meeting an error."""
    with _client(environment) as client:
        batch = client.batch.new()
        batch.records.create(_TABLE, {"name": "In a batch"})
        with batch.changeset() as change_set:
            reference = change_set.records.create("account", {"name": "Referenced Ltd"})
            change_set.records.create(
                _TABLE, {"name": "Refers", "parentaccountid@odata.bind": reference}
            )
            change_set.records.update("account", reference, {"telephone1": "+47 22"})
        result = batch.execute()
        expect([r.status_code for r in result.responses], [204] * 4, "answers of a batch")
        account, deal = result.entity_ids[1], result.entity_ids[2]
        record = environment.connector.read(_TABLE, [deal], ["parentaccountid"])[deal]
        expect(
            isinstance(record, RemoteRecord) and record.fields["parentaccountid"],
            account,
            "the reference inside a change set",
        )
        expect(_failing(client, carry_on=True), [204, 400, 204], "answers with continue-on-error")
        expect(_failing(client, carry_on=False), [204, 400], "answers up to the first error")


def _failing(client: DataverseClient, *, carry_on: bool) -> list[int]:
    batch = client.batch.new()
    for name in ("Before", "x" * 400, "After"):
        batch.records.create(_TABLE, {"name": name})
    return [r.status_code for r in batch.execute(continue_on_error=carry_on).responses]


def _definitions(environment: Environment) -> None:
    """Alternate keys with the status of their index, and labels that stand for choices."""
    with _client(environment) as client:
        keys = client.tables.get_alternate_keys(_TABLE)
        told = [(key.key_attributes, key.status) for key in keys]
        expect(told, [([_KEY], "Active")], "alternate keys")
        record_id = client.records.create(_TABLE, {"name": "Labelled", "salesstage": "Develop"})
        record = environment.connector.read(_TABLE, [record_id], ["salesstage"])[record_id]
        seen = isinstance(record, RemoteRecord) and record.fields["salesstage"]
        expect(seen, "1", "the number that the label of a choice stands for")


def _limits(environment: Environment) -> None:
    """A refusal for one request too many carries its wait."""
    environment.stand_in.faults.add(Fault(FaultKind.THROTTLED, path="/opportunities", seconds=9))
    try:
        with _client(environment) as client:
            error = _refused(lambda: client.records.create(_TABLE, {"name": "Too many"}), 429)
    finally:
        environment.stand_in.faults.clear()
    expect(error.details.get("retry_after"), 9, "seconds to wait")
    expect(error.is_transient, True, "a throttled call is worth another try")


def _refused(call: Callable[[], object], status: int) -> Any:
    try:
        call()
    except HttpError as error:
        expect(error.status_code, status, "status of a refusal")
        return error
    raise Differs(f"a call was taken that has to be refused with {status}")


def _name(found: RemoteRecord | Gone) -> object:
    return found.fields["name"] if isinstance(found, RemoteRecord) else found


CHECKS: Mapping[str, Callable[[Environment], None]] = {
    "records": _records,
    "bulk actions": _bulk,
    "upserts": _upserts,
    "lists and pages": _lists,
    "batches and change sets": _batches,
    "definitions": _definitions,
    "limits": _limits,
}
