"""What a check has seen is never forgotten, and what it has not seen is never taken for nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from connectors.memory import MemoryFault
from registration_core import use_cases
from registration_core.contracts import Value
from registration_core.errors import CheckNotUsable
from registration_core.model import DisputeState, RegistrationState
from registration_core.store import audit, repository
from registration_core.store.tables import ConflictCheckRow
from sync import candidates, checking
from tests.world import BEN, HOME, MIRROR, World


def mark_as_house(world: World) -> None:
    org = world.orgs[HOME]
    (record,) = [r for r in org.records("Account") if r.fields["Tax"] == "DE100"]
    org.edit("Account", record.record_id, {"House": True}, "admin")


def test_a_claim_first_seen_by_an_incomplete_check_still_opens_a_dispute(world: World) -> None:
    made = world.approved()
    mark_as_house(world)
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
    mark_as_house(world)
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
