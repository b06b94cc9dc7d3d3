"""Every morning: what is to be done comes first, and each line says what to type."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from connectors.memory import MemoryFault
from registration_core.contracts import Mode
from sync import checking
from sync.gates import ladder
from sync.reports.today import Line, today
from sync.traffic import switch
from tests.world import BEN, HOME, MIRROR, World


def lines(world: World, topic: str) -> list[Line]:
    return [line for line in today(world.runtime) if line.topic == topic]


def test_a_quiet_store_has_nothing_to_tell(world: World) -> None:
    assert today(world.runtime) == []


def test_what_a_rule_approved_and_what_waits_to_be_written_is_told_with_its_worth(
    world: World,
) -> None:
    world.approved()
    (approved,) = lines(world, "approved automatically")
    assert approved.count == 1
    (standing,) = lines(world, "registrations")
    assert (standing.about, standing.value) == ("approved", "5,000 EUR")
    assert {line.about for line in lines(world, "changes to write")} == {HOME, MIRROR}


def test_an_incomplete_check_is_told_with_its_reason(world: World) -> None:
    world.doors[MIRROR].fail(MemoryFault.UNAVAILABLE, times=None)
    world.submit()
    checking.drain(world.runtime)
    (incomplete,) = lines(world, "checks incomplete")
    assert incomplete.about.startswith(f"{MIRROR}: ")


def test_conflicts_come_before_what_is_only_good_to_know(world: World) -> None:
    world.approved()
    world.settle()
    world.edit(HOME, Stage="P")
    world.settle()
    world.edit(HOME, Name="")
    world.settle()
    told = today(world.runtime)
    assert told[0].topic == "sync conflicts"
    assert told[0].value == "5,000 EUR"
    assert all(line.command for line in told if line.to_do)


def test_protections_that_end_soon_are_told(world: World) -> None:
    world.approved()
    world.pass_time(80 * 86_400)
    (ending,) = lines(world, "protections ending")
    assert (ending.count, ending.value) == (1, "5,000 EUR")


def test_what_registrations_are_worth_is_tied_to_their_home(world: World) -> None:
    made = world.approved()
    world.settle()
    (tied,) = lines(world, "registrations at home")
    assert (tied.count, tied.about) == (1, f"approved: {HOME}, the same there")
    world.update(made.id, amount=Decimal(6000))
    (tied,) = lines(world, "registrations at home")
    assert (tied.about, tied.value) == (f"approved: {HOME}, 5,000 EUR there", "6,000 EUR")


def test_the_length_of_a_list_is_told_beside_that_of_an_earlier_day(world: World) -> None:
    made = world.approved()
    on_list = {line.about: line.count for line in lines(world, "accounts on a list")}
    assert on_list[f"{HOME}: house"] == 1
    world.orgs[HOME].add("Account", {"Name": "Castle Keep AG", "Country": "DE", "House": True})
    world.pass_time(86_400)
    checking.check_now(world.runtime, made.number)
    on_list = {line.about: line.count for line in lines(world, "accounts on a list")}
    assert on_list[f"{HOME}: house; 1 on 2026-03-02"] == 2
    assert on_list[f"{MIRROR}: house; 1 on 2026-03-02"] == 1


def test_direct_deals_on_protected_accounts_are_told_with_what_they_put_at_stake(
    world: World,
) -> None:
    made = world.approved()
    assert lines(world, "direct deals on protected accounts") == []
    org = world.orgs[HOME]
    (account,) = [r.record_id for r in org.records("Account") if r.fields["Tax"] == "DE100"]
    deal = org.add("Deal", {"Name": "Direct", "Account": account, "Closed": False}, "rep")
    checking.check_now(world.runtime, made.number)
    (direct,) = lines(world, "direct deals on protected accounts")
    assert (direct.count, direct.value) == (1, "5,000 EUR")
    org.edit("Deal", deal, {"Closed": True}, "rep")
    world.pass_time(60)
    checking.check_now(world.runtime, made.number)
    assert lines(world, "direct deals on protected accounts") == []


def test_a_secret_that_ends_soon_is_told(world: World) -> None:
    ends = {HOME: world.now.date() + timedelta(days=20), MIRROR: world.now.date() + timedelta(40)}
    world.runtime = replace(world.runtime, secrets_end=ends)
    (line,) = lines(world, "secrets ending")
    assert (line.about, line.to_do) == (f"{HOME}: {ends[HOME]}", True)


def test_a_stop_that_nobody_has_resumed_is_told_with_the_way_on(world: World) -> None:
    switch.stop(world.database, BEN, HOME, writes_only=True, reason="wrong stage map")
    world.pass_time(86_400)
    (line,) = (line for line in today(world.runtime) if line.topic == "stopped by a person")
    assert (line.to_do, line.command) == (True, f"dealreg resume --connection {HOME}")
    assert line.about == f"writing to {HOME}, by {BEN.name}: wrong stage map"
    switch.stop(world.database, BEN, switch.EVERYWHERE, writes_only=False)
    commands = [line.command for line in today(world.runtime) if line.to_do]
    assert commands == ["dealreg resume", f"dealreg resume --connection {HOME}"]


def test_objects_that_are_held_back_are_told(world: World) -> None:
    ladder.demote(world.runtime, HOME, BEN, to=Mode.LINK, object_name="Deal")
    (line,) = (line for line in today(world.runtime) if line.topic == "objects held back")
    assert (line.about, line.to_do) == (f"{HOME}: Deal at link", False)
    assert line.command == f"dealreg connection report {HOME}"
