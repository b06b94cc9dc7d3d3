"""Too much at once waits for a person: caps, release, discard, and the undo of a run."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from registration_core.errors import DomainRefusal
from registration_core.limits import Limits
from registration_core.model import Actor, Customer, Registration
from sync import runs
from sync.gates import holding
from sync.repair import restoring, undoing
from tests.world import ANN, BEN, HOME, MIRROR, World, build

NONE = {cap.name: 0 for cap in fields(Limits)}
DEALS = 6


def limited(url: str, **caps: int) -> World:
    """A world with `DEALS` agreed deals, and from then on these caps and no others in HOME."""
    world = build(url)
    for number in range(DEALS):
        customer = Customer(f"Customer {number} GmbH", "DE", tax_id=f"DE7{number:03d}")
        world.submit(token=f"t{number}", customer=customer)
    world.settle()
    limits = {HOME: Limits(**(NONE | caps))}
    world.runtime = replace(world.runtime, limits=limits)
    return world


@pytest.fixture
def world(fast_url: str) -> Iterator[World]:
    made = limited(fast_url, same_value_per_hour=2, won_per_ten_minutes=2)
    yield made
    made.runtime.close()


def registrations(world: World) -> list[Registration]:
    from registration_core.store import repository

    with world.database.read() as session:
        return sorted(repository.registrations(session), key=lambda r: r.number)


def amounts(world: World) -> list[Decimal]:
    org = world.orgs[HOME]
    return sorted(Decimal(str(org.value("Deal", i, "Amount"))) for i in world.deals(HOME))


def change_all(world: World, amount: int = 7000) -> None:
    world.pass_time(60)
    for each in registrations(world):
        world.update(each.id, amount=Decimal(amount))
    world.push()


def waiting(world: World) -> list[holding.Held]:
    with world.database.read() as session:
        return holding.held(session)


def test_the_same_value_on_too_many_records_stops_at_its_cap_as_one_item(world: World) -> None:
    change_all(world)
    assert amounts(world).count(Decimal(7000)) == 2
    (item,) = waiting(world)
    assert (item.records, item.about) == (DEALS - 2, "Amount=7000.00")
    assert item.reason == "over the cap of same value per hour (Amount=7000.00)"


def test_the_other_connection_is_not_held_up(world: World) -> None:
    change_all(world)
    org = world.orgs[MIRROR]
    assert {org.value("Deal", i, "Amount") for i in world.deals(MIRROR)} == {Decimal(7000)}


def test_what_is_released_is_written_although_it_is_over_the_cap(world: World) -> None:
    change_all(world)
    holding.release(world.runtime, waiting(world)[0].id, BEN)
    world.settle()
    assert amounts(world) == [Decimal(7000)] * DEALS
    assert waiting(world) == []


def test_what_has_moved_since_drops_out_of_a_release(world: World) -> None:
    change_all(world)
    moved = next(r for r in registrations(world) if _held_is(world, r))
    world.update(moved.id, amount=Decimal(8000))
    holding.release(world.runtime, waiting(world)[0].id, BEN)
    world.settle()
    assert amounts(world) == [Decimal(7000)] * (DEALS - 1) + [Decimal(8000)]


def _held_is(world: World, registration: Registration) -> bool:
    with world.database.read() as session:
        _, changes = holding.item(session, waiting(world)[0].id)
    return registration.id in {change.registration_id for change in changes}


def test_what_is_discarded_is_not_planned_again_until_it_is_something_else(world: World) -> None:
    change_all(world)
    item = holding.discard(world.runtime, waiting(world)[0].id, BEN, "wrong price list")
    world.settle()
    assert amounts(world).count(Decimal(7000)) == 2
    assert waiting(world) == []
    assert item.state == "discarded"

    change_all(world, 9000)
    world.settle()
    assert amounts(world).count(Decimal(9000)) == 2


def test_a_discard_can_be_taken_back(world: World) -> None:
    change_all(world)
    item = holding.discard(world.runtime, waiting(world)[0].id, BEN, "wrong price list")
    holding.release(world.runtime, item.id, BEN)
    world.settle()
    assert amounts(world) == [Decimal(7000)] * DEALS


def test_a_large_item_needs_two_different_users(fast_url: str) -> None:
    world = limited(fast_url, same_value_per_hour=1, two_people_above=2)
    change_all(world)
    item = waiting(world)[0]
    ann, ben = Actor("x", "desk", os_user="ann"), Actor("x", "desk", os_user="ben")
    with pytest.raises(DomainRefusal, match="nobody knows who you are"):
        holding.release(world.runtime, item.id, BEN)
    assert holding.release(world.runtime, item.id, ann).state == "held"
    with pytest.raises(DomainRefusal, match="two people"):
        holding.release(world.runtime, item.id, replace(ann, name="claims to be ben"))
    assert holding.release(world.runtime, item.id, ben).state == "released"
    world.runtime.close()


def test_a_large_discard_is_taken_back_by_two_users_too(fast_url: str) -> None:
    world = limited(fast_url, same_value_per_hour=1, two_people_above=2)
    change_all(world)
    item = holding.discard(world.runtime, waiting(world)[0].id, BEN, "wrong price list")
    ann, ben = Actor("ann", "desk", os_user="ann"), Actor("ben", "desk", os_user="ben")
    assert holding.release(world.runtime, item.id, ann).state == "discarded"
    assert holding.release(world.runtime, item.id, ben).state == "released"
    world.runtime.close()


def test_a_loader_that_closes_deals_is_taken_in_by_nobody_until_it_is_released(
    world: World,
) -> None:
    for record_id in world.deals(HOME):
        world.orgs[HOME].edit("Deal", record_id, {"Stage": "Won"}, "loader")
    world.pass_time(60)
    world.poll()
    (item,) = waiting(world)
    assert (item.direction, item.records, item.cap) == ("pull", DEALS, "won_per_ten_minutes")
    assert {r.sales_stage for r in registrations(world)} == {"qualifying"}

    world.pass_time(3600)
    world.poll()
    world.push()
    assert {r.sales_stage for r in registrations(world)} == {"qualifying"}

    holding.release(world.runtime, item.id, BEN)
    world.settle()
    assert {r.sales_stage for r in registrations(world)} == {"won"}


def test_a_few_deals_are_won_as_ever(world: World) -> None:
    for record_id in world.deals(HOME)[:2]:
        world.orgs[HOME].edit("Deal", record_id, {"Stage": "Won"}, "rep")
    world.settle()
    assert [r.sales_stage.value for r in registrations(world)].count("won") == 2


def push_runs(world: World) -> list[runs.SyncRun]:
    with world.database.read() as session:
        return [r for r in runs.runs(session) if r.kind == "push" and r.connection == HOME]


def test_an_undone_run_puts_back_what_nobody_has_touched_and_lists_the_rest(
    fast_url: str,
) -> None:
    world = limited(fast_url)
    change_all(world)
    run = push_runs(world)[0]
    assert run.records == DEALS
    world.update(registrations(world)[0].id, amount=Decimal(7500))

    planned = undoing.undo(world.runtime, run.id, BEN, dry_run=True)
    assert [p.kept_because for p in planned if p.kept_because] == ["amount changed here since"]
    assert amounts(world) == [Decimal(7000)] * DEALS

    undoing.undo(world.runtime, run.id, BEN, dry_run=False)
    world.settle()
    assert amounts(world) == [Decimal(5000)] * (DEALS - 1) + [Decimal(7500)]
    again = undoing.undo(world.runtime, run.id, BEN, dry_run=True)
    assert all(p.kept_because for p in again)
    world.runtime.close()


def test_what_a_user_types_after_a_run_was_undone_is_not_taken_back_with_it(fast_url: str) -> None:
    world = limited(fast_url)
    change_all(world)
    undoing.undo(world.runtime, push_runs(world)[0].id, BEN, dry_run=False)
    world.orgs[HOME].edit("Deal", world.deals(HOME)[0], {"Amount": Decimal(6500)})
    world.settle()

    assert amounts(world) == [Decimal(5000)] * (DEALS - 1) + [Decimal(6500)]
    world.runtime.close()


def test_of_one_record_what_nobody_has_touched_goes_back_and_the_rest_is_listed(
    fast_url: str,
) -> None:
    world = limited(fast_url)
    world.pass_time(60)
    changed = registrations(world)[0].id
    world.update(changed, amount=Decimal(7000), expected_close_on=date(2026, 11, 30))
    world.push()
    world.update(changed, expected_close_on=date(2026, 12, 31))
    run = push_runs(world)[0]
    told = undoing.undo(world.runtime, run.id, BEN, dry_run=False)
    assert {(frozenset(t.wrote), t.kept_because) for t in told} == {
        (frozenset({"Amount"}), ""),
        (frozenset({"Close"}), "expected_close_on changed here since"),
    }
    world.settle()
    assert amounts(world) == [Decimal(5000)] * DEALS
    org = world.orgs[HOME]
    closes = [org.value("Deal", i, "Close") for i in world.deals(HOME)]
    assert closes.count(date(2026, 12, 31)) == 1
    world.runtime.close()


def test_a_run_that_only_created_is_listed_and_deletes_nothing(fast_url: str) -> None:
    world = limited(fast_url)
    run = push_runs(world)[-1]
    told = undoing.undo(world.runtime, run.id, ANN, dry_run=False)
    assert {t.kept_because for t in told} == {
        "the run created the record; records are never deleted from here"
    }
    assert len(world.deals(HOME)) == DEALS
    world.runtime.close()


def test_a_store_restored_from_yesterday_pushes_nothing_old(fast_url: str, tmp_path: Path) -> None:
    world = limited(fast_url)
    file = Path(fast_url.removeprefix("sqlite:///"))
    with sqlite3.connect(file) as live, sqlite3.connect(tmp_path / "backup.db") as backup:
        live.backup(backup)
    change_all(world)
    newest = amounts(world)
    world.database.close()
    with sqlite3.connect(tmp_path / "backup.db") as backup, sqlite3.connect(file) as live:
        backup.backup(live)

    assert restoring.hold_pushes(world.runtime, HOME, BEN) == DEALS
    assert restoring.hold_pushes(world.runtime, MIRROR, BEN) == DEALS
    world.settle()
    assert amounts(world) == newest == [Decimal(7000)] * DEALS
    assert {item.records for item in waiting(world)} == {DEALS}
    world.runtime.close()
