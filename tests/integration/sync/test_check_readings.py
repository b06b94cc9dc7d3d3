"""What a check waits for: connections that the program requires, and answers that are not too old."""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from config.settings import SHIPPED_CONFIG_DIR, Settings, load_settings
from connectors.memory import MemoryFault
from registration_core import overriding
from registration_core.errors import CheckNotUsable, ConfigurationError
from registration_core.findings import FindingKind
from registration_core.model import Actor, Customer, Registration, RegistrationState
from registration_core.store import repository
from sync import checking, clock, runs, wiring
from sync.accounts import directory
from sync.mappings import connecting
from sync.process import housekeeping
from tests.world import HOME, MIRROR, World

ONE, TWO = (Actor(name, "desk", os_user=name) for name in ("one", "two"))


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

    (finding,) = world.last_check(made.id).findings
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
    check = world.last_check(made.id)
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
    (late,) = world.last_check(made.id).incomplete
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

    accepted = world.last_check(made.id)
    assert accepted.began_at == world.now, "the check was repeated"
    made = checking.approve(world.runtime, made.number, ONE)
    assert made.state is RegistrationState.APPROVED

    world.pass_time(3700)
    checking.drain(world.runtime)  # the re-check of an hour later finds the same
    assert world.last_check(made.id).began_at == world.now
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
    (unread,) = world.last_check(made.id).incomplete
    assert (unread.connection, unread.reason) == (HOME, "not every change was read yet")

    monkeypatch.setattr(crm, "changes", whole)
    world.settle()
    assert world.registration(made.id).state is RegistrationState.APPROVED


# --- a limit that the answers of a CRM can never keep -------------------------------------------


def with_freshness_of_hubspot(tmp_path: Path, seconds: int) -> Settings:
    """Settings of a process whose program takes the answers of HubSpot for so long."""
    config = tmp_path / "config"
    skip = shutil.ignore_patterns("*.py", "__pycache__")
    shutil.copytree(SHIPPED_CONFIG_DIR, config, ignore=skip)
    file = config / "programs" / "default.yaml"
    file.write_text(file.read_text().replace("hubspot: 900", f"hubspot: {seconds}"))
    hubspot = {
        "URL": "https://api.hubapi.example", "ACCESS_TOKEN": "t", "APP_ID": "1",
        "WEBHOOK_SECRET": "s",
    }  # fmt: skip
    given = {f"DEALREG_SANDBOX_HUBSPOT_{name}": value for name, value in hubspot.items()}
    (tmp_path / "ca.pem").touch()
    given |= {"DEALREG_SANDBOX_CA_FILE": str(tmp_path / "ca.pem")}
    return load_settings(given | {"DEALREG_HOME": str(tmp_path), "DEALREG_CONFIG_DIR": str(config)})


def test_a_limit_within_which_an_index_never_answers_is_refused_with_what_to_type(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        wiring.build(with_freshness_of_hubspot(tmp_path, 60))
    (problem,) = refused.value.problems
    assert (problem.where, problem.what, problem.remedy) == (
        "programs/default.yaml",
        "checks.freshness_seconds.hubspot: 60, but its answers lag by 60 seconds, so no check could ever be complete",
        "write hubspot: 180, or more",
    )


def test_a_limit_above_the_lag_of_an_index_is_taken(tmp_path: Path) -> None:
    with closing(wiring.build(with_freshness_of_hubspot(tmp_path, 61))) as runtime:
        assert "hubspot" in runtime.connectors


@pytest.mark.parametrize(
    ("lag", "result"), [(0, "ok"), (300, "ok"), (301, "warning"), (600, "failed")]
)
def test_the_check_of_a_connection_says_whether_its_answers_are_as_fresh_as_the_programs_want(
    world: World, lag: int, result: str
) -> None:
    world.orgs[MIRROR].clock = lambda: world.now - timedelta(seconds=lag)
    (item,) = [i for i in connecting.check(world.runtime, MIRROR) if i.step == "freshness"]
    assert (item.ok, item.warning) == (result != "failed", result == "warning")
    assert f"lag by {lag} seconds" in item.detail
    if result != "ok":
        assert item.remedy == (
            "Type in programs/default.yaml, under checks: "
            f"freshness_seconds: {{{MIRROR}: {3 * lag}}}, or more."
        )


# --- questions that are refused -----------------------------------------------------------------


def test_checks_of_which_one_question_is_refused_do_not_wake_one_another(world: World) -> None:
    """Everything else of the connection goes well: it is no outage that is over again and again."""
    deals = world.orgs[HOME].schemas["Deal"]
    fields = {name: field for name, field in deals.fields.items() if name != "Name"}
    world.orgs[HOME].schemas["Deal"] = replace(deals, fields=fields)
    for token in ("first", "second", "third"):
        made = world.submit(token=token)
        check = checking.check_now(world.runtime, made.number)
        assert [reading.connection for reading in check.incomplete] == [HOME]

    assert "check" not in clock.due_work(world.runtime)


def test_the_end_of_an_outage_makes_the_checks_due_that_it_kept_waiting(world: World) -> None:
    world.doors[HOME].fail(MemoryFault.UNAVAILABLE, times=None)
    made = world.submit()
    for _ in range(7):
        checking.check_now(world.runtime, made.number)
        world.pass_time(60)
    checking.check_now(world.runtime, made.number)
    assert "check" not in clock.due_work(world.runtime)
    world.doors[HOME].recover()
    world.pass_time(40)  # the pause of the connection is over, the check's own wait is not
    assert "check" not in clock.due_work(world.runtime)

    runs.poll(world.runtime, HOME)

    assert "check" in clock.due_work(world.runtime)
    checking.drain(world.runtime)
    assert world.registration(made.id).state is RegistrationState.APPROVED
