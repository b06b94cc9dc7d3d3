"""Account lists from files: brought up to date, found by checks, never backwards."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from registration_core import matches, use_cases
from registration_core.errors import CheckNotUsable, NotAllowed
from registration_core.findings import FindingKind
from registration_core.model import (
    LIST_FILE,
    Actor,
    Customer,
    DisputeState,
    ListEntry,
    RegistrationState,
)
from registration_core.program import ListKind
from registration_core.store import account_lists, audit, repository
from registration_core.store.account_lists import Brought
from sync import checking, rounds
from tests.world import ANN, BEN, START, World, build

TODAY = START.date()
CUSTOMER = Customer("Quillfeder Reederei", "DE", website="quillfeder.example")
#: Found by name and website; no CRM account has them.
TYPED = Customer("Quillfeder Reederei GmbH", "DE", website="www.quillfeder.example", tax_id="DE777")


def _entry(kind: ListKind = ListKind.HOUSE, **changes: Any) -> ListEntry:
    made = ListEntry("", kind, CUSTOMER, "", "fleet contract", TODAY, None, 0)
    return replace(made, **changes)


def _bring(world: World, *entries: ListEntry, kind: ListKind = ListKind.HOUSE) -> Brought:
    with world.database.begin(ANN) as unit:
        return account_lists.bring(unit, kind, entries, "list.csv")


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        (ListKind.HOUSE, FindingKind.HOUSE_ACCOUNT),
        (ListKind.NAMED, FindingKind.NAMED_ACCOUNT),
        (ListKind.DO_NOT_CALL, FindingKind.DO_NOT_CALL),
        (ListKind.CUSTOMER, FindingKind.EXISTING_CUSTOMER),
    ],
)
def test_an_entry_of_a_file_is_found_as_of_its_list_and_held_for_its_owner(
    world: World, kind: ListKind, found: FindingKind
) -> None:
    _bring(world, _entry(kind, owner="fleet-desk"), kind=kind)
    made = world.approved(customer=TYPED)
    (finding,) = world.last_check(made.id).findings
    assert (finding.kind, finding.connection, finding.decides) == (found, LIST_FILE, "fleet-desk")
    assert "fleet contract" in finding.summary
    assert "name" in finding.evidence["for"]
    assert made.state is RegistrationState.UNDER_REVIEW
    assert (
        checking.approve(world.runtime, made.number, Actor("fleet-desk")).accounts.keys() == set()
    )


def test_an_embargo_rejects_with_the_reason_of_compliance(world: World) -> None:
    _bring(world, _entry(ListKind.EMBARGO), kind=ListKind.EMBARGO)
    made = world.approved(customer=TYPED)
    assert (made.state, made.reason_code) == (RegistrationState.REJECTED, "COMPLIANCE")


def test_a_deal_that_came_in_during_the_notice_period_is_received_as_before(
    world: World,
) -> None:
    _bring(world, _entry(notice_days=30))
    assert world.approved(customer=TYPED).state is RegistrationState.APPROVED
    world.pass_time(30 * 86400)
    second = world.approved(token="later", customer=TYPED, product_line="support")
    assert FindingKind.HOUSE_ACCOUNT in {f.kind for f in world.last_check(second.id).findings}


@pytest.mark.parametrize(
    ("kind", "dates", "received", "today", "holds"),
    [
        (ListKind.HOUSE, {}, 0, 0, True),
        (ListKind.HOUSE, {}, -1, 50, False),
        (ListKind.HOUSE, {"notice_days": 30}, 29, 99, False),
        (ListKind.HOUSE, {"notice_days": 30}, 30, 99, True),
        (ListKind.HOUSE, {"valid_until": TODAY}, 1, 1, False),
        (ListKind.DO_NOT_CALL, {}, -50, 0, True),
        (ListKind.DO_NOT_CALL, {"notice_days": 30}, 0, 0, True),
        (ListKind.EMBARGO, {"valid_until": TODAY}, 0, 1, False),
        (ListKind.EMBARGO, {}, 0, -1, False),
    ],
)
def test_an_entry_holds_from_its_day_for_what_was_received_or_for_everybody(
    kind: ListKind, dates: dict[str, Any], received: int, today: int, *, holds: bool
) -> None:
    def on(days: int) -> date:
        return TODAY + timedelta(days=days)

    assert _entry(kind, **dates).holds_for(on(received), on(today)) is holds


def test_a_list_that_changes_checks_the_claims_again_and_only_prohibitions_dispute_them(
    world: World,
) -> None:
    made = world.approved(customer=TYPED)
    world.settle()
    world.pass_time(5 * 86400)
    checking.drain(world.runtime)
    before = world.last_check(made.id)
    world.pass_time(1)
    _bring(world, _entry())
    checking.drain(world.runtime)
    assert world.last_check(made.id).id != before.id
    assert world.registration(made.id).dispute_state is DisputeState.NONE
    world.pass_time(1)
    _bring(world, _entry(ListKind.DO_NOT_CALL), kind=ListKind.DO_NOT_CALL)
    checking.drain(world.runtime)
    after = world.registration(made.id)
    assert (after.dispute_state, after.state) == (DisputeState.OPEN, RegistrationState.APPROVED)


def test_a_file_is_the_whole_list_and_the_same_file_again_changes_nothing(world: World) -> None:
    other = _entry(customer=Customer("Pipit Foods", "GB"))
    first = _bring(world, _entry(), other)
    assert (len(first.added), len(first.ended), first.kept) == (2, 0, 0)
    again = _bring(world, other, _entry())
    assert (len(again.added), len(again.ended), again.kept) == (0, 0, 2)
    changed = _bring(world, _entry(reason="renewed"))
    assert (len(changed.added), len(changed.ended), changed.kept) == (1, 2, 0)
    with world.database.read() as session:
        now = account_lists.history(session, ListKind.HOUSE, ended=False)
        ever = account_lists.history(session, ListKind.HOUSE, ended=True)
        (_, last) = audit.events(session, "account-list:house")
        assert account_lists.counts(session) == {(ListKind.HOUSE, LIST_FILE): 1}
        ended = next(row for row in ever if row["ended_at"])
        assert repository.account(session, LIST_FILE, str(ended["id"])) is None
    assert [row["reason"] for row in now] == ["renewed"]
    assert len(ever) == 3
    assert {row["ended_by"] for row in ever} == {"", str(ANN)}
    assert last["internal"]["ended"] == ["Quillfeder Reederei", "Pipit Foods"]


def test_an_entry_that_is_denied_is_not_found_again(world: World) -> None:
    (entry,) = _bring(world, _entry()).added
    made = world.approved(customer=TYPED)
    with world.database.begin(Actor("house-desk")) as unit:
        matches.deny(unit, made.number, f"{LIST_FILE}:{entry.id}", "a namesake")
    assert checking.check_now(world.runtime, made.number).findings == ()


def test_an_approval_goes_by_the_lists_as_they_are_then_and_not_as_a_check_knew_them(
    world: World,
) -> None:
    made = world.approved(customer=TYPED, currency="USD")
    known = world.last_check(made.id)
    world.pass_time(1)
    _bring(world, _entry(ListKind.DO_NOT_CALL, owner="call-desk"), kind=ListKind.DO_NOT_CALL)

    with pytest.raises(CheckNotUsable, match="account list"), world.database.begin(BEN) as unit:
        use_cases.approve(unit, made.id, known, world.runtime.program("default"))
    with pytest.raises(CheckNotUsable, match="you have not seen"):
        checking.approve(world.runtime, made.number, BEN)
    with pytest.raises(NotAllowed, match="held for call-desk"):
        checking.approve(world.runtime, made.number, BEN)
    assert world.registration(made.id).state is RegistrationState.UNDER_REVIEW


def test_a_list_that_is_being_brought_while_a_check_reads_is_not_passed_over(
    migrated_postgres_url: str,
) -> None:
    world = build(migrated_postgres_url)
    made = world.submit(customer=TYPED)
    check = threading.Thread(target=checking.drain, args=(world.runtime,))
    with world.database.begin(ANN) as unit:
        account_lists.bring(unit, ListKind.DO_NOT_CALL, [_entry(ListKind.DO_NOT_CALL)], "list.csv")
        world.pass_time(1)
        check.start()
        check.join(timeout=3)  # it sees nothing of the list yet
    check.join(timeout=60)

    assert world.registration(made.id).state is not RegistrationState.APPROVED
    world.settle()
    assert world.registration(made.id).state is RegistrationState.UNDER_REVIEW
    (finding,) = world.last_check(made.id).findings
    assert finding.kind is FindingKind.DO_NOT_CALL
    world.runtime.close()


def test_a_prohibition_that_was_noted_ahead_checks_the_claims_on_its_first_day_and_once(
    world: World,
) -> None:
    made = world.approved(customer=TYPED)
    world.settle(seconds=90_000)  # past the re-checks that every approval is owed
    begins = world.now.date() + timedelta(days=10)
    _bring(world, _entry(ListKind.DO_NOT_CALL, valid_from=begins), kind=ListKind.DO_NOT_CALL)
    world.settle()
    assert world.registration(made.id).dispute_state is DisputeState.NONE

    world.pass_time(11 * 86400)
    rounds.tick(world.runtime, world.nudges.update)
    checking.drain(world.runtime)
    assert world.registration(made.id).dispute_state is DisputeState.OPEN
    known = world.last_check(made.id)
    world.pass_time(3600)
    rounds.tick(world.runtime, world.nudges.update)
    checking.drain(world.runtime)
    assert world.last_check(made.id).id == known.id
