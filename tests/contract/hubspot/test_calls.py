"""Which calls go out, how many of them, and by which paths, connector against stand-in."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from config.settings import load_settings
from connectors.hubspot.connector import HubSpotConnector
from connectors.hubspot.pacing import Pace
from connectors.port import CreateItem, ObjectNeed, UpdateItem
from registration_core.contracts import Condition, FieldSchema, FieldType
from sandbox.hubspot.engine import HubSpotOrg
from sandbox.serving import Running
from sandbox.stand_in import StandIn
from sync import wiring
from sync.ledger.tables import ConnectionStateRow
from tests.contract.hubspot.portal import COMPANY, REP, company, created
from tests.contract.peers import Timepiece, settings_of, unhurried

EVER = datetime(2020, 1, 1, tzinfo=UTC)
REGISTRATIONS = "2-41750338"
#: What has no dated version.
UNDATED = ("/account-info/v3/details", "/oauth/v2/private-apps/get/access-token-info")
#: How the paths of the kinds of calls end.
KINDS = {"deals", "search", "read", "create", "update", "archive", "labels", "groups", "77"}


def test_a_refused_search_takes_its_turns_twice_as_far_apart(
    running: Running, org: HubSpotOrg, timepiece: Timepiece, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart: list[float] = []

    def turn(seconds: float) -> float:
        apart.append(seconds)
        org.limits.enforced = len(apart) == 1
        return 0.0

    hubspot = HubSpotConnector(settings_of(running, "hubspot"), timepiece, pace=Pace(turn=turn))
    hubspot.describe("deals")
    timepiece.skip(timedelta(seconds=11))  # past the window in which other tests have called
    monkeypatch.setattr(org.limits, "searches_per_second", 0)
    hubspot.count("deals", ())
    assert apart == [0.2, 0.5]


def test_the_searches_of_a_connection_take_the_turns_that_all_its_workers_share(
    running: Running, sqlite_template: Path, tmp_path: Path, timepiece: Timepiece
) -> None:
    store = shutil.copy(sqlite_template, tmp_path / "store.sqlite3")
    settings = load_settings(
        {
            "DEALREG_HOME": str(tmp_path),
            "DEALREG_DATABASE_URL": f"sqlite:///{store}",
            **running.environment(),
        }
    )
    with wiring.unmapped(settings, "hubspot", clock=timepiece) as door:
        door.count("deals", ())
        with door._database.read() as session:  # type: ignore[attr-defined]
            row = session.get_one(ConnectionStateRow, "hubspot")
    assert row.search_at is not None
    assert timepiece() < row.search_at + timedelta(minutes=1)


def test_a_past_is_read_fifty_records_to_a_call(
    hubspot: HubSpotConnector, org: HubSpotOrg, stand_in: StandIn
) -> None:
    hubspot.describe("companies")
    with org.store.transaction():
        ids = [company(org, f"Past {number}").id for number in range(60)]
    before = stand_in.journal.total
    changes = hubspot.history("companies", ids, ["name"], EVER)
    assert {change.record_id for change in changes} == set(ids)
    assert stand_in.journal.total - before == 2


def test_a_selection_is_as_old_as_the_worst_lag_that_was_seen(
    running: Running, org: HubSpotOrg, timepiece: Timepiece, new_key: Callable[[], str]
) -> None:
    hubspot = HubSpotConnector(settings_of(running, "hubspot"), timepiece, pace=unhurried())
    where = [Condition("dealname", ("Lagging",))]

    def age() -> timedelta:
        return timepiece() - hubspot.select("deals", where, [], 5).as_of

    assert timedelta(seconds=60) <= age() < timedelta(seconds=70)
    deal_id = created(hubspot, new_key())
    page = hubspot.changes("deals", [], None)
    while page.more:
        page = hubspot.changes("deals", [], page.cursor)
    timepiece.skip(timedelta(minutes=5))
    org.edit("deals", deal_id, {"dealname": "Found at once"}, REP)
    org.index_lag = timedelta(minutes=4)
    timepiece.skip(timedelta(minutes=4, seconds=1))
    org.edit("deals", deal_id, {"dealname": "Not found yet"}, REP)
    timepiece.skip(timedelta(minutes=3))
    hubspot.changes("deals", ["dealname"], page.cursor)
    assert timedelta(minutes=5) < age() < timedelta(minutes=7)


@pytest.mark.parametrize(
    ("version", "dated"), [("", "/2026-09/"), ("2026-03", "/2026-03/"), ("v3", "")]
)
def test_every_kind_of_call_goes_by_the_paths_of_the_configured_version(
    running: Running,
    org: HubSpotOrg,
    stand_in: StandIn,
    timepiece: Timepiece,
    new_key: Callable[[], str],
    version: str,
    dated: str,
) -> None:
    settings = replace(settings_of(running, "hubspot"), api_version=version)
    hubspot = HubSpotConnector(settings, timepiece, pace=unhurried())
    before = stand_in.journal.total
    drive(hubspot, org, new_key)
    made = stand_in.journal.total - before
    paths = {entry.path.partition("?")[0] for entry in stand_in.journal.last(made)}
    assert paths >= set(UNDATED)
    named = paths - set(UNDATED)
    assert {path.rpartition("/")[2] for path in named} >= KINDS
    if dated:
        assert [path for path in named if dated not in path] == []
    else:
        assert [path for path in named if "/crm/v3/" not in path and "/crm/v4/" not in path] == []
    refused = [entry for entry in stand_in.journal.last(made) if entry.status == 501]
    assert refused == []


def drive(hubspot: HubSpotConnector, org: HubSpotOrg, new_key: Callable[[], str]) -> None:
    """Make every kind of call that the connector knows."""
    acme, key, deals = company(org).id, new_key(), org.kind("deals")
    need = ObjectNeed("deals", "dealreg_id", ("dealname", COMPANY), ("dealname", COMPANY))
    assert all(told.ok for told in hubspot.check([need]))
    deal_id = created(hubspot, key, **{COMPANY: acme})
    hubspot.update("deals", [UpdateItem(deal_id, {"dealname": "After", COMPANY: None})])
    hubspot.update("deals", [UpdateItem(deal_id, {COMPANY: acme})])
    record = {"dealreg_id": new_key(), "registration_name": "R", COMPANY: acme}
    hubspot.create(REGISTRATIONS, "dealreg_id", [CreateItem(str(record["dealreg_id"]), record)])
    hubspot.find("deals", "dealreg_id", [key], ["dealname"])
    hubspot.select("deals", [Condition(COMPANY, (acme,))], ["dealname"], 5)
    hubspot.changes("deals", ["dealname", COMPANY], None)
    hubspot.history("deals", [deal_id], ["dealname"], EVER)
    hubspot.read("deals", [deal_id, "77"], ["dealname", COMPANY])
    try:
        hubspot.create_fields("deals", [FieldSchema("by_version", FieldType.TEXT)])
    finally:
        org.definitions.take_away(deals, "by_version")


@pytest.mark.parametrize(
    ("path", "taken"),
    [
        ("/crm/v4/associations", 201),
        ("/crm/associations/2026-03", 201),
        ("/crm/associations/2026-09", 200),
    ],
)
def test_the_stand_in_answers_an_association_as_its_version_does(
    hubspot: HubSpotConnector,
    org: HubSpotOrg,
    stand_in: StandIn,
    new_key: Callable[[], str],
    path: str,
    taken: int,
) -> None:
    deal_id, acme = created(hubspot, new_key()), company(org).id

    def status(*companies: str) -> int:
        types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 5}]
        inputs = [
            {"from": {"id": deal_id}, "to": {"id": each}, "types": types} for each in companies
        ]
        answer = hubspot._gateway._pool.request(
            "POST",
            f"{stand_in.url}{path}/deals/companies/batch/create",
            json={"inputs": inputs},
            headers={"Authorization": f"Bearer {stand_in.credentials['access_token']}"},
        )
        return answer.status

    assert (status(acme), status(acme, "77")) == (taken, 207)


def test_a_version_that_hubspot_does_not_have_is_not_answered(
    hubspot: HubSpotConnector, stand_in: StandIn
) -> None:
    for path in ("/crm/objects/banana/deals", "/crm/properties/2025-09/deals", "/oauth/v9/token"):
        answer = hubspot._gateway._pool.request("GET", f"{stand_in.url}{path}")
        assert answer.status == 501, path
