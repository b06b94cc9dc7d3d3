"""What a check has seen is never forgotten, and what it has not seen is never taken for nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from connectors.memory import MemoryFault
from connectors.port import RemoteRecord
from registration_core import use_cases
from registration_core.announcing import Audience, Topic
from registration_core.contracts import Value
from registration_core.errors import CheckNotUsable
from registration_core.findings import FindingKind
from registration_core.model import (
    Customer,
    DisputeState,
    ProtectionState,
    Registration,
    RegistrationState,
)
from registration_core.store import audit, repository
from registration_core.store.announcements import AnnouncementRow
from registration_core.store.tables import CheckRequestRow, ConflictCheckRow
from sync import checking
from sync.accounts import candidates, directory
from tests.world import BEN, HOME, MIRROR, World


def mark_do_not_call(world: World) -> None:
    org = world.orgs[HOME]
    (record,) = [r for r in org.records("Account") if r.fields["Tax"] == "DE100"]
    org.edit("Account", record.record_id, {"NoCall": True}, "admin")


def test_a_claim_first_seen_by_an_incomplete_check_still_opens_a_dispute(world: World) -> None:
    made = world.approved()
    mark_do_not_call(world)
    world.doors[MIRROR].fail(MemoryFault.UNAVAILABLE, times=None)
    world.pass_time(3601)
    checking.drain(world.runtime)
    assert world.registration(made.id).dispute_state is DisputeState.NONE

    world.doors[MIRROR].recover()
    world.settle()

    assert world.registration(made.id).dispute_state is DisputeState.OPEN


def test_a_claim_that_was_known_at_the_approval_is_not_news_after_an_outage(world: World) -> None:
    org = world.orgs[HOME]
    (account,) = [r for r in org.records("Account") if r.fields["Tax"] == "DE100"]
    own: dict[str, Value] = {"Name": "Own", "Account": account.record_id, "Closed": False}
    org.add("Deal", own, "rep")
    made = world.submit()
    checking.drain(world.runtime)
    checking.approve(world.runtime, made.number, BEN)
    world.doors[HOME].fail(MemoryFault.UNAVAILABLE, times=None)
    world.pass_time(3601)
    checking.drain(world.runtime)
    world.doors[HOME].recover()
    world.settle()

    assert world.registration(made.id).dispute_state is DisputeState.NONE


def test_nobody_approves_on_a_check_that_a_newer_one_has_overtaken(world: World) -> None:
    made = world.submit(tax_id="DE100", currency="USD")
    checking.drain(world.runtime)
    with world.database.read() as session:
        older = repository.last_check(session, made.id)
    assert older is not None
    mark_do_not_call(world)
    world.pass_time(5)
    newer = checking.check_now(world.runtime, made.number)
    assert newer.findings

    with pytest.raises(CheckNotUsable, match="newer"), world.database.begin(BEN) as unit:
        use_cases.approve(unit, made.id, older, world.runtime.program("default"))
    assert world.registration(made.id).state is RegistrationState.UNDER_REVIEW


def test_more_open_opportunities_than_are_read_make_the_check_incomplete(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "OPPORTUNITIES_MAX", 2)
    org = world.orgs[HOME]
    (account,) = [r for r in org.records("Account") if r.fields["Tax"] == "DE100"]
    for number in range(3):
        values: dict[str, Value] = {
            "Name": f"Deal {number}",
            "Account": account.record_id,
            "Closed": False,
        }
        org.add("Deal", values, "rep")
    made = world.submit()
    checking.drain(world.runtime)

    with world.database.read() as session:
        check = repository.last_check(session, made.id)
    assert check is not None
    assert [r.connection for r in check.incomplete] == [HOME]


def test_evidence_of_a_crm_whose_clock_is_ahead_grows_old_all_the_same(world: World) -> None:
    made = world.submit(currency="USD")
    for org in world.orgs.values():
        org.clock = lambda: world.now + timedelta(hours=5)
    checking.drain(world.runtime)
    with world.database.read() as session:
        check = repository.last_check(session, made.id)
    assert check is not None
    world.pass_time(601)

    with pytest.raises(CheckNotUsable, match="older"), world.database.begin(BEN) as unit:
        use_cases.approve(unit, made.id, check, world.runtime.program("default"))


def test_an_outage_of_days_leaves_one_incomplete_check_and_not_thousands(world: World) -> None:
    made = world.submit()
    world.doors[MIRROR].fail(MemoryFault.AUTHENTICATION, times=None)
    for _ in range(20):
        checking.drain(world.runtime)
        world.pass_time(600)

    with world.database.read() as session:
        kept = session.scalars(
            select(ConflictCheckRow).where(ConflictCheckRow.registration_id == made.id)
        ).all()
        events = [
            e for e in audit.events(session, f"registration:{made.id}") if e["action"] == "check"
        ]
    assert len(kept) <= 3  # the refusal, and the pause that it causes
    assert len(events) <= 3
    assert world.database.clock() - kept[-1].began_at <= timedelta(seconds=600)


def test_a_change_that_a_check_reads_first_reaches_other_protected_deals_too(world: World) -> None:
    made = world.approved()
    world.settle(seconds=90_000)  # past the re-checks that every approval is owed
    mark_do_not_call(world)
    world.pass_time(5)
    checking.check_now(world.runtime, world.submit("DE200", "other").number)
    world.settle()

    assert world.registration(made.id).dispute_state is DisputeState.OPEN


def test_an_account_that_was_read_before_a_change_does_not_take_the_change_back(
    world: World,
) -> None:
    world.settle()
    org, crm = world.orgs[HOME], world.runtime.connector(HOME)
    (stored,) = [r for r in org.records("Account") if r.fields["Tax"] == "DE100"]
    fields = directory.account_reads(world.runtime, HOME)
    older = crm.read("Account", [stored.record_id], fields)[stored.record_id]
    assert isinstance(older, RemoteRecord)
    world.pass_time(5)
    org.edit("Account", stored.record_id, {"Tax": "DE777"}, "admin")
    world.settle()
    with world.database.begin() as unit:
        directory.take(unit, HOME, [directory.account_of(world.runtime, HOME, older)], [])

    with world.database.read() as session:
        known = repository.account(session, HOME, stored.record_id)
    assert known is not None
    assert known.tax_id == "DE777"


def test_accounts_that_change_by_the_thousand_all_ask_for_their_checks(world: World) -> None:
    made = world.approved()
    world.settle(seconds=90_000)
    org = world.orgs[HOME]
    (stored,) = [r for r in org.records("Account") if r.fields["Tax"] == "DE100"]
    fields = directory.account_reads(world.runtime, HOME)
    record = world.runtime.connector(HOME).read("Account", [stored.record_id], fields)
    ours = record[stored.record_id]
    assert isinstance(ours, RemoteRecord)
    account = directory.account_of(world.runtime, HOME, ours)
    many = [replace(account, record_id=f"a{n}", tax_id=f"DE5{n}", name=f"N{n}") for n in range(900)]
    with world.database.begin() as unit:
        directory.recheck_protected(unit, [*many, account])
        assert unit.session.get(CheckRequestRow, made.id) is not None


def protect_both(world: World) -> tuple[Registration, Registration, str, str]:
    """Protect two partners for two customers; returns them and their accounts in the home CRM."""
    org = world.orgs[HOME]
    org.add("Account", {"Name": "Kestrel Avionics AG", "Country": "CH", "Tax": "CH777"})
    first = world.approved()
    kestrel = Customer("Kestrel Avionics AG", "CH", tax_id="CH777")
    second = world.approved(token="two", partner_code="BETA", customer=kestrel)
    world.settle()
    return first, second, first.accounts[HOME], second.accounts[HOME]


def test_a_merge_of_accounts_moves_registrations_to_the_survivor_and_its_customers_meet(
    world: World,
) -> None:
    first, second, loser, winner = protect_both(world)
    world.orgs[HOME].merge("Account", loser, winner, "admin")
    world.settle()
    moved, other = world.registration(first.id), world.registration(second.id)
    assert (moved.accounts[HOME], moved.accounts[MIRROR]) == (winner, first.accounts[MIRROR])
    assert moved.customer_id == other.customer_id
    assert {r.protection_state for r in (moved, other)} == {ProtectionState.CONTESTED}


def test_an_opportunity_on_an_account_that_only_looks_like_the_customer_is_noticed(
    world: World,
) -> None:
    made = world.approved()
    world.settle(seconds=90_000)
    org = world.orgs[HOME]
    alike = org.add("Account", {"Name": "Nordhafen Logistik", "Country": "DE", "City": "Kiel"})
    org.add("Deal", {"Name": "Own", "Stage": "P", "Account": alike, "Closed": False}, "rep")
    world.settle()
    assert world.registration(made.id).dispute_state is DisputeState.OPEN


def test_an_account_that_comes_to_look_like_a_protected_customer_asks_for_a_check(
    world: World,
) -> None:
    made = world.approved()
    org = world.orgs[HOME]
    other = org.add("Account", {"Name": "Something else", "Country": "DE"})
    world.settle(seconds=90_000)
    org.edit("Account", other, {"Name": "Nordhafen-Logistik Gesellschaft mbH"}, "admin")
    world.pass_time(5)
    directory.refresh(world.runtime, HOME)
    with world.database.read() as session:
        assert session.get(CheckRequestRow, made.id) is not None


def test_a_relative_that_becomes_a_house_account_later_does_not_touch_a_claim(
    world: World,
) -> None:
    org = world.orgs[HOME]
    relative = org.add("Account", {"Name": "Nordhafen Logistik Polska", "Country": "PL"})
    made = world.approved()
    world.settle()
    org.edit("Account", relative, {"House": True}, "admin")
    world.settle()
    with world.database.read() as session:
        check = repository.last_check(session, made.id)
    assert check is not None
    assert [f.claim for f in check.findings] == [FindingKind.HOUSE_ACCOUNT]
    assert world.registration(made.id).dispute_state is DisputeState.NONE

    org.edit("Account", relative, {"NoCall": True}, "admin")
    world.settle()
    assert world.registration(made.id).dispute_state is DisputeState.OPEN


def told_of_disputes(world: World, made: Registration) -> int:
    """Return how often staff was told that a registration is disputed; the trail says as many."""
    with world.database.read() as session:
        rows = session.scalars(
            select(AnnouncementRow).where(
                AnnouncementRow.registration_id == made.id,
                AnnouncementRow.topic == Topic.DISPUTE,
                AnnouncementRow.audience == Audience.STAFF,
            )
        ).all()
        events = audit.events(session, f"registration:{made.id}")
    assert [event["action"] for event in events].count("open dispute") == len(rows)
    return len(rows)


def test_a_second_claim_on_a_disputed_registration_is_told_and_kept_in_its_trail_too(
    world: World,
) -> None:
    made = world.approved()
    world.settle()
    mark_do_not_call(world)
    world.settle()
    assert told_of_disputes(world, made) == 1

    account = world.registration(made.id).accounts[HOME]
    deal: dict[str, Value] = {"Name": "Own", "Stage": "P", "Account": account, "Closed": False}
    world.orgs[HOME].add("Deal", deal, "rep")
    world.settle()
    assert told_of_disputes(world, made) == 2
    world.settle()
    assert told_of_disputes(world, made) == 2


def test_a_partner_that_registers_a_customer_again_contests_nothing_of_its_own(
    world: World,
) -> None:
    made = world.approved()
    world.settle()
    again = world.approved(token="again")
    world.settle(seconds=4000)  # past the re-check of an hour later
    assert world.registration(made.id).dispute_state is DisputeState.NONE
    with world.database.read() as session:
        checks = [repository.last_check(session, each.id) for each in (made, again)]
    kinds = [[f.kind for f in check.findings] for check in checks if check]
    assert kinds == [[], [FindingKind.SAME_PARTNER_DUPLICATE]]
