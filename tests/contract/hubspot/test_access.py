"""Signing in, limits and `check`, connector against stand-in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from connectors.errors import (
    AuthenticationFailed,
    CallRejected,
    NotPermitted,
    RateLimited,
)
from connectors.hubspot.connector import HubSpotConnector
from connectors.hubspot.pacing import Pace
from connectors.port import CheckItem, ConnectionSettings, ObjectNeed
from connectors.tokens import MemoryTokenVault
from registration_core.contracts import FieldSchema, FieldType
from sandbox.hubspot.engine import HubSpotOrg
from sandbox.hubspot.schema import Property
from sandbox.records import Event
from sandbox.serving import Running
from sandbox.stand_in import StandIn
from tests.contract.hubspot.portal import COMPANY, REP, created, item
from tests.contract.peers import Timepiece, settings_of


@pytest.fixture
def oauth(running: Running, org: HubSpotOrg) -> ConnectionSettings:
    """A connection that signs in as an OAuth app."""
    settings = settings_of(running, "hubspot")
    return replace(
        settings,
        credentials={
            "client_id": org.access.client_id,
            "client_secret": settings.webhook["secret"],
            "refresh_token": org.access.refresh_token,
        },
    )


def sign_ins(stand_in: StandIn, since: int) -> int:
    """Count the sign-ins among the calls after the first so many."""
    made = stand_in.journal.last(stand_in.journal.total - since)
    return sum(entry.path.endswith("/token") for entry in made)


@pytest.mark.parametrize("version", ["2026-09", "v3"])
def test_an_oauth_app_signs_in_once_and_again_before_its_token_ends(
    oauth: ConnectionSettings, stand_in: StandIn, timepiece: Timepiece, version: str
) -> None:
    vault = MemoryTokenVault()
    settings = replace(oauth, api_version=version)
    first, second = (HubSpotConnector(settings, timepiece, vault) for _ in range(2))
    before = stand_in.journal.total
    assert first.identity().org_id == second.identity().org_id
    first.describe("deals")
    assert sign_ins(stand_in, before) == 1
    timepiece.skip(timedelta(minutes=29))
    first.describe("companies")
    second.describe("companies")
    assert sign_ins(stand_in, before) == 2


def test_a_token_that_ended_early_is_renewed_and_the_write_sent_again(
    oauth: ConnectionSettings,
    org: HubSpotOrg,
    timepiece: Timepiece,
    new_key: Callable[[], str],
) -> None:
    hubspot = HubSpotConnector(oauth, timepiece)
    hubspot.describe("deals")
    org.access.expire()
    assert created(hubspot, new_key()).isdigit()


def test_a_revoked_refresh_token_says_that_the_app_has_to_be_installed_again(
    oauth: ConnectionSettings, org: HubSpotOrg, timepiece: Timepiece
) -> None:
    org.access.uninstall()
    with pytest.raises(AuthenticationFailed, match="refresh token") as caught:
        HubSpotConnector(oauth, timepiece).identity()
    assert "install the app" in caught.value.hint
    wrong = replace(oauth, credentials={**oauth.credentials, "client_secret": "wrong"})
    with pytest.raises(AuthenticationFailed) as caught:
        HubSpotConnector(wrong, timepiece).identity()
    assert "client_secret" in caught.value.hint
    secrets = (*oauth.credentials.values(), "wrong")
    assert not any(
        secret in f"{caught.value} {caught.value.hint}" for secret in secrets if len(secret) > 8
    )


def test_a_static_token_that_was_refused_is_not_tried_again(
    hubspot: HubSpotConnector, org: HubSpotOrg, stand_in: StandIn
) -> None:
    hubspot.describe("deals")
    org.access.expire()
    before = stand_in.journal.total
    with pytest.raises(AuthenticationFailed):
        hubspot.find("deals", "dealreg_id", ["key"], [])
    assert stand_in.journal.total - before == 1


def test_searches_keep_to_five_in_a_second(
    running: Running, org: HubSpotOrg, timepiece: Timepiece
) -> None:
    timepiece.skip(timedelta(seconds=11))  # past the window in which other tests have called
    org.limits.enforced = True
    waits: list[float] = []

    def pause(seconds: float) -> None:
        waits.append(seconds)
        timepiece.skip(timedelta(seconds=seconds))

    pace = Pace(lambda: timepiece().timestamp(), pause)
    hubspot = HubSpotConnector(settings_of(running, "hubspot"), timepiece, pace=pace)
    for _ in range(12):
        hubspot.count("deals", ())
    assert waits


def test_a_missing_scope_is_named_by_call_and_check(
    hubspot: HubSpotConnector, org: HubSpotOrg, new_key: Callable[[], str]
) -> None:
    org.access.scopes = org.access.scopes - {"crm.objects.deals.write"}
    with pytest.raises(NotPermitted) as caught:
        hubspot.create("deals", "dealreg_id", [item(new_key())])
    assert "crm.objects.deals.write" in caught.value.hint
    need = ObjectNeed("deals", "dealreg_id", ("dealname",), ("dealname", COMPANY))
    need = replace(need, two_way=(COMPANY,))
    items = hubspot.check([need])
    wrong = [each for each in items if not each.ok]
    assert ["crm.objects.deals.write" in each.remedy for each in wrong] == [True]
    assert COMPANY in [each.step.partition(".")[2] for each in items if each.warning]


def test_scopes_that_hubspot_does_not_tell_are_found_out_by_writes_of_nothing(
    hubspot: HubSpotConnector, org: HubSpotOrg, new_key: Callable[[], str]
) -> None:
    need = ObjectNeed("deals", "dealreg_id", ("dealname",), ("dealname", COMPANY))
    accounts = ObjectNeed("companies", None, ("name",))
    deal_id = created(hubspot, new_key())
    org.access.private_app = False
    events: list[Event] = []
    org.store.on_event(events.append)

    def told() -> dict[str, CheckItem]:
        return {e.step: e for e in hubspot.check([need, accounts]) if e.step.startswith("scopes")}

    assert [(e.ok, e.warning) for e in told().values()] == [(True, False)] * 2
    assert "a write of nothing was taken" in told()["scopes for deals"].detail
    granted = set(org.access.scopes)
    for scope in ("crm.objects.deals.write", "crm.objects.companies.write"):
        org.access.scopes = granted - {scope}
        item_ = told()["scopes for deals"]
        assert not item_.ok
        assert scope in item_.remedy
        assert told()["scopes for companies"].ok
    assert events == []
    assert org.resolve(org.kind("deals"), deal_id) is not None


def test_a_portal_that_takes_no_write_of_nothing_leaves_the_scopes_to_a_person(
    hubspot: HubSpotConnector, org: HubSpotOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    org.access.private_app = False
    monkeypatch.setattr("sandbox.hubspot.batch.INPUTS_MAX", -1)
    need = ObjectNeed("deals", "dealreg_id", ("dealname",), ("dealname",))
    (item_,) = [each for each in hubspot.check([need]) if each.step == "scopes for deals"]
    assert (item_.ok, item_.warning) == (True, True)
    assert "crm.objects.deals.write" in item_.remedy


def test_owners_are_ids_and_take_no_scope_of_their_own(
    hubspot: HubSpotConnector, org: HubSpotOrg
) -> None:
    org.access.scopes = org.access.scopes - {"crm.objects.owners.read"}
    need = ObjectNeed("deals", "dealreg_id", ("hubspot_owner_id",), ("dealname",))
    assert [each for each in hubspot.check([need]) if not each.ok] == []


def test_check_finds_a_key_that_is_not_unique_and_a_write_to_a_read_only_property(
    hubspot: HubSpotConnector, org: HubSpotOrg
) -> None:
    need = ObjectNeed("deals", "dealreg_number", (), ("hs_is_closed",))
    wrong = [each for each in hubspot.check([need]) if not each.ok]
    assert ["unique" in each.remedy or "read-only" in each.detail for each in wrong] == [True] * 2


def test_check_finds_a_token_of_another_app(running: Running, timepiece: Timepiece) -> None:
    settings = settings_of(running, "hubspot")
    other = replace(settings, webhook={**settings.webhook, "app_id": "42"})
    wrong = [each for each in HubSpotConnector(other, timepiece).check([]) if not each.ok]
    assert [each.step for each in wrong] == ["app id"]


def test_the_daily_quota_is_known_after_the_first_call(
    running: Running, timepiece: Timepiece
) -> None:
    hubspot = HubSpotConnector(settings_of(running, "hubspot"), timepiece)
    assert hubspot.api_budget() is None
    hubspot.identity()
    budget = hubspot.api_budget()
    assert budget is not None
    assert budget.allowed == 625_000
    assert budget.used >= 1


def test_an_exhausted_day_is_told_with_a_pause_until_the_accounts_midnight(
    hubspot: HubSpotConnector,
    org: HubSpotOrg,
    timepiece: Timepiece,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hubspot.describe("deals")
    hubspot.identity()  # from then on it is known where the account is
    timepiece.skip(timedelta(seconds=11))  # past the window in which other tests have called
    monkeypatch.setattr(org.limits, "daily", 0)
    org.limits.enforced = True
    with pytest.raises(RateLimited) as caught:
        hubspot.find("deals", "dealreg_id", ["key"], [])
    back = (timepiece() + timedelta(seconds=caught.value.retry_after_seconds)).astimezone(
        ZoneInfo("US/Eastern")
    )
    midnight = back.replace(hour=0, minute=0, second=0, microsecond=0)
    assert abs(back - midnight) < timedelta(seconds=5)
    assert 0 < caught.value.retry_after_seconds <= 25 * 3600


def test_check_says_what_a_connection_without_webhooks_or_with_old_signatures_means(
    running: Running, timepiece: Timepiece
) -> None:
    settings = settings_of(running, "hubspot")
    for webhook, told in (
        ({}, "poll alone"),
        ({**settings.webhook, "version": "v1"}, "send again"),
        (settings.webhook, "signature v3, at /webhooks/hubspot"),
    ):
        hubspot = HubSpotConnector(replace(settings, webhook=webhook), timepiece)
        (item_,) = [each for each in hubspot.check([]) if each.step == "webhooks"]
        assert told in item_.detail


def test_check_lists_the_subscriptions_that_the_mapping_needs(
    hubspot: HubSpotConnector, running: Running, timepiece: Timepiece
) -> None:
    needs = [
        ObjectNeed("deals", "dealreg_id", ("dealname", COMPANY)),
        ObjectNeed("deals", "dealreg_id", ("dealname", "amount")),
        ObjectNeed("leads", "dealreg_id", ("hs_lead_name", "hs_object_id")),
        ObjectNeed("contacts", "dealreg_id", (), ("lastname",)),
    ]
    told = {each.step: each.detail for each in hubspot.check(needs)}
    assert told["subscriptions to deals"] == (
        "needed: deal.creation, deal.deletion, deal.merge, deal.restore, deal.associationChange; "
        "deal.propertyChange of each of dealname, amount"
    )
    assert told["subscriptions to leads"].endswith(
        "object.restore, objectType 0-136; object.propertyChange of each of hs_lead_name"
    )
    assert "subscriptions to contacts" not in told
    settings = replace(settings_of(running, "hubspot"), webhook={})
    without = HubSpotConnector(settings, timepiece).check(needs)
    assert not [each for each in without if each.step.startswith("subscriptions")]


def test_check_forbids_writing_both_sides_of_hubspots_own_salesforce_sync(
    hubspot: HubSpotConnector,
    org: HubSpotOrg,
    timepiece: Timepiece,
    new_key: Callable[[], str],
) -> None:
    deals = org.kind("deals")
    deal_id = created(hubspot, new_key())
    stamp = Property("salesforcelastsynctime", "Last Salesforce Sync Time", "datetime")
    need = ObjectNeed("deals", "dealreg_id", ("amount",), ("amount",), {"salesforce": ("amount",)})

    def told() -> list[tuple[bool, bool]]:
        hubspot._forget("deals")
        steps = [each for each in hubspot.check([need]) if "Salesforce" in each.step]
        return [(each.ok, each.warning) for each in steps]

    assert told() == []
    org.definitions.define(deals, stamp)
    try:
        assert told() == [(True, False)]
        org.edit("deals", deal_id, {stamp.name: timepiece().isoformat()}, REP)
        assert told() == [(False, False)]
        need = replace(need, written_elsewhere={"dynamics365": ("amount",)})
        assert told() == [(True, True)]
    finally:
        org.edit("deals", deal_id, {stamp.name: ""}, REP)
        org.definitions.take_away(deals, stamp.name)
        hubspot._forget("deals")


def test_properties_are_made_once_with_unique_values_where_asked(
    hubspot: HubSpotConnector, org: HubSpotOrg, new_key: Callable[[], str]
) -> None:
    deals = org.kind("deals")
    wanted = [
        FieldSchema("partner_key", FieldType.TEXT, label="Partner key", unique=True),
        FieldSchema("partner_score", FieldType.NUMBER),
        FieldSchema("partner_since", FieldType.DATE),
        FieldSchema("partner_seen", FieldType.DATETIME),
        FieldSchema("partner_gold", FieldType.BOOLEAN),
        FieldSchema("partner_kind", FieldType.PICKLIST, options=("reseller", "agent")),
        FieldSchema("partner_areas", FieldType.MULTI_PICKLIST, options=("a", "b")),
    ]
    try:
        hubspot.create_fields("deals", wanted)
        hubspot.create_fields("deals", wanted)
        made = hubspot.describe("deals").fields
        assert {w.name: (w.type, w.unique) for w in wanted} == {
            w.name: (made[w.name].type, made[w.name].unique) for w in wanted
        }
        assert made["partner_kind"].options == ("reseller", "agent")
        key = new_key()
        deal_id = created(hubspot, new_key(), partner_key=key, partner_gold=True)
        assert hubspot.find("deals", "partner_key", [key], [])[key].record_id == deal_id
        with pytest.raises(CallRejected) as caught:
            hubspot.create_fields("deals", [FieldSchema("boss", FieldType.REFERENCE)])
        assert "take it out of the mapping" in caught.value.hint
        org.access.scopes = org.access.scopes - {"crm.schemas.deals.write"}
        with pytest.raises(NotPermitted) as refused:
            hubspot.create_fields("deals", [FieldSchema("more", FieldType.TEXT)])
        assert "crm.schemas.deals.write" in refused.value.hint
    finally:
        for each in wanted:
            org.definitions.take_away(deals, each.name)
        hubspot._forget("deals")
