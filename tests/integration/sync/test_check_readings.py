"""What a check waits for: connections that the program requires, and answers that are not too old."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from connectors.memory import MemoryFault
from registration_core import overriding
from registration_core.errors import CheckNotUsable
from registration_core.findings import FindingKind
from registration_core.model import Actor, ConflictCheck, Customer, Registration, RegistrationState
from registration_core.store import repository
from sync import checking, directory, housekeeping
from tests.world import HOME, MIRROR, World

ONE, TWO = (Actor(name, "desk", os_user=name) for name in ("one", "two"))


def last_check(world: World, key: str) -> ConflictCheck:
    with world.database.read() as session:
        found = repository.last_check(session, key)
    assert found is not None
    return found


def require_home_alone(world: World) -> None:
    lean = replace(world.runtime.program("default"), required_connections=(HOME,))
    world.runtime.programs["default"] = lean  # type: ignore[index]


# --- connections that are not required ----------------------------------------------------------


def test_a_connection_that_is_not_required_is_brought_up_to_date_too(world: World) -> None:
    require_home_alone(world)
    world.approved()
    world.orgs[MIRROR].add(
        "Account", {"Name": "Quillfeder AG", "Country": "CH", "Tax": "CH300", "NoCall": True}
    )

    made = world.approved(token="second", customer=Customer("Quillfeder", "CH", tax_id="CH300"))

    (finding,) = last_check(world, made.id).findings
    assert (finding.kind, finding.connection) == (FindingKind.DO_NOT_CALL, MIRROR)


@pytest.mark.parametrize("operation", ["changes", "read"])
def test_the_failure_of_a_connection_that_is_not_required_only_shows(
    world: World, operation: str
) -> None:
    require_home_alone(world)
    world.settle()  # its accounts are known
    world.doors[MIRROR].fail(MemoryFault.UNAVAILABLE, operation, times=None)

    made = world.approved()

    assert made.state is RegistrationState.APPROVED
    check = last_check(world, made.id)
    readings = {r.connection: r for r in check.readings}
    assert check.incomplete == ()
    assert (readings[HOME].complete, readings[HOME].required) == (True, True)
    assert (readings[MIRROR].complete, readings[MIRROR].required) == (False, False)
    assert readings[MIRROR].reason
    world.pass_time(400 * 86400)
    housekeeping.prune(world.database)
    with world.database.read() as session:
        assert repository.deciding_check(session, made) == check, "a decision rests on it"


# --- answers that lag ---------------------------------------------------------------------------


def lagging(world: World, **more: object) -> Registration:
    """Submit a small deal while the mirror's index lags by more than the program's 600 seconds."""
    world.orgs[MIRROR].clock = lambda: world.now - timedelta(seconds=700)
    return world.approved(**more)  # type: ignore[arg-type]


def test_answers_that_lag_make_the_check_incomplete_until_they_do_no_more(world: World) -> None:
    made = lagging(world)
    assert made.state is RegistrationState.SUBMITTED
    (late,) = last_check(world, made.id).incomplete
    assert (late.connection, late.reason) == (MIRROR, "its answers lag by more than 600 seconds")

    world.orgs[MIRROR].clock = lambda: world.now
    world.settle()
    assert world.registration(made.id).state is RegistrationState.APPROVED


def test_answers_that_lag_may_be_accepted_by_two_people_however_often_the_check_is_repeated(
    world: World,
) -> None:
    made = lagging(world)
    rules = world.runtime.program("default")
    for actor in (ONE, TWO):
        with pytest.raises(CheckNotUsable, match="approval override"):
            checking.approve(world.runtime, made.number, ONE)
        with world.database.begin(actor) as unit:
            overriding.override(unit, made.number, "their index is rebuilt tonight", rules)
        world.pass_time(90)
        checking.drain(world.runtime)

    accepted = last_check(world, made.id)
    assert accepted.began_at == world.now, "the check was repeated"
    made = checking.approve(world.runtime, made.number, ONE)
    assert made.state is RegistrationState.APPROVED

    world.pass_time(3700)
    checking.drain(world.runtime)  # the re-check of an hour later finds the same
    assert last_check(world, made.id).began_at == world.now
    with world.database.read() as session:
        assert repository.deciding_check(session, made) == accepted

    world.orgs[MIRROR].clock = lambda: world.now
    world.pass_time(400 * 86400)
    housekeeping.prune(world.database)
    with world.database.read() as session:
        assert repository.deciding_check(session, made) == accepted


def test_what_was_accepted_does_not_hold_once_the_connection_is_not_read_at_all(
    world: World,
) -> None:
    made = lagging(world)
    rules = world.runtime.program("default")
    for actor in (ONE, TWO):
        with world.database.begin(actor) as unit:
            overriding.override(unit, made.number, "their index is rebuilt tonight", rules)
    world.doors[MIRROR].fail(MemoryFault.UNAVAILABLE, times=None)
    world.pass_time(90)
    checking.drain(world.runtime)
    with pytest.raises(CheckNotUsable, match=f"incomplete \\({MIRROR}"):
        checking.approve(world.runtime, made.number, ONE)


# --- pages --------------------------------------------------------------------------------------


def test_a_directory_that_was_not_read_to_its_end_makes_the_check_incomplete(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "PAGES_MAX", 1)
    crm = world.doors[HOME]
    whole = crm.changes
    monkeypatch.setattr(crm, "changes", lambda *asked: replace(whole(*asked), more=True))
    made = world.approved()
    assert made.state is RegistrationState.SUBMITTED
    (unread,) = last_check(world, made.id).incomplete
    assert (unread.connection, unread.reason) == (HOME, "not every change was read yet")

    monkeypatch.setattr(crm, "changes", whole)
    world.settle()
    assert world.registration(made.id).state is RegistrationState.APPROVED
