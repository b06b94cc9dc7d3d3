"""Somebody edits a deal, here or in the CRM, while a decision about it is on its way."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from connectors.memory import MemoryFault
from registration_core.fields import FieldGroup
from registration_core.model import Registration
from sync import push
from sync.conflicts import resolving
from sync.conflicts.resolving import Conflict
from sync.gates import holding
from sync.mappings import mapping_versions
from sync.outcomes import dead_letters
from sync.repair import comparing, drift, undoing
from tests.integration.sync.test_decision_races import refuse_a_name
from tests.integration.sync.test_holding import (
    change_all,
    limited,
    push_runs,
    registrations,
    waiting,
)
from tests.integration.sync.test_mapping_versions import draft, put
from tests.integration.sync.test_undo_races import ASKED, conflicts, contested, converted
from tests.world import ANN, BEN, HOME, MIRROR, World, build


@pytest.fixture
def manual(fast_url: str) -> Iterator[World]:
    """A world whose program lets a person settle amounts and dates."""
    made = build(fast_url, wins=ASKED)
    yield made
    made.runtime.close()


def named(world: World, field: str) -> set[object]:
    """Return every value of a field that some conflict keeps, open or not."""
    return {
        side.get(field)
        for each in conflicts(world, everything=True)
        for side in (each.store, each.remote)
    }


def ours_taken_back(world: World) -> Registration:
    """Let a person take our amount and change their mind; nothing is pushed since."""
    made = contested(world)
    (found,) = conflicts(world)
    resolving.resolve(world.runtime, found.id, "ours", BEN)
    world.settle()
    resolving.undo(world.runtime, found.id, BEN)
    return made


def amounts_of(conflict: Conflict) -> tuple[object, object]:
    return conflict.store["amount"], conflict.remote["amount"]


def test_what_is_released_does_not_replace_what_a_user_typed_meanwhile(fast_url: str) -> None:
    world = limited(fast_url, same_value_per_hour=1)
    for record_id in world.deals(HOME):
        world.orgs[HOME].edit("Deal", record_id, {"Stage": "P"}, "rep")
    world.settle()
    change_all(world)
    with world.database.read() as session:
        _, changes = holding.item(session, waiting(world)[0].id)
    record = changes[0].record_id
    assert record is not None
    world.orgs[HOME].edit("Deal", record, {"Amount": Decimal(8000)}, "rep")
    holding.release(world.runtime, waiting(world)[0].id, BEN)
    world.settle()
    assert world.orgs[HOME].value("Deal", record, "Amount") == Decimal(8000)
    assert Decimal(7000) in named(world, "amount")
    world.runtime.close()


def test_an_edit_after_a_discard_is_taken_in_alone(fast_url: str) -> None:
    world = limited(fast_url, won_per_ten_minutes=1)
    ids = world.deals(HOME)
    for record_id in ids:
        world.orgs[HOME].edit("Deal", record_id, {"Stage": "Won"}, "loader")
    world.pass_time(60)
    world.poll()
    holding.discard(world.runtime, waiting(world)[0].id, BEN, "loader")
    world.settle()
    world.orgs[HOME].edit("Deal", ids[0], {"Stage": "N"}, "rep")
    world.settle()
    world.settle()
    assert world.orgs[HOME].value("Deal", ids[0], "Stage") == "N"
    assert [r.sales_stage.value for r in registrations(world)].count("negotiating") == 1
    world.runtime.close()


def test_theirs_is_what_stands_there_by_the_time_it_is_taken(manual: World) -> None:
    made = contested(manual)
    (found,) = conflicts(manual)
    manual.edit(HOME, Amount=Decimal(8000))
    resolving.resolve(manual.runtime, found.id, "theirs", BEN)
    manual.settle()
    assert manual.deal(HOME, "Amount") == Decimal(8000) == manual.registration(made.id).amount


def test_ours_does_not_replace_what_a_user_typed_since_it_was_asked(manual: World) -> None:
    contested(manual)
    (found,) = conflicts(manual)
    manual.edit(HOME, Amount=Decimal(8000))
    resolving.resolve(manual.runtime, found.id, "ours", BEN)
    manual.settle()
    (again,) = conflicts(manual)
    assert amounts_of(again) == (Decimal(6000), Decimal(8000))


def test_a_mapping_that_is_applied_while_a_write_has_no_answer_loses_no_value(
    world: World,
) -> None:
    mapping = world.runtime.mappings[HOME]
    with world.database.begin(ANN) as unit:
        mapping_versions.put_in_force(unit, mapping, seen=0)
    made = converted(world)
    world.update(made.number, deal_name="Ours")
    world.doors[HOME].fail(MemoryFault.ANSWER_LOST, "update")
    push.drain(world.runtime, HOME)
    world.pass_time(5)
    second = draft(world, {"theirs: Name, direction: both": "theirs: Remark, direction: both"})
    put(world, second)
    world.edit(HOME, Remark="Typed")
    world.settle()
    world.settle()
    assert world.deal(HOME, "Remark") == "Typed"
    assert world.registration(made.id).deal_name == "Typed"
    assert "Ours" in named(world, "deal_name")

    world.edit(HOME, Name="Typed while it was not mapped")
    put(world, mapping)  # back
    world.settle()
    world.settle()
    assert world.deal(HOME, "Name") == "Typed while it was not mapped"
    assert "Typed" in named(world, "deal_name")


def test_a_repair_does_not_replace_what_a_user_typed_since_the_comparison(world: World) -> None:
    made = converted(world)
    world.edit(HOME, Amount=Decimal(7000))
    run = drift.begin(world.runtime, HOME, drift.LINKS, BEN)
    comparing.advance(world.runtime, HOME)
    world.edit(HOME, Amount=Decimal(8000))
    drift.repair(world.runtime, run, BEN)
    world.settle()
    assert world.deal(HOME, "Amount") == Decimal(8000) == world.registration(made.id).amount


def test_a_retried_dead_letter_does_not_replace_what_a_user_typed_meanwhile(world: World) -> None:
    made = converted(world)
    org = world.orgs[HOME]
    mended = org.schemas["Deal"]
    refused = refuse_a_name(world, made)
    org.schemas["Deal"] = mended
    world.edit(HOME, Name="Rep's own")
    dead_letters.retry(world.runtime, refused.id, BEN)
    world.settle()
    assert world.deal(HOME, "Name") == "Rep's own" == world.registration(made.id).deal_name
    assert "Too long for them" in named(world, "deal_name")


def test_an_undo_meets_an_edit_in_a_crm_that_writes_on_conditions(fast_url: str) -> None:
    world = build(fast_url, wins={FieldGroup.AMOUNT: "manual"})
    made = converted(world)
    world.update(made.number, amount=Decimal(6000))
    world.edit(MIRROR, Amount=Decimal(7000))
    world.settle()
    found = next(c for c in conflicts(world) if c.connection == MIRROR)
    resolving.resolve(world.runtime, found.id, "ours", BEN)
    world.settle()
    resolving.undo(world.runtime, found.id, BEN)
    world.edit_before_our_update(MIRROR, Amount=Decimal(8000))
    world.settle()
    world.settle()
    (again,) = conflicts(world)
    assert amounts_of(again) == (Decimal(6000), Decimal(8000))
    assert world.deal(MIRROR, "Amount") == Decimal(8000)
    world.runtime.close()


def test_what_a_user_typed_right_before_the_write_of_an_undo_is_kept(manual: World) -> None:
    ours_taken_back(manual)
    manual.edit_before_our_update(HOME, Amount=Decimal(8000))
    manual.settle()
    manual.settle()
    assert Decimal(8000) in named(manual, "amount")


def test_what_the_desk_changes_after_an_undo_is_asked_about(manual: World) -> None:
    made = ours_taken_back(manual)
    manual.update(made.number, amount=Decimal(6100))
    manual.settle()
    manual.settle()
    (again,) = conflicts(manual)
    assert amounts_of(again) == (Decimal(6100), Decimal(7000))


def test_what_the_desk_changes_after_a_run_was_undone_is_written(world: World) -> None:
    made = converted(world)
    world.update(made.number, amount=Decimal(9000))
    world.settle()
    undoing.undo(world.runtime, push_runs(world)[0].id, BEN, dry_run=False)
    world.update(made.number, amount=Decimal(9100))
    world.settle()
    world.settle()
    assert world.deal(HOME, "Amount") == Decimal(9100) == world.registration(made.id).amount


def test_an_undo_does_not_write_to_what_the_record_was_merged_into(manual: World) -> None:
    ours_taken_back(manual)
    org, (record,) = manual.orgs[HOME], manual.deals(HOME)
    survivor = org.add(
        "Deal", {"Name": "Cold chain", "Amount": Decimal(4000), "Currency": "EUR", "Stage": "P"}
    )
    org.merge("Deal", record, survivor)
    manual.settle()
    manual.settle()
    assert org.value("Deal", survivor, "Amount") == Decimal(4000)
    assert "amount" in {c.group.value for c in conflicts(manual)}  # and what the survivor lacks


def test_a_settled_conflict_is_reversed_while_the_write_that_settles_it_has_no_answer(
    world: World,
) -> None:
    made = world.approved()
    world.settle()
    world.edit(HOME, Amount=Decimal(7000))  # which it may not: ours goes back
    world.poll()
    world.doors[HOME].fail(MemoryFault.ANSWER_LOST, "update")
    push.drain(world.runtime, HOME)
    (kept,) = conflicts(world, everything=True)
    resolving.resolve(world.runtime, kept.id, "theirs", BEN)
    world.settle()
    world.settle()
    assert world.deal(HOME, "Amount") == Decimal(7000) == world.registration(made.id).amount
