"""The record engine of the Dynamics 365 stand-in: sign-in, seeds, people, webhooks, restarts."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sandbox.dynamics365.engine import DynamicsOrg
from sandbox.dynamics365.errors import WebApiError
from sandbox.org import SandboxError
from sandbox.records import Event

TENANT = "11111111-2222-4333-8444-555555555555"
CREDENTIALS = {
    "tenant_id": TENANT,
    "client_id": "app",
    "client_secret": "a secret",
    "webhook_secret": "another secret",
}
SCOPE = "https://org.example/.default"
REP = "Sales Rep East"


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2027, 3, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def org(clock: Clock) -> DynamicsOrg:
    org = DynamicsOrg(clock, CREDENTIALS)
    org.seed()
    return org


def test_a_seed_is_the_same_every_time_and_happens_once(org: DynamicsOrg, clock: Clock) -> None:
    other = DynamicsOrg(clock, CREDENTIALS)
    other.seed()
    other.seed()
    ours = {row.id: row.fields for row in org.store.rows("account")}
    assert ours == {row.id: row.fields for row in other.store.rows("account")}
    assert org.org_id == other.org_id


def test_the_seed_marks_direct_house_and_do_not_call_accounts(org: DynamicsOrg) -> None:
    accounts = {row.fields["name"]: row.fields for row in org.store.rows("account")}
    marks = ("customertypecode", "dr_houseaccount", "dr_donotcall")
    told = {
        name: tuple(accounts[name][mark] for mark in marks)
        for name in ("Canary Direct Account", "Canary House Account", "Canary Do Not Call Account")
    }
    assert list(told.values()) == [(3, False, False), (8, True, False), (8, False, True)]


ENDPOINT = f"https://login.example/{TENANT}/oauth2/v2.0/token"


def form(client: str = "app", secret: str = "a secret", scope: str = SCOPE) -> dict[str, str]:
    named = {"client_id": client, "client_secret": secret, "scope": scope}
    return {"grant_type": "client_credentials", **named}


def token_of(org: DynamicsOrg) -> str:
    status, told = org.entra.answer(TENANT, form(), ENDPOINT)
    assert status == 200
    return str(told["access_token"])


@pytest.mark.parametrize(
    ("tenant", "client", "secret", "scope", "number"),
    [
        ("nowhere", "app", "a secret", SCOPE, 90002),
        (TENANT, "other", "a secret", SCOPE, 700016),
        (TENANT, "app", "wrong", SCOPE, 7000215),
        (TENANT, "app", "a secret", "https://org.example/user", 70011),
    ],
)
def test_a_wrong_sign_in_is_refused(
    org: DynamicsOrg, tenant: str, client: str, secret: str, scope: str, number: int
) -> None:
    status, told = org.entra.answer(tenant, form(client, secret, scope), ENDPOINT)
    assert status in (400, 401)
    assert told["error_codes"] == [number]


def test_a_token_ends_with_its_hour_and_on_demand(org: DynamicsOrg, clock: Clock) -> None:
    first = token_of(org)
    assert org.caller(first) == org.integration_user_id
    org.expire_tokens()
    second = token_of(org)
    assert org.caller(second) == org.integration_user_id
    clock.now += timedelta(hours=1)
    for token in (first, second, "made up"):
        with pytest.raises(WebApiError) as caught:
            org.caller(token)
        assert caught.value.status == 401


def test_a_disabled_or_missing_application_user_is_told_apart(org: DynamicsOrg) -> None:
    token = token_of(org)
    org.edit("systemuser", org.integration_user_id, {"isdisabled": True}, REP)
    with pytest.raises(WebApiError) as caught:
        org.caller(token)
    assert caught.value.code == "0x8004a112"
    org.behaviour.application_user = False
    with pytest.raises(WebApiError) as caught:
        org.caller(token)
    assert caught.value.code == "0x80072560"


def test_a_person_closes_and_reopens_in_one_edit(org: DynamicsOrg) -> None:
    deal = org.add("opportunity", {"name": "Deal", "transactioncurrencyid": "EUR"}, REP)
    org.edit("opportunity", deal.id, {"statecode": 1, "actualvalue": 70, "name": "Won"}, REP)
    assert {n: deal.fields[n] for n in ("statecode", "statuscode", "actualvalue", "name")} == {
        "statecode": 1,
        "statuscode": 3,
        "actualvalue": 70.0,
        "name": "Won",
    }
    assert deal.fields["actualclosedate"] == "2027-03-01"
    org.edit("opportunity", deal.id, {"statecode": 0, "name": "Open"}, REP)
    assert (deal.fields["statuscode"], deal.fields["name"]) == (1, "Open")


def test_an_edit_that_fails_at_its_end_leaves_nothing_behind(org: DynamicsOrg) -> None:
    deal = org.add("opportunity", {"name": "Before"}, REP)
    version = deal.version
    with pytest.raises(SandboxError):
        org.edit("opportunity", deal.id, {"name": "After", "statecode": 1, "statuscode": 4}, REP)
    assert (deal.fields["name"], deal.version) == ("Before", version)


@pytest.mark.parametrize(
    "fields",
    [
        {"parentaccountid": "0f8fad5b-d9cb-469f-a165-70867728950e"},
        {"transactioncurrencyid": "XXX"},
        {"no_such": 1},
    ],
)
def test_a_person_cannot_enter_what_is_not_there(
    org: DynamicsOrg, fields: dict[str, str | int]
) -> None:
    with pytest.raises(SandboxError):
        org.add("opportunity", {"name": "Deal", **fields}, REP)


def test_only_accounts_merge_and_not_with_themselves(org: DynamicsOrg) -> None:
    account = org.store.rows("account")[0]
    deal = org.add("opportunity", {"name": "Deal"}, REP)
    for table, loser, winner in (
        ("account", account.id, account.id),
        ("opportunity", deal.id, deal.id),
    ):
        with pytest.raises(SandboxError):
            org.merge(table, loser, winner, REP)


def test_a_webhook_is_an_execution_context_with_typed_values(org: DynamicsOrg) -> None:
    events: list[Event] = []
    org.store.on_event(events.append)
    account = org.store.rows("account")[0]
    deal = org.add(
        "opportunity", {"name": "A/B", "estimatedvalue": 5, "parentaccountid": account.id}, REP
    )
    (delivery,) = org.deliveries(events, "https://deals.example")
    assert delivery.url == "https://deals.example/webhooks/dynamics"
    assert delivery.headers["x-dealreg-secret"] == "another secret"
    assert b"A\\/B" in delivery.body
    context = json.loads(delivery.body)
    target = {a["key"]: a["value"] for a in context["InputParameters"][0]["value"]["Attributes"]}
    assert (context["MessageName"], context["PrimaryEntityId"]) == ("Create", deal.id)
    assert context["OrganizationId"] == org.org_id
    assert target["estimatedvalue"]["Value"] == 5
    assert target["parentaccountid"]["Id"] == account.id
    assert target["salesstage"] if "salesstage" in target else target["statecode"]["Value"] == 0


def test_a_large_webhook_comes_without_its_parameters(org: DynamicsOrg) -> None:
    event = Event(
        "updated",
        "opportunity",
        "0f8fad5b-d9cb-469f-a165-70867728950e",
        {"description": "x" * 300_000},
        org.clock(),
        org.integration_user_id,
        9,
    )
    (delivery,) = org.deliveries([event], "https://deals.example")
    assert delivery.headers["x-ms-dynamics-msg-size-exceeded"] == "true"
    assert "InputParameters" not in json.loads(delivery.body)


def test_records_that_nobody_subscribed_to_send_nothing(org: DynamicsOrg) -> None:
    events: list[Event] = []
    org.store.on_event(events.append)
    org.edit("systemuser", org.integration_user_id, {"isdisabled": False}, REP)
    assert org.deliveries(events, "https://deals.example") == []


def test_records_outlive_a_restart_and_new_ids_stay_new(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "dynamics.sqlite3"
    before = DynamicsOrg(clock, CREDENTIALS, path)
    before.seed()
    deal = before.add("opportunity", {"name": "Deal", "estimatedvalue": 1.25}, REP)
    before.store.close()
    after = DynamicsOrg(clock, CREDENTIALS, path)
    after.seed()
    kept = after.store.get("opportunity", deal.id)
    assert kept is not None
    assert kept.fields == deal.fields
    assert after.add("opportunity", {"name": "Next"}, REP).id != deal.id
    after.store.close()
