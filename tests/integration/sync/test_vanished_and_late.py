"""Records and values that vanish, return or change hands while a write or a read is under way."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from connectors.errors import CrmUnavailable
from connectors.memory import MemoryFault
from connectors.port import Gone, RemoteRecord
from registration_core.contracts import Mode
from registration_core.model import Customer, Registration
from sync import pull, push, runs
from sync.accounts import emptiness
from sync.links import linking, unlinking
from tests.integration.sync.old_org import accept_sure, climb, deal, old_org, registration, search
from tests.integration.sync.test_late_creates import names
from tests.integration.sync.test_undo_races import ASKED, conflicts, converted
from tests.world import BEN, HOME, MIRROR, World, build

#: More than may vanish at once.
DEALS = emptiness.ALWAYS_PLAUSIBLE + 2


def orphans(world: World) -> int:
    with world.database.read() as session:
        return sum(link.state == "orphaned" for link in linking.links(session))


def held_up_once(world: World) -> Registration:
    """Convert a deal and write 6000 to it, as a second worker does whose first one was held up."""
    made = converted(world)
    world.update(made.number, amount=Decimal(6000))
    world.doors[HOME].fail(MemoryFault.UNAVAILABLE, "update")
    world.settle()
    world.settle()
    return made


@pytest.mark.parametrize("when", ["lost", "answered", "not pushed"])
def test_a_mass_of_records_that_vanishes_under_our_writes_orphans_nothing(
    world: World, when: str
) -> None:
    made = []
    for number in range(DEALS):
        customer = Customer(f"Customer {number} GmbH", "DE", tax_id=f"DE7{number:03d}")
        made.append(world.submit(token=f"t{number}", customer=customer))
    world.settle()
    for each in made:
        world.update(each.id, amount=Decimal(7000))

    def vanish() -> None:
        for record_id in world.deals(HOME):
            world.orgs[HOME].remove("Deal", record_id, "loader")

    def race(operation: str) -> None:
        if operation == "update" and world.deals(HOME):
            vanish()

    door = world.doors[HOME]
    if when == "lost":
        door.fail(MemoryFault.ANSWER_LOST, "update")
        push.drain(world.runtime, HOME)
        vanish()
    elif when == "answered":
        door.on_call = race
        push.drain(world.runtime, HOME)
    else:
        vanish()
    for _ in range(3):
        world.pass_time(301)
        world.poll()
        world.push()
    assert orphans(world) == 0


def test_a_lost_write_that_a_rep_changed_half_of_goes_back_with_the_link(
    fast_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = old_org(fast_url)
    record_id = deal(world, 0)
    climb(world, Mode.LINK)
    search(world)
    accept_sure(world)
    climb(world, Mode.PUSH)
    org, door = world.orgs[HOME], world.doors[HOME]
    fields = ("State", "Protection", "Partner", "Until")
    before = {name: org.value("Deal", record_id, name) for name in fields}
    update = door.update
    done: list[tuple[Any, ...]] = []

    def lost(*args: Any) -> Any:
        answer = update(*args)
        if not done and any(item.record_id == record_id for item in args[1]):
            done.append(args)
            org.edit("Deal", record_id, {"Partner": "The rep's word"}, "rep")
            raise CrmUnavailable("lost", may_have_happened=True, connection=HOME)
        return answer

    monkeypatch.setattr(door, "update", lost)
    world.settle()
    world.settle()
    world.settle()
    assert done
    number = registration(world, 0).number
    gone = unlinking.unlink(world.runtime, number, HOME, BEN, dry_run=False)
    after = {name: org.value("Deal", record_id, name) for name in fields}
    told = {*gone.restored, *gone.kept}
    assert all(after[name] == before[name] or name in told for name in fields)
    world.runtime.close()


@pytest.mark.parametrize("other", [False, True], ids=["alone", "then a rep edits something else"])
def test_a_late_update_does_not_replace_the_newer_value(world: World, *, other: bool) -> None:
    made = converted(world)
    world.update(made.number, deal_name="Older")
    world.doors[HOME].fail(MemoryFault.UNAVAILABLE, "update")
    world.settle()
    world.update(made.number, deal_name="Newer")
    world.settle()
    world.settle()
    assert world.deal(HOME, "Name") == "Newer"

    (record_id,) = world.deals(HOME)
    org = world.orgs[HOME]
    org.edit("Deal", record_id, {"Name": "Older"}, org.us)
    if other:
        org.edit("Deal", record_id, {"Close": date(2027, 1, 31)}, "rep")
    world.settle()
    world.settle()
    assert "Newer" in names(world, made)


def test_what_a_user_types_is_not_taken_for_a_late_write_of_its_sibling(world: World) -> None:
    made = held_up_once(world)
    assert world.deal(HOME, "Amount") == Decimal(6000)
    world.edit(HOME, Currency="USD")
    world.settle()
    assert world.registration(made.id).currency == "USD"
    world.update(made.number, deal_name="Renamed")
    world.edit_before_our_update(HOME, Currency="EUR")
    world.settle()
    world.settle()
    assert world.deal(HOME, "Name") == "Renamed"
    kept = [each.remote.get("currency") for each in conflicts(world, everything=True)]
    assert "EUR" in {world.deal(HOME, "Currency"), *kept}


def test_an_open_conflict_is_not_closed_by_the_sibling_of_a_late_write(fast_url: str) -> None:
    world = build(fast_url, wins=ASKED)
    made = held_up_once(world)
    world.edit(HOME, Currency="USD")
    world.settle()
    world.update(made.number, amount=Decimal(6500))
    world.edit(HOME, Currency="EUR")
    world.settle()
    (found,) = conflicts(world)
    assert (found.store["currency"], found.remote["currency"]) == ("USD", "EUR")
    world.update(made.number, deal_name="Renamed")
    world.settle()
    world.settle()
    assert [each.id for each in conflicts(world)] == [found.id]
    assert world.deal(HOME, "Currency") == "EUR"
    world.runtime.close()


def test_a_rep_who_takes_back_what_a_person_is_asked_about_is_believed(fast_url: str) -> None:
    world = build(fast_url, wins=ASKED)
    made = held_up_once(world)
    world.update(made.number, amount=Decimal(6500))
    world.edit(HOME, Amount=Decimal(7000))
    world.settle()
    assert len(conflicts(world)) == 1
    world.edit(HOME, Amount=Decimal(6000))
    world.settle()
    world.settle()
    assert not conflicts(world)
    assert world.deal(HOME, "Amount") == Decimal(6500)
    world.runtime.close()


@pytest.mark.parametrize("held_up", [False, True], ids=["refused as stale", "held up"])
def test_a_rep_who_agrees_with_what_our_write_did_not_bring_is_believed(
    fast_url: str, *, held_up: bool
) -> None:
    world = build(fast_url, wins=ASKED)
    name = HOME if held_up else MIRROR
    made = converted(world)
    world.update(made.number, amount=Decimal(6500))
    if held_up:
        world.doors[name].fail(MemoryFault.UNAVAILABLE, "update")
        world.pass_time(60)
        world.push()
        world.edit(name, Amount=Decimal(7000))
    else:
        world.edit_before_our_update(name, Amount=Decimal(7000))
    world.settle()
    assert len(conflicts(world)) == 1
    for _ in range(3):
        world.edit(name, Amount=Decimal(6500))
        world.settle()
    assert not conflicts(world)
    assert world.deal(name, "Amount") == Decimal(6500)
    world.runtime.close()


def test_what_a_crm_has_refused_to_write_does_not_take_effect_late(world: World) -> None:
    made = converted(world)
    world.update(made.number, amount=Decimal(6500))
    world.doors[HOME].fail(MemoryFault.STALE, "update")

    def race(operation: str) -> None:
        if operation == "update":
            world.doors[HOME].on_call = None
            world.edit(HOME, Amount=Decimal(7000))

    world.doors[HOME].on_call = race
    world.settle()
    world.settle()
    assert world.registration(made.id).amount == Decimal(7000)
    world.edit(HOME, Amount=Decimal(6500))
    world.settle()
    assert world.deal(HOME, "Amount") == Decimal(6500)
    assert world.registration(made.id).amount == Decimal(6500)


@pytest.mark.parametrize("lane", ["push", "pull"])
def test_a_reps_change_that_is_taken_back_while_a_worker_stands_still_is_taken_back_everywhere(
    world: World, monkeypatch: pytest.MonkeyPatch, lane: str
) -> None:
    made = converted(world)
    world.settle()
    world.edit(HOME, Name="By mistake")
    if lane == "push":
        world.update(made.number, description="which is mapped nowhere")
    else:
        world.pass_time(60)
        runs.poll(world.runtime, HOME)
    door = world.doors[HOME]
    read = door.read
    raced: list[tuple[Any, ...]] = []

    def slow(*args: Any) -> Mapping[str, RemoteRecord | Gone]:
        found = read(*args)
        if not raced:
            raced.append(args)
            world.pass_time(60 if lane == "pull" else 31)  # the lease runs out
            world.edit(HOME, Name="Cold chain")
            runs.poll(world.runtime, HOME)
            world.pass_time(1)
            pull.drain(world.runtime, HOME)
        return found

    with monkeypatch.context() as slowly:
        slowly.setattr(door, "read", slow)
        (push if lane == "push" else pull).drain(world.runtime, HOME)
    assert raced
    world.settle()
    world.settle()
    world.settle()
    now = world.registration(made.id).deal_name
    assert (now, world.deal(MIRROR, "Name")) == (world.deal(HOME, "Name"),) * 2
