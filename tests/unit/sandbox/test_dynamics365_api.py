"""The Dynamics 365 stand-in answers as the Web API guide says; no server, no clock but ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from sandbox.dynamics365.calls import API, Answer, Call
from sandbox.dynamics365.engine import DynamicsOrg
from sandbox.dynamics365.service import WebApi
from sandbox.records import Event

CREDENTIALS = {
    "tenant_id": "11111111-2222-4333-8444-555555555555",
    "client_id": "app",
    "client_secret": "a secret",
    "webhook_secret": "another secret",
}
ROOT = f"https://org.example{API}"
REP = "Sales Rep East"


class Environment:
    """An org, its API, and a clock to turn."""

    def __init__(self) -> None:
        self.now = datetime(2027, 3, 1, 12, 0, 0, tzinfo=UTC)
        self.org = DynamicsOrg(lambda: self.now, CREDENTIALS)
        self.api = WebApi(self.org)
        self.events: list[Event] = []
        self.org.store.on_event(self.events.append)

    def call(
        self,
        method: str,
        address: str,
        body: object = None,
        **headers: str,
    ) -> Answer:
        split = urlsplit(address.removeprefix(ROOT))
        raw = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        return self.api.handle(
            Call(
                method=method,
                path=unquote(split.path),
                query=dict(parse_qsl(split.query, keep_blank_values=True)),
                headers={name.replace("_", "-"): value for name, value in headers.items()},
                body=raw,
                user_id=self.org.integration_user_id,
                root=ROOT,
            )
        )

    def account(self, **fields: Any) -> str:
        return self.org.add("account", {"name": "Acme", **fields}, REP).id

    def deal(self, key: str | None = None, **fields: Any) -> str:
        named = {"name": "Deal", **({"dr_dealregid": key} if key else {}), **fields}
        return self.org.add("opportunity", named, REP).id


@pytest.fixture
def env() -> Iterator[Environment]:
    environment = Environment()
    environment.org.seed()
    environment.events.clear()
    yield environment
    environment.org.store.close()


def body(answer: Answer) -> Any:
    return json.loads(answer.encoded())


def code(answer: Answer) -> tuple[int, str]:
    return answer.status, body(answer)["error"]["code"]


# --- PATCH, its conditions and its answers

WANTS = {"prefer": "return=representation"}


@pytest.mark.parametrize(
    ("exists", "headers", "expected"),
    [
        (False, {}, 201),
        (False, {"if_match": "*"}, 404),
        (False, {"if_none_match": "*"}, 201),
        (True, {}, 200),
        (True, {"if_match": "*"}, 200),
        (True, {"if_none_match": "*"}, 412),
        (True, {"if_match": 'W/"1"'}, 412),
    ],
)
def test_a_patch_by_key_obeys_its_condition(
    env: Environment, exists: bool, headers: dict[str, str], expected: int
) -> None:
    if exists:
        env.deal("k-1", name="Before")
    answer = env.call(
        "PATCH", "opportunities(dr_dealregid='K-1')?$select=name", {"name": "A"}, **WANTS, **headers
    )
    assert answer.status == expected
    kept = [row.fields["name"] for row in env.org.store.rows("opportunity")]
    assert kept == (["A"] if expected < 300 else ["Before"] if exists else [])


def test_an_upsert_by_key_repeats_the_key_and_not_the_id(env: Environment) -> None:
    answer = env.call("PATCH", "opportunities(dr_dealregid='k-1')", {"name": "A"})
    assert answer.status == 204
    assert answer.headers["OData-EntityId"] == f"{ROOT}opportunities(dr_dealregid='k-1')"


def test_a_patch_with_the_right_version_is_taken_once(env: Environment) -> None:
    deal = env.deal()
    tag = env.call("GET", f"opportunities({deal})?$select=name").headers["ETag"]
    address = f"opportunities({deal})"
    assert env.call("PATCH", address, {"name": "B"}, if_match=tag).status == 204
    assert code(env.call("PATCH", address, {"name": "C"}, if_match=tag)) == (412, "0x80060882")
    assert env.call("GET", address, if_none_match=tag).status == 200


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"name": "x" * 301}, (400, "0x80044331")),
        ({"no_such": 1}, (400, "0x80048d19")),
        ({"salesstage": 9}, (400, "0x8004431a")),
        ({"salesstage": "1"}, (400, "0x80048d19")),
        ({"estimatedvalue": 10**13}, (400, "0x80044330")),
        ({"estimatedclosedate": "2027-01-01T00:00:00Z"}, (400, "0x80048d19")),
        ({"modifiedon": "2027-01-01T00:00:00Z"}, (400, "0x80048d19")),
        ({"ParentAccountId@odata.bind": None}, (400, "0x80048d19")),
        ({"_ownerid_value": None}, (400, "0x80048d19")),
        ({"statecode": 1}, (400, "0x80040516")),
        ({"statuscode": 3}, (400, "0x80048408")),
        (
            {"parentaccountid@odata.bind": "/accounts(0f8fad5b-d9cb-469f-a165-70867728950e)"},
            (404, "0x80040217"),
        ),
    ],
)
def test_a_payload_that_does_not_fit_is_refused_and_changes_nothing(
    env: Environment, payload: object, expected: tuple[int, str]
) -> None:
    deal = env.deal()
    env.events.clear()
    assert code(env.call("PATCH", f"opportunities({deal})", payload)) == expected
    assert env.events == []


def test_two_rows_cannot_share_a_key_but_may_both_have_none(env: Environment) -> None:
    env.deal("k-1")
    env.deal()
    other = env.deal()
    answer = env.call("PATCH", f"opportunities({other})", {"dr_dealregid": "K-1"})
    assert code(answer) == (412, "0x80060892")


def test_an_address_by_no_key_is_refused(env: Environment) -> None:
    assert code(env.call("GET", "opportunities(name='Deal')")) == (400, "0x8006088a")


def test_values_are_kept_in_the_platforms_form(env: Environment) -> None:
    account = env.account()
    payload = {
        "name": "Deal",
        "description": "",
        "estimatedvalue": 10.005,
        "customerid_account@odata.bind": f"/accounts({account})",
    }
    answer = env.call("POST", "opportunities", payload, **WANTS)
    row = body(answer)
    assert (row["description"], row["estimatedvalue"]) == (None, 10.0)
    assert row["_customerid_value"] == account
    assert row["_transactioncurrencyid_value"] is not None
    assert (row["statecode"], row["statuscode"]) == (0, 1)


# --- closing


def test_winning_closes_with_revenue_and_day_and_only_once(env: Environment) -> None:
    deal = env.deal()
    payload = {
        "Status": 3,
        "OpportunityClose": {
            "subject": "Won",
            "opportunityid@odata.bind": f"/opportunities({deal})",
            "actualrevenue": 500,
            "actualend": "2027-02-28T12:00:00Z",
        },
    }
    assert env.call("POST", "WinOpportunity", payload).status == 204
    row = body(env.call("GET", f"opportunities({deal})"))
    assert [row[n] for n in ("statecode", "statuscode", "actualvalue", "actualclosedate")] == [
        1,
        3,
        500.0,
        "2027-02-28",
    ]
    assert len(env.org.store.rows("opportunityclose")) == 1
    assert code(env.call("POST", "LoseOpportunity", payload)) == (400, "0x80040515")


def test_a_status_of_another_state_does_not_close(env: Environment) -> None:
    close = {"opportunityid@odata.bind": f"/opportunities({env.deal()})"}
    payload = {"Status": 4, "OpportunityClose": close}
    assert code(env.call("POST", "WinOpportunity", payload)) == (400, "0x80048408")
    assert env.org.store.rows("opportunityclose") == []


def test_a_reopened_deal_takes_the_open_status(env: Environment) -> None:
    deal = env.deal(statecode=2)
    assert env.org.store.rows("opportunity")[0].fields["statuscode"] == 4
    assert env.call("PATCH", f"opportunities({deal})", {"statecode": 0}).status == 204
    assert env.org.store.rows("opportunity")[0].fields["statuscode"] == 1


@pytest.mark.parametrize(("lenient", "expected"), [(True, 204), (False, 400)])
def test_a_closed_deal_takes_changes_where_the_environment_does(
    env: Environment, lenient: bool, expected: int
) -> None:
    deal = env.deal(statecode=1)
    env.org.behaviour.closed_takes_changes = lenient
    assert env.call("PATCH", f"opportunities({deal})", {"dr_state": "expired"}).status == expected


# --- merge and delete


def test_the_loser_of_a_merge_stays_and_points_at_the_winner(env: Environment) -> None:
    loser, winner = env.account(), env.account()
    deal = env.deal(parentaccountid=loser, customerid_account=loser)
    env.org.merge("account", loser, winner, REP)
    row = body(env.call("GET", f"accounts({loser})"))
    assert (row["merged"], row["_masterid_value"], row["statecode"]) == (True, winner, 1)
    moved = body(env.call("GET", f"opportunities({deal})"))
    assert moved["_parentaccountid_value"] == moved["_customerid_value"] == winner


def test_a_deleted_account_takes_its_own_deals_with_it_and_leaves_the_rest(
    env: Environment,
) -> None:
    account = env.account()
    theirs, other = env.deal(customerid_account=account), env.deal(parentaccountid=account)
    env.org.remove("account", account, REP)
    assert env.call("GET", f"opportunities({theirs})").status == 404
    assert body(env.call("GET", f"opportunities({other})"))["_parentaccountid_value"] is None


# --- queries


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("name eq 'acme''s'", ["Acme's"]),
        ("name ne 'Acme''s' and startswith(name,'zz ')", ["zz 1", "zz 2"]),
        ("not (name eq 'zz 1') and contains(name,'Z 2') or name eq 'ACME''S'", ["Acme's", "zz 2"]),
        ("Microsoft.Dynamics.CRM.In(PropertyName='name',PropertyValues=[\"zz 1\"])", ["zz 1"]),
        ("dr_houseaccount eq true and endswith(name,'2')", ["zz 2"]),
        ("dr_duns eq null and startswith(name,'zz')", ["zz 1", "zz 2"]),
        ("createdon ge 2027-03-01T12:00:05Z and customertypecode eq 3", ["zz 1"]),
    ],
)
def test_a_filter_finds_what_it_says(env: Environment, condition: str, expected: list[str]) -> None:
    env.now += timedelta(seconds=5)
    env.account(name="Acme's")
    env.account(name="zz 1", customertypecode=3)
    env.account(name="zz 2", dr_houseaccount=True)
    found = body(env.call("GET", f"accounts?$select=name&$orderby=name&$filter={condition}"))
    assert [row["name"] for row in found["value"]] == expected


@pytest.mark.parametrize(
    "option",
    [
        "$filter=name eq 'it's'",
        "$filter=no_such eq 1",
        "$filter=name eq",
        "$filter=name like 'x'",
        "$filter=(name eq 'x'",
        "$select=no_such",
        "$orderby=no_such",
        "$skip=5",
        "$search=x",
    ],
)
def test_a_query_the_api_does_not_know_is_refused(env: Environment, option: str) -> None:
    assert env.call("GET", f"accounts?{option}").status == 400


def test_pages_follow_their_cookie_and_miss_nothing_when_rows_go(env: Environment) -> None:
    for number in range(5):
        env.deal(name=f"D{number}")
    size = {"prefer": "odata.maxpagesize=2"}
    page = body(env.call("GET", "opportunities?$select=name&$orderby=name desc", **size))
    names = [row["name"] for row in page["value"]]
    env.org.remove("opportunity", page["value"][0]["opportunityid"], REP)
    while "@odata.nextLink" in page:
        page = body(env.call("GET", page["@odata.nextLink"], **size))
        names += [row["name"] for row in page["value"]]
    assert names == ["D4", "D3", "D2", "D1", "D0"]


# --- change tracking

TRACK = {"prefer": "odata.track-changes,odata.maxpagesize=2"}


def follow(env: Environment, address: str) -> tuple[list[dict[str, Any]], str]:
    """Read a feed to its end; rows and the link for later."""
    rows: list[dict[str, Any]] = []
    while True:
        page = body(env.call("GET", address, **TRACK))
        rows += page["value"]
        if "@odata.deltaLink" in page:
            return rows, page["@odata.deltaLink"]
        address = page["@odata.nextLink"]


def test_the_feed_tells_changes_first_and_deletions_last(env: Environment) -> None:
    first, second, third = env.deal(), env.deal(), env.deal()
    rows, link = follow(env, "opportunities?$select=name")
    assert {row["opportunityid"] for row in rows} == {first, second, third}
    env.org.remove("opportunity", second, REP)
    passing = env.deal()
    env.org.remove("opportunity", passing, REP)
    env.org.edit("opportunity", first, {"name": "New"}, REP)
    rows, later = follow(env, link)
    assert [row.get("name") for row in rows] == ["New", None, None]
    assert [row["id"] for row in rows[1:]] == [second, passing]
    assert follow(env, link)[0] == rows
    assert follow(env, later)[0] == []


def test_a_row_changed_between_pages_comes_with_the_next_link(env: Environment) -> None:
    deals = [env.deal() for _ in range(4)]
    page = body(env.call("GET", "opportunities?$select=name", **TRACK))
    env.org.edit("opportunity", deals[3], {"name": "New"}, REP)
    _, link = follow(env, page["@odata.nextLink"])
    assert [row["name"] for row in follow(env, link)[0]] == ["New"]


def test_an_old_token_is_refused(env: Environment) -> None:
    _, link = follow(env, "opportunities?$select=name")
    env.now += timedelta(days=8)
    assert code(env.call("GET", link)) == (400, "0x80044352")


@pytest.mark.parametrize("option", ["$filter=name eq 'x'", "$orderby=name", "$top=1"])
def test_tracking_takes_no_other_option(env: Environment, option: str) -> None:
    assert env.call("GET", f"opportunities?{option}", **TRACK).status == 400


# --- batches


def batch(*parts: str) -> bytes:
    pieces = [f"--b\nContent-Type: application/http\n\n{part}\n" for part in parts]
    return ("".join(pieces) + "--b--").encode()


def send(env: Environment, content: bytes, **headers: str) -> Answer:
    return env.call(
        "POST", "$batch", content, content_type="multipart/mixed; boundary=b", **headers
    )


GOOD = f'POST {API}accounts HTTP/1.1\nContent-Type: application/json\n\n{{"name":"In a batch"}}'
BAD = f'POST {API}accounts HTTP/1.1\nContent-Type: application/json\n\n{{"nonsense":1}}'


def named(env: Environment) -> int:
    return sum(row.fields["name"] == "In a batch" for row in env.org.store.rows("account"))


@pytest.mark.parametrize(
    ("preference", "status", "written"), [("", 400, 1), ("odata.continue-on-error", 200, 2)]
)
def test_a_batch_goes_on_after_an_error_when_asked(
    env: Environment, preference: str, status: int, written: int
) -> None:
    answer = send(env, batch(GOOD, BAD, GOOD), prefer=preference)
    assert answer.status == status
    assert answer.encoded().startswith(b"--batchresponse_")
    assert named(env) == written


def test_a_change_set_is_written_and_told_whole_or_not_at_all(env: Environment) -> None:
    def change_set(*parts: str) -> bytes:
        inner = "".join(f"--c\nContent-Type: application/http\n\n{part}\n" for part in parts)
        head = "--b\nContent-Type: multipart/mixed; boundary=c\n\n"
        return f"{head}{inner}--c--\n--b--".encode()

    version = env.org.store.version
    failed = send(env, change_set(GOOD, BAD), prefer="odata.continue-on-error")
    assert failed.encoded().count(b"HTTP/1.1 ") == 1
    assert (named(env), env.events) == (0, [])
    assert env.org.store.version > version
    assert send(env, change_set(GOOD, GOOD)).encoded().count(b"HTTP/1.1 204") == 2
    assert (named(env), len(env.events)) == (2, 2)


@pytest.mark.parametrize(
    "content", [b"", b"--b\nnoise", b"--b\nContent-Type: text/plain\n\nx\n--b--"]
)
def test_a_malformed_batch_is_refused_in_json(env: Environment, content: bytes) -> None:
    assert code(send(env, content))[0] == 400


# --- who may, and what is not there


def test_a_missing_privilege_is_named(env: Environment) -> None:
    env.org.behaviour.revoked.add(("Write", "opportunity"))
    answer = env.call("PATCH", f"opportunities({env.deal()})", {"name": "X"})
    assert code(answer) == (403, "0x80040220")
    assert "prvWriteOpportunity" in body(answer)["error"]["message"]


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("PUT", "accounts(0f8fad5b-d9cb-469f-a165-70867728950e)"),
        ("GET", "accounts(0f8fad5b-d9cb-469f-a165-70867728950e)/name"),
        ("POST", "accounts/Microsoft.Dynamics.CRM.CreateMultiple"),
        ("GET", "EntityDefinitions(LogicalName='account')/OneToManyRelationships"),
    ],
)
def test_what_is_not_built_says_so(env: Environment, method: str, address: str) -> None:
    assert env.call(method, address).status == 501


def test_metadata_tells_types_choices_keys_and_navigation(env: Environment) -> None:
    root = "EntityDefinitions(LogicalName='dr_dealregistration')"
    cast = f"{root}/Attributes/Microsoft.Dynamics.CRM"
    days = body(env.call("GET", f"{cast}.DateTimeAttributeMetadata?$select=DateTimeBehavior"))
    behaviours = {row["DateTimeBehavior"]["Value"] for row in days["value"]}
    keys = body(env.call("GET", f"{root}/Keys"))["value"]
    links = body(env.call("GET", f"{root}/ManyToOneRelationships"))["value"]
    names = {row["ReferencingEntityNavigationPropertyName"] for row in links}
    assert behaviours == {"DateOnly", "UserLocal"}
    assert (keys[0]["KeyAttributes"], keys[0]["EntityKeyIndexStatus"]) == (
        ["dr_dealregid"],
        "Active",
    )
    assert "dr_Account" in names
    assert env.call("GET", "EntityDefinitions(LogicalName='nothing')").status == 404
