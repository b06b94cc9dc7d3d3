"""Account lists that the CRMs keep: who came onto one and left it, and whom an entry counts against."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from registration_core.contracts import Value
from registration_core.findings import Decision, FindingKind
from registration_core.model import (
    Actor,
    DisputeState,
    Finding,
    Registration,
    RegistrationState,
)
from registration_core.program import ListKind, ListTerms
from registration_core.store import account_lists
from sync import checking, replaying
from sync.accounts import directory
from sync.links import rebinding
from tests.integration.sync.test_rebinding import refresh
from tests.world import BEN, HOME, START, World

DAY = 86400
HOUSE = FindingKind.HOUSE_ACCOUNT


def account_id(world: World, tax_id: str = "DE100") -> str:
    (record,) = [r for r in world.orgs[HOME].records("Account") if r.fields["Tax"] == tax_id]
    return record.record_id


def edit(world: World, tax_id: str = "DE100", **values: Value) -> None:
    """Change an account in the home CRM, and bring the directory up to date."""
    world.orgs[HOME].edit("Account", account_id(world, tax_id), values, "rep")
    directory.refresh(world.runtime, HOME)


def history(world: World, kind: ListKind = ListKind.HOUSE, tax_id: str = "DE100") -> list[Any]:
    """Return the entries of the customer's account, first to last."""
    with world.database.read() as session:
        rows = account_lists.history(session, kind, ended=True)
    return [row for row in reversed(rows) if row["tax_id"] == tax_id]


def only_finding(world: World, about: Registration) -> Finding:
    (finding,) = world.last_check(about.id).findings
    return finding


def terms(world: World, **changes: Any) -> None:
    """Let the program say of the house list as a whole what is usual."""
    rules = world.runtime.program("default")
    said = {**rules.list_terms, ListKind.HOUSE: ListTerms("house-desk", **changes)}
    world.runtime.programs["default"] = replace(rules, list_terms=said)  # type: ignore[index]


def with_words(world: World) -> None:
    """Let the house list of the home CRM name the fields that say who decides and why."""
    rules = world.runtime.program("default")
    lists = tuple(
        replace(rule, owner_field="Owner", reason_field="City")
        if (rule.kind, rule.connection) == (ListKind.HOUSE, HOME)
        else rule
        for rule in rules.lists
    )
    world.runtime.programs["default"] = replace(rules, lists=lists)  # type: ignore[index]


# --- when an account came onto a list, and when it left it --------------------------------------


def test_it_is_kept_when_an_account_came_onto_a_list_and_when_it_left_it(world: World) -> None:
    directory.refresh(world.runtime, HOME)
    assert history(world) == []
    world.pass_time(3 * DAY)
    edit(world, House=True)
    world.pass_time(2 * DAY)
    edit(world, House=False)
    world.pass_time(DAY)
    edit(world, House=True)

    first, second = history(world)
    assert (first["connection"], first["record_id"]) == (HOME, account_id(world))
    assert (first["valid_from"], first["ended_at"]) == (
        START.date() + timedelta(days=3), START + timedelta(days=5),
    )  # fmt: skip
    assert (second["valid_from"], second["ended_at"]) == (START.date() + timedelta(days=6), None)
    assert first["name"] == "Nordhafen Logistik GmbH"


def test_an_account_that_was_on_the_list_when_it_was_first_read_has_been_there_nobody_knows_how_long(
    world: World,
) -> None:
    world.orgs[HOME].edit("Account", account_id(world), {"House": True}, "rep")
    world.pass_time(DAY)
    directory.refresh(world.runtime, HOME)
    (entry,) = history(world)
    assert (entry["valid_from"], entry["added_at"]) == (None, world.now)


def test_reading_an_account_again_changes_nothing_in_its_history(world: World) -> None:
    directory.refresh(world.runtime, HOME)
    edit(world, House=True)
    before = history(world)
    world.pass_time(DAY)
    edit(world, Name="Nordhafen Logistics GmbH", House=True)
    assert history(world) == before


def test_an_account_that_is_deleted_or_of_another_org_by_now_is_on_no_list_any_more(
    world: World,
) -> None:
    org = world.orgs[HOME]
    directory.refresh(world.runtime, HOME)
    edit(world, House=True)
    world.pass_time(DAY)
    org.remove("Account", account_id(world), "admin")
    directory.refresh(world.runtime, HOME)
    (gone,) = history(world)
    assert gone["ended_at"] == world.now

    world.pass_time(DAY)
    refresh(world)
    rebinding.rebind(world.runtime, rebinding.look(world.runtime, HOME), BEN)
    assert {row["ended_at"] is None for row in history(world, tax_id="DE900002")} == {False}
    directory.refresh(world.runtime, HOME)
    (_, canary) = history(world, tax_id="DE900002")
    assert (canary["valid_from"], canary["ended_at"]) == (None, None), "first read of that org"


@pytest.mark.parametrize("told_later", [False, True])
def test_an_account_that_others_were_merged_into_is_on_the_list_since_the_first_of_them_was(
    world: World, *, told_later: bool
) -> None:
    org = world.orgs[HOME]
    other = org.add("Account", {"Name": "Nordhafen", "Country": "DE", "Tax": "DE101"}, "rep")
    directory.refresh(world.runtime, HOME)
    edit(world, House=True)
    world.pass_time(30 * DAY)
    org.merge("Account", account_id(world), other, "admin")
    if told_later:  # that the survivor is on the list now
        directory.refresh(world.runtime, HOME)
    org.edit("Account", other, {"House": True}, "admin")
    directory.refresh(world.runtime, HOME)
    (entry,) = history(world, tax_id="DE101")
    assert entry["valid_from"] == START.date()


# --- whom an entry counts against ---------------------------------------------------------------


def test_an_account_that_came_onto_a_list_later_is_shown_and_holds_nothing_up(
    world: World,
) -> None:
    made = world.approved(amount=Decimal(200_000))  # a person decides
    world.pass_time(DAY)
    edit(world, House=True)
    checking.check_now(world.runtime, made.number)

    finding = only_finding(world, made)
    assert (finding.kind, finding.decision) == (HOUSE, Decision.ALLOW)
    assert "from 2026-03-03" in finding.summary
    assert finding.evidence["valid_from"] == "2026-03-03"
    assert finding.evidence["counts from"] == "2026-03-03"
    assert checking.approve(world.runtime, made.number, BEN).state is RegistrationState.APPROVED


def test_what_is_received_after_it_came_onto_the_list_is_held_for_the_lists_owner(
    world: World,
) -> None:
    directory.refresh(world.runtime, HOME)
    edit(world, House=True)
    world.pass_time(DAY)
    made = world.approved()
    finding = only_finding(world, made)
    assert (finding.decision, finding.decides) == (Decision.REVIEW, "house-desk")
    assert made.state is RegistrationState.UNDER_REVIEW


def test_an_account_that_was_listed_before_anybody_looked_counts_against_all_that_is_not_decided(
    world: World,
) -> None:
    made = world.submit()
    world.pass_time(5 * DAY)
    world.orgs[HOME].edit("Account", account_id(world), {"House": True}, "rep")
    checking.drain(world.runtime)  # the first read of all
    finding = only_finding(world, made)
    assert finding.decision is Decision.REVIEW
    assert finding.evidence["valid_from"] == "before the list was first read"


def test_the_notice_period_of_a_list_lets_in_what_is_received_until_it_ends(world: World) -> None:
    terms(world, notice_days=30)
    directory.refresh(world.runtime, HOME)
    edit(world, House=True)
    world.pass_time(29 * DAY)
    assert world.approved().state is RegistrationState.APPROVED
    world.pass_time(DAY)
    second = world.approved(token="later", product_line="support")
    (found,) = [f for f in world.last_check(second.id).findings if f.kind is HOUSE]
    assert found.decision is Decision.REVIEW
    assert found.evidence["notice_days"] == "30"


def test_a_list_that_a_claim_came_before_opens_no_dispute_whatever_the_list(world: World) -> None:
    made = world.approved()
    world.settle(seconds=90_000)
    edit(world, House=True, Direct=True)
    world.settle()
    assert world.registration(made.id).dispute_state is DisputeState.NONE
    shown = {(f.kind, f.decision) for f in world.last_check(made.id).findings}
    assert shown == {
        (HOUSE, Decision.ALLOW), (FindingKind.DIRECT_ACCOUNT, Decision.ALLOW),
    }  # fmt: skip
    edit(world, NoCall=True)
    world.settle()
    assert world.registration(made.id).dispute_state is DisputeState.OPEN


def test_an_account_that_a_check_reads_on_a_list_before_any_feed_told_of_it_is_found(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.refresh(world.runtime, HOME)
    org = world.orgs[HOME]
    read = world.doors[HOME].read

    def marked_meanwhile(*asked: Any) -> Any:
        org.edit("Account", account_id(world), {"House": True}, "rep")
        return read(*asked)

    monkeypatch.setattr(world.doors[HOME], "read", marked_meanwhile)
    finding = only_finding(world, world.approved())
    assert (finding.kind, finding.decision) == (HOUSE, Decision.REVIEW)
    assert finding.evidence["valid_from"] == str(world.now.date())


# --- who decides, and why -----------------------------------------------------------------------


def test_the_reason_and_the_owner_are_those_of_the_list_where_the_crm_says_none(
    world: World,
) -> None:
    terms(world, reason="served by the house desk")
    world.orgs[HOME].edit("Account", account_id(world), {"House": True}, "rep")
    finding = only_finding(world, world.approved())
    assert finding.summary.endswith(": served by the house desk")
    assert finding.decides == "house-desk"
    assert finding.evidence["reason"] == "served by the house desk"


def test_the_crm_says_who_decides_and_why_where_the_program_names_the_fields(world: World) -> None:
    with_words(world)
    directory.refresh(world.runtime, HOME)
    edit(world, House=True, Owner="fleet-desk", City="fleet contract")
    made = world.approved(amount=Decimal(200_000))
    finding = only_finding(world, made)
    assert finding.summary.endswith(": fleet contract")
    assert finding.decides == "fleet-desk"
    approved = checking.approve(world.runtime, made.number, Actor("fleet-desk"))
    assert approved.state is RegistrationState.APPROVED


def test_what_the_crm_says_of_an_entry_otherwise_is_a_new_entry_since_the_same_day(
    world: World,
) -> None:
    with_words(world)
    directory.refresh(world.runtime, HOME)
    edit(world, House=True, City="fleet contract")
    world.pass_time(10 * DAY)
    edit(world, City="renewed")
    first, second = history(world)
    assert (first["reason"], first["ended_at"]) == ("fleet contract", world.now)
    assert (second["reason"], second["ended_at"]) == ("renewed", None)
    assert first["valid_from"] == second["valid_from"] == date(2026, 3, 2)


def test_fields_that_the_program_names_later_are_read_of_all_who_are_on_the_list(
    world: World,
) -> None:
    world.orgs[HOME].edit(
        "Account", account_id(world), {"House": True, "City": "fleet contract"}, "rep"
    )
    directory.refresh(world.runtime, HOME)
    world.pass_time(DAY)
    with_words(world)
    directory.refresh(world.runtime, HOME)
    assert [row["reason"] for row in history(world)] == ["", "fleet contract"]


# --- beside the rest ----------------------------------------------------------------------------


def test_an_approval_does_not_wait_for_lists_of_the_crms_that_change_all_day(world: World) -> None:
    """Their changes ask for the checks that they concern; only files are guarded whole."""
    made = world.approved(amount=Decimal(200_000))
    edit(world, tax_id="DE900001", House=True)
    before = world.last_check(made.id)
    approved = checking.approve(world.runtime, made.number, BEN)
    assert approved.state is RegistrationState.APPROVED
    assert world.last_check(made.id) == before


def test_a_replay_does_not_tell_of_lists_that_an_account_came_onto_later(world: World) -> None:
    made = world.approved(currency="USD")
    world.pass_time(DAY)
    edit(world, House=True)
    with world.database.read() as session:
        assert replaying.replay(session, made.id, world.runtime.programs) is None
