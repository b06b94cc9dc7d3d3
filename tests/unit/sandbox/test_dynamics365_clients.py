"""What the clients of others send to the Dynamics 365 stand-in: bulk actions, references, limits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from defusedxml.ElementTree import fromstring

from sandbox.dynamics365.calls import API, Answer
from sandbox.dynamics365.protection import Limits, Protection, ThrottledError
from sandbox.dynamics365.schema import TABLES
from tests.unit.sandbox.dynamics365 import Environment, body, code

TYPE = {"@odata.type": "Microsoft.Dynamics.CRM.opportunity"}
EDM = "{http://docs.oasis-open.org/odata/ns/edm}"


@pytest.fixture
def env() -> Iterator[Environment]:
    environment = Environment()
    yield environment
    environment.org.store.close()


def bulk(env: Environment, action: str, *targets: dict[str, Any]) -> Answer:
    return env.call(
        "POST",
        f"opportunities/Microsoft.Dynamics.CRM.{action}",
        {"Targets": [TYPE | target for target in targets]},
    )


def names(env: Environment) -> dict[str, Any]:
    rows = env.org.store.rows("opportunity")
    return {str(row.fields.get("dr_dealregid")): row.fields["name"] for row in rows}


def by_key(key: str, **fields: str) -> dict[str, Any]:
    return {"@odata.id": f"opportunities(dr_dealregid='{key}')", **fields}


def test_a_bulk_create_gives_ids_in_order_and_takes_all_or_nothing(env: Environment) -> None:
    ids = body(bulk(env, "CreateMultiple", {"name": "A"}, {"name": "B"}))["Ids"]
    assert [body(env.call("GET", f"opportunities({i})"))["name"] for i in ids] == ["A", "B"]
    refused = bulk(env, "CreateMultiple", {"name": "C"}, {"name": "x" * 400})
    assert code(refused) == (400, "0x80044331")
    assert len(env.org.store.rows("opportunity")) == 2


def test_a_bulk_update_goes_by_id(env: Environment) -> None:
    first, second = env.deal("k1"), env.deal("k2")
    changes = [{"opportunityid": first, "name": "A"}, {"opportunityid": second, "name": "B"}]
    assert bulk(env, "UpdateMultiple", *changes).status == 204
    assert names(env) == {"k1": "A", "k2": "B"}
    assert bulk(env, "UpdateMultiple", {"name": "no id"}).status == 404


def test_a_bulk_upsert_creates_and_updates_by_key(env: Environment) -> None:
    env.deal("k1")
    targets = [by_key("k1", name="A"), by_key("k2", name="B")]
    assert bulk(env, "UpsertMultiple", *targets).status == 204
    assert names(env) == {"k1": "A", "k2": "B"}
    assert bulk(env, "UpsertMultiple", by_key("k1", name="C"), by_key("k1", name="D")).status == 400
    assert names(env)["k1"] == "A"


def test_a_key_column_in_the_body_of_a_bulk_upsert_fails_only_where_it_creates(
    env: Environment,
) -> None:
    env.deal("k1")
    assert bulk(env, "UpsertMultiple", by_key("k1", dr_dealregid="k1", name="A")).status == 204
    refused = bulk(env, "UpsertMultiple", by_key("k2", dr_dealregid="k2", name="B"))
    assert code(refused) == (400, "0x80040216")


@pytest.mark.parametrize("targets", [None, [], [{"name": "untyped"}], ["text"]])
def test_a_bulk_action_without_typed_targets_is_refused(env: Environment, targets: object) -> None:
    address = "opportunities/Microsoft.Dynamics.CRM.CreateMultiple"
    assert env.call("POST", address, {"Targets": targets}).status == 400


def change_set(*operations: tuple[str, str, dict[str, str]]) -> bytes:
    lines = ['--b\nContent-Type: multipart/mixed; boundary="c"\n']
    for number, (method, address, sent) in enumerate(operations, start=1):
        lines.append(
            "--c\nContent-Type: application/http\nContent-Transfer-Encoding: binary\n"
            f"Content-ID: {number}\n\n{method} {address} HTTP/1.1\n"
            f"Content-Type: application/json\n\n{json.dumps(sent)}"
        )
    return "\n".join([*lines, "--c--", "--b--", ""]).encode()


def batch(env: Environment, sent: bytes) -> str:
    answer = env.call("POST", "$batch", sent, content_type="multipart/mixed; boundary=b")
    return f"{answer.status}\n{answer.encoded().decode()}"


def test_a_change_set_may_refer_to_what_it_has_just_made(env: Environment) -> None:
    answer = batch(
        env,
        change_set(
            ("POST", f"{API}accounts", {"name": "Made"}),
            ("POST", f"{API}opportunities", {"name": "D", "parentaccountid@odata.bind": "$1"}),
            ("PATCH", "$1", {"telephone1": "+47 22"}),
        ),
    )
    assert answer.startswith("200")
    account = next(row for row in env.org.store.rows("account") if row.fields["name"] == "Made")
    (deal,) = env.org.store.rows("opportunity")
    assert deal.fields["parentaccountid"] == account.id
    assert account.fields["telephone1"] == "+47 22"


@pytest.mark.parametrize(
    "operations",
    [
        [("PATCH", "$2", {"name": "X"}), ("POST", f"{API}accounts", {"name": "Made"})],
        [("POST", f"{API}opportunities", {"name": "D", "parentaccountid@odata.bind": "$7"})],
    ],
)
def test_a_reference_forward_undoes_the_change_set(
    env: Environment, operations: list[tuple[str, str, dict[str, str]]]
) -> None:
    before = env.org.store.version
    answer = batch(env, change_set(*operations))
    assert answer.startswith("400")
    assert "does not exist in the batch context" in answer
    assert env.org.store.version == before


def test_a_change_set_takes_no_reads(env: Environment) -> None:
    made = ("POST", f"{API}accounts", {"name": "Made"})
    assert batch(env, change_set(made, ("GET", f"{API}accounts", {}))).startswith("400")
    assert "Made" not in {row.fields["name"] for row in env.org.store.rows("account")}


def test_the_metadata_document_names_every_table_key_and_navigation_property(
    env: Environment,
) -> None:
    answer = env.call("GET", "$metadata")
    document = fromstring(answer.encoded())
    types = {one.get("Name"): one for one in document.iter(f"{EDM}EntityType")}
    defined = {f"mscrm.{name}" for name in types}
    for table in TABLES.values():
        told = types[table.name]
        key = told.find(f"{EDM}Key/{EDM}PropertyRef")
        assert key is not None
        assert key.get("Name") == table.primary_id
        assert {p.get("Name") for p in told.iter(f"{EDM}Property")} == set(table.by_wire_name)
        assert {p.get("Type") for p in told.iter(f"{EDM}NavigationProperty")} <= defined


# --- limits


def test_each_limit_refuses_in_its_own_words_and_ends_with_its_window(env: Environment) -> None:
    limits = Limits(requests=3)
    protection = Protection(lambda: env.now, limits)
    for left in (2, 1, 0):
        with protection.admitted() as (requests_left, _):
            assert requests_left == left
    with pytest.raises(ThrottledError) as caught, protection.admitted():
        pass
    assert caught.value.code == "0x80072322"
    assert caught.value.headers == {"Retry-After": "300"}
    env.now += timedelta(seconds=300)
    limits.execution_seconds = 0.0
    with pytest.raises(ThrottledError) as caught, protection.admitted():
        pass
    assert caught.value.code == "0x80072321"
    limits.execution_seconds, limits.concurrent = 1.0, 1
    with protection.admitted(), pytest.raises(ThrottledError) as caught, protection.admitted():
        pass
    assert caught.value.code == "0x80072326"
    with protection.admitted():
        pass
