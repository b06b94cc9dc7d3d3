"""The HubSpot stand-in's records: what it takes, normalises, refuses, merges and remembers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sandbox.hubspot import shapes
from sandbox.hubspot.engine import HubSpotOrg
from sandbox.hubspot.schema import OBJECT_TYPES
from sandbox.hubspot.values import HubSpotError
from sandbox.org import SandboxError
from sandbox.records import Json, Row

CREDENTIALS = {"access_token": "pat-na1-made-up", "app_id": "1160452", "webhook_secret": "s"}
DEALS, COMPANIES = OBJECT_TYPES["deals"], OBJECT_TYPES["companies"]
REP = "Sales Rep East"


class Watch:
    """A clock that stands still until it is told to move."""

    def __init__(self) -> None:
        self.now = datetime(2026, 10, 1, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **span: float) -> None:
        """Let time pass."""
        self.now += timedelta(**span)


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def org(watch: Watch) -> HubSpotOrg:
    return HubSpotOrg(watch, CREDENTIALS)


def add(org: HubSpotOrg, **fields: Json) -> Row:
    """Add a deal as a sales rep."""
    return org.add("deals", {"dealname": "Deal", "dealstage": "appointmentscheduled"} | fields, REP)


def company(org: HubSpotOrg, name: str = "Acme") -> str:
    """Add a company and return its id."""
    return org.add("companies", {"name": name}, REP).id


def codes(error: HubSpotError) -> dict[str, str]:
    """Tell which property was refused with which code."""
    return {fault.property: fault.code for fault in error.faults}


def test_every_bad_property_of_a_write_is_named_and_nothing_is_written(org: HubSpotOrg) -> None:
    bad: dict[str, Json] = {
        "amount": "1,500",
        "closedate": "soon",
        "dealreg_protected_from": "1767225600001",
        "dealstage": "no_such_stage",
        "hs_is_closed": "true",
        "hubspot_owner_id": "1",
        "no_such_property": "x",
        "description": "x" * 65_537,
    }
    with pytest.raises(HubSpotError) as caught:
        org.create(DEALS, {"dealname": "Deal", **bad}, (), org.app_user)
    assert codes(caught.value) == {
        "amount": "INVALID_LONG",
        "closedate": "INVALID_DATE",
        "dealreg_protected_from": "INVALID_DATE",
        "dealstage": "INVALID_OPTION",
        "hs_is_closed": "READ_ONLY_VALUE",
        "hubspot_owner_id": "INVALID_OWNER_ID",
        "no_such_property": "PROPERTY_DOESNT_EXIST",
        "description": "PROPERTY_VALUE_TOO_LONG",
    }
    assert caught.value.status == 400
    assert org.store.rows("deals") == []


def test_values_are_stored_as_the_portal_writes_them(org: HubSpotOrg) -> None:
    row = add(
        org,
        dealname="  Freezer hall ",
        amount="1500.50",
        closedate="2026-11-30",
        dealreg_protected_from="1767225600000",
    )
    stored = {n: row.fields[n] for n in ("dealname", "amount", "closedate")}
    assert stored == {
        "dealname": "Freezer hall",
        "amount": "1500.5",
        "closedate": "2026-11-30T00:00:00Z",
    }
    assert row.fields["dealreg_protected_from"] == "2026-01-01"
    assert org.add("companies", {"name": "A", "domain": "ACME.Example"}, REP).fields["domain"] == (
        "acme.example"
    )


def test_a_number_that_is_none_is_refused(org: HubSpotOrg) -> None:
    for amount in ("NaN", "Infinity", "ten"):
        with pytest.raises(SandboxError):
            add(org, amount=amount)


def test_a_create_needs_a_name_and_a_stage(org: HubSpotOrg) -> None:
    with pytest.raises(HubSpotError) as caught:
        org.create(DEALS, {}, (), org.app_user)
    assert codes(caught.value) == {
        "dealname": "MISSING_REQUIRED_PROPERTY",
        "dealstage": "MISSING_REQUIRED_PROPERTY",
    }


def test_empty_text_clears_and_json_null_leaves_a_property(org: HubSpotOrg) -> None:
    row = add(org, amount="5", description="note")
    org.update(DEALS, row, {"amount": "", "description": None}, org.app_user)
    assert "amount" not in row.fields
    assert row.fields["description"] == "note"


def test_a_stage_alone_cannot_leave_its_pipeline(org: HubSpotOrg) -> None:
    row = add(org)
    with pytest.raises(HubSpotError) as caught:
        org.update(DEALS, row, {"dealstage": "pm_won"}, org.app_user)
    assert codes(caught.value) == {"dealstage": "INVALID_OPTION"}
    org.update(DEALS, row, {"dealstage": "pm_won", "pipeline": "partner_mirror"}, org.app_user)
    assert row.fields["hs_is_closed_won"] == "true"


def test_closing_and_reopening_follow_from_the_stage(org: HubSpotOrg) -> None:
    row = add(org)
    for stage, closed, won in (
        ("closedlost", "true", "false"),
        ("closedwon", "true", "true"),
        ("contractsent", "false", "false"),
    ):
        org.edit("deals", row.id, {"dealstage": stage}, REP)
        assert (row.fields["hs_is_closed"], row.fields["hs_is_closed_won"]) == (closed, won)


def test_a_unique_value_is_held_by_one_live_record(org: HubSpotOrg) -> None:
    first = add(org, dealreg_id="key-1")
    with pytest.raises(HubSpotError) as caught:
        add(org, dealreg_id="key-1")
    assert codes(caught.value) == {"dealreg_id": "CONFLICTING_UNIQUE_VALUE"}
    org.edit("deals", first.id, {"dealreg_id": "key-1", "amount": "1"}, REP)
    found = org.by_unique(DEALS, "dealreg_id", "key-1")
    assert found is not None
    assert found.id == first.id
    org.remove("deals", first.id, REP)
    assert org.by_unique(DEALS, "dealreg_id", "key-1") is None
    assert add(org, dealreg_id="key-1").id != first.id


def test_a_lookup_by_a_property_that_is_not_unique_is_refused(org: HubSpotOrg) -> None:
    with pytest.raises(HubSpotError, match="non-unique"):
        org.by_unique(DEALS, "hs_object_id", "5")


def test_ids_are_long_numbers_and_never_used_twice(org: HubSpotOrg) -> None:
    ids = [int(add(org).id) for _ in range(50)]
    assert ids == sorted(set(ids))
    assert ids[0] > 2**32


def test_a_merge_makes_a_new_record_and_the_old_ids_lead_to_it(org: HubSpotOrg) -> None:
    winner = org.add("companies", {"name": "Winner", "city": "Oslo"}, REP)
    loser = org.add("companies", {"name": "Loser", "phone": "1"}, REP)
    deal = add(org, **{"associations.companies": loser.id})
    org.merge("companies", loser.id, winner.id, REP)
    survivor = org.resolve(COMPANIES, loser.id)
    assert survivor is not None
    assert survivor is org.resolve(COMPANIES, winner.id)
    assert survivor.id not in (winner.id, loser.id)
    assert (survivor.fields["name"], survivor.fields["city"], survivor.fields["phone"]) == (
        "Winner",
        "Oslo",
        "1",
    )
    assert survivor.fields["hs_merged_object_ids"] == f"{winner.id};{loser.id}"
    assert org.links.of(("deals", deal.id), "companies") == [(survivor.id, [5, 341])]


def test_a_second_merge_keeps_the_ids_of_the_first(org: HubSpotOrg) -> None:
    first, second, third = company(org), company(org), company(org)
    org.merge("companies", second, first, REP)
    org.merge("companies", third, first, REP)
    survivor = org.resolve(COMPANIES, second)
    assert survivor is not None
    merged = str(survivor.fields["hs_merged_object_ids"]).split(";")
    assert {first, second, third} <= set(merged)


def test_a_merge_frees_the_losers_unique_value(org: HubSpotOrg) -> None:
    winner, loser = add(org, dealreg_id="winner"), add(org, dealreg_id="loser")
    org.merge("deals", loser.id, winner.id, REP)
    assert org.by_unique(DEALS, "dealreg_id", "loser") is None
    found = org.by_unique(DEALS, "dealreg_id", "winner")
    assert found is not None
    assert found is org.resolve(DEALS, winner.id)


def test_a_deal_has_one_primary_company(org: HubSpotOrg) -> None:
    first, second = company(org), company(org)
    deal = add(org, **{"associations.companies": first})
    org.edit("deals", deal.id, {"associations.companies": second}, REP)
    assert dict(org.links.of(("deals", deal.id), "companies")) == {first: [341], second: [5, 341]}
    assert org.links.of(("companies", second), "deals") == [(deal.id, [6, 342])]
    org.edit("deals", deal.id, {"associations.companies": None}, REP)
    assert org.links.of(("deals", deal.id), "companies") == [(first, [341])]


def test_an_association_does_not_move_the_modified_date(org: HubSpotOrg, watch: Watch) -> None:
    deal, there = add(org), company(org)
    before = deal.modified_at
    watch.forward(minutes=1)
    org.edit("deals", deal.id, {"associations.companies": there}, REP)
    assert deal.modified_at == before


def test_a_person_cannot_name_a_company_that_is_not_there(org: HubSpotOrg) -> None:
    deal = add(org)
    with pytest.raises(SandboxError, match="No company"):
        org.edit("deals", deal.id, {"amount": "5", "associations.companies": "77"}, REP)
    assert "amount" not in deal.fields
    with pytest.raises(SandboxError, match="No company"):
        add(org, dealreg_id="key-1", **{"associations.companies": "77"})
    assert org.by_unique(DEALS, "dealreg_id", "key-1") is None


def test_an_archived_record_can_be_restored_with_its_unique_value(org: HubSpotOrg) -> None:
    row = add(org, dealreg_id="key-1")
    org.remove("deals", row.id, REP)
    assert org.resolve(DEALS, row.id) is None
    org.restore("deals", row.id, REP)
    assert org.by_unique(DEALS, "dealreg_id", "key-1") is row


def test_history_tells_the_app_from_a_person_newest_first(org: HubSpotOrg, watch: Watch) -> None:
    org.seed()
    row = org.create(DEALS, {"dealname": "Ours", "dealstage": "closedwon"}, (), org.app_user)
    watch.forward(seconds=1)
    org.edit("deals", row.id, {"dealname": "Theirs"}, REP)
    theirs, ours = shapes.history(row, DEALS.properties["dealname"])
    assert (theirs["value"], theirs["sourceType"]) == ("Theirs", "CRM_UI")
    assert theirs["sourceId"] == f"userId:{theirs['updatedByUserId']}"
    assert (ours["value"], ours["sourceType"], ours["sourceId"]) == (
        "Ours",
        "INTEGRATION",
        "1160452",
    )
    (computed,) = shapes.history(row, DEALS.properties["hs_is_closed"])
    assert computed["sourceType"] == "CALCULATED"


def test_seeding_twice_is_seeding_once(org: HubSpotOrg) -> None:
    org.seed()
    before = len(org.store.rows("companies"))
    org.seed()
    assert len(org.store.rows("companies")) == before
    classes = {
        str(row.fields["name"]): (
            row.fields["account_class"],
            row.fields["house_account"],
            row.fields["do_not_call"],
        )
        for row in org.store.rows("companies")
    }
    assert classes["Canary Direct Account"] == ("direct", "false", "false")
    assert classes["Canary House Account"] == ("prospect", "true", "false")
    assert classes["Canary Do Not Call Account"] == ("prospect", "false", "true")


def test_seeded_subsidiaries_know_their_parent(org: HubSpotOrg) -> None:
    org.seed()
    rows = org.store.rows("companies")
    parents = {shapes.value(org, row, "hs_parent_company_id") for row in rows} - {None}
    assert parents
    assert parents <= {row.id for row in rows}


def test_a_portal_goes_on_where_it_stopped(watch: Watch, tmp_path: Path) -> None:
    path = tmp_path / "hubspot.sqlite3"
    before = HubSpotOrg(watch, CREDENTIALS, path, seed=3)
    there = company(before)
    deal = add(before, dealreg_id="key-1", **{"associations.companies": there})
    org_id = before.org_id
    before.store.close()
    after = HubSpotOrg(watch, CREDENTIALS, path)
    assert after.org_id == org_id
    found = after.by_unique(DEALS, "dealreg_id", "key-1")
    assert found is not None
    assert found.id == deal.id
    assert after.links.of(("deals", deal.id), "companies") == [(there, [5, 341])]
    assert int(add(after).id) > int(deal.id)
    after.store.close()


def test_the_token_is_compared_and_can_be_expired(org: HubSpotOrg) -> None:
    org.access.authenticate("Bearer pat-na1-made-up")
    for wrong in ("", "Bearer ", "Bearer other", "pat-na1-made-up", "Bearer pät"):
        with pytest.raises(HubSpotError) as caught:
            org.access.authenticate(wrong)
        assert caught.value.category == "INVALID_AUTHENTICATION"
    org.expire_tokens()
    with pytest.raises(HubSpotError) as caught:
        org.access.authenticate("Bearer pat-na1-made-up")
    assert (caught.value.status, caught.value.category) == (401, "EXPIRED_AUTHENTICATION")
    org.access.reissue("pat-na1-new")
    org.access.authenticate("Bearer pat-na1-new")


def test_limits_refuse_only_when_enforced(org: HubSpotOrg, watch: Watch) -> None:
    for _ in range(20):
        org.limits.take(search=True)
    org.limits.enforced = True
    with pytest.raises(HubSpotError) as caught:
        org.limits.take(search=True)
    assert caught.value.body("id")["policyName"] == "SECONDLY"
    watch.forward(seconds=2)
    org.limits.burst = 25
    for _ in range(5):
        org.limits.take(search=True)
    with pytest.raises(HubSpotError) as caught:
        org.limits.take(search=False)
    assert caught.value.body("id")["policyName"] == "TEN_SECONDLY_ROLLING"
    watch.forward(seconds=11)
    org.limits.daily = 25
    with pytest.raises(HubSpotError) as caught:
        org.limits.take(search=False)
    assert caught.value.body("id")["policyName"] == "DAILY"
    watch.forward(days=1)
    org.limits.take(search=False)
