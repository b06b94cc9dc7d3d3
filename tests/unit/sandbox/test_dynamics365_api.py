"""The Dynamics 365 stand-in answers as the Web API guide says; no server, no clock but ours."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.unit.sandbox.dynamics365 import REP, ROOT, Environment, body, code


@pytest.fixture
def env() -> Iterator[Environment]:
    environment = Environment()
    environment.org.seed()
    environment.events.clear()
    yield environment
    environment.org.store.close()


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


@pytest.mark.parametrize(("state", "revenue"), [(1, 250.0), (2, None)])
def test_a_deal_won_without_a_revenue_takes_the_estimated_one(
    env: Environment, state: int, revenue: float | None
) -> None:
    env.deal(estimatedvalue=250, statecode=state)
    assert env.org.store.rows("opportunity")[0].fields.get("actualvalue") == revenue


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
        "$filter=" + " or ".join(f"name eq '{number}'" for number in range(501)),
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
        ("POST", "accounts/Microsoft.Dynamics.CRM.DeleteMultiple"),
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
