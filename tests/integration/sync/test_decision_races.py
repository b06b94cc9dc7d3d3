"""A decision on a question, a held item, a dead letter or a run moves nothing but what it names."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Literal

import pytest

from registration_core.errors import DomainRefusal
from registration_core.model import Registration
from sync.conflicts import resolving
from sync.gates import holding
from sync.outcomes import dead_letters
from sync.repair import restoring, undoing
from tests.beside import letter
from tests.integration.sync.test_holding import amounts, change_all, limited, push_runs, waiting
from tests.integration.sync.test_mapping_manners import linked, remap
from tests.integration.sync.test_undo_races import conflicts, converted
from tests.world import BEN, HOME, MIRROR, World

ASK_AT_FIRST = {
    "    key: Key\n    groups:": "    key: Key\n    first_link: {amount: ask}\n    groups:"
}


def refuse_a_name(world: World, made: Registration) -> dead_letters.DeadLetter:
    """Let the home CRM take short names only, and ours be too long for it."""
    org = world.orgs[HOME]
    deal = org.schemas["Deal"]
    short = replace(deal.fields["Name"], length=10)
    org.schemas["Deal"] = replace(deal, fields={**deal.fields, "Name": short})
    world.update(made.number, deal_name="Too long for them")
    world.settle()
    return letter(world)


@pytest.mark.parametrize("choice", ["ours", "theirs"])
def test_the_undo_of_an_answer_to_a_first_links_question_asks_again(
    world: World, choice: Literal["ours", "theirs"]
) -> None:
    remap(world, ASK_AT_FIRST)
    made = linked(world)
    (asked,) = conflicts(world)
    assert (asked.store["amount"], asked.remote["amount"]) == (Decimal(5000), Decimal(12345))
    resolving.resolve(world.runtime, asked.id, choice, BEN)
    world.settle()
    resolving.undo(world.runtime, asked.id, BEN)
    world.settle()
    world.settle()
    sides = world.registration(made.id).amount, world.deal(HOME, "Amount")
    assert sides == (Decimal(5000), Decimal(12345))
    assert [c.id for c in conflicts(world)] == [asked.id]


def test_a_question_that_is_open_again_is_not_answered_by_an_edit_of_another_field(
    world: World,
) -> None:
    remap(world, ASK_AT_FIRST)
    made = linked(world)
    (asked,) = conflicts(world)
    resolving.resolve(world.runtime, asked.id, "theirs", BEN)
    world.settle()
    resolving.undo(world.runtime, asked.id, BEN)
    world.settle()
    world.update(made.number, deal_name="Renamed")
    world.settle()
    assert world.deal(HOME, "Amount") == Decimal(12345)
    assert [c.id for c in conflicts(world)] == [asked.id]


def test_a_dead_letter_of_a_restored_store_that_is_retried_sends_nothing_old(
    world: World, fast_url: str, tmp_path: Path
) -> None:
    made = world.approved()
    world.settle()
    org = world.orgs[HOME]
    mended = org.schemas["Deal"]
    refused = refuse_a_name(world, made)
    file = Path(fast_url.removeprefix("sqlite:///"))
    with sqlite3.connect(file) as live, sqlite3.connect(tmp_path / "backup.db") as backup:
        live.backup(backup)
    org.schemas["Deal"] = mended  # after the backup, and the deal goes on
    world.update(made.number, amount=Decimal(7000))
    world.settle()
    assert world.deal(HOME, "Amount") == Decimal(7000)
    world.database.close()
    with sqlite3.connect(tmp_path / "backup.db") as backup, sqlite3.connect(file) as live:
        backup.backup(live)
    restoring.hold_pushes(world.runtime, HOME, BEN)
    restoring.hold_pushes(world.runtime, MIRROR, BEN)
    world.settle()
    assert world.deal(HOME, "Amount") == Decimal(7000)

    dead_letters.retry(world.runtime, refused.id, BEN)
    world.settle()
    assert [item.cap for item in waiting(world)].count("restored") == 2
    assert world.deal(HOME, "Amount") == Decimal(7000)


def test_a_decision_on_one_held_item_leaves_what_another_one_holds(fast_url: str) -> None:
    world = limited(fast_url, same_value_per_hour=2, won_per_ten_minutes=2)
    change_all(world)
    assert amounts(world).count(Decimal(7000)) == 2
    world.pass_time(7200)
    for record_id in world.deals(HOME):
        world.orgs[HOME].edit("Deal", record_id, {"Stage": "Won"}, "loader")
    world.pass_time(60)
    world.poll()
    items = {item.direction: item for item in waiting(world)}
    assert items.keys() == {"push", "pull"}
    holding.discard(world.runtime, items["pull"].id, BEN, "a loader went wrong")
    world.push()
    assert [item.id for item in waiting(world)] == [items["push"].id]
    assert amounts(world).count(Decimal(7000)) == 2
    world.runtime.close()


def test_a_held_change_of_a_pull_shows_what_stands_here(fast_url: str) -> None:
    world = limited(fast_url, won_per_ten_minutes=2)
    for record_id in world.deals(HOME):
        world.orgs[HOME].edit("Deal", record_id, {"Stage": "Won"}, "loader")
    world.pass_time(60)
    world.poll()
    with world.database.read() as session:
        _, changes = holding.item(session, waiting(world)[0].id)
    assert changes[0].before["sales_stage"] == "qualifying"
    world.runtime.close()


def test_an_undone_amount_does_not_go_back_under_a_currency_that_a_user_has_set_since(
    world: World,
) -> None:
    made = converted(world)
    world.update(made.number, amount=Decimal(9000))
    world.settle()
    undoing.undo(world.runtime, push_runs(world)[0].id, BEN, dry_run=False)
    world.edit(HOME, Currency="USD")
    world.settle()
    world.settle()
    pair = world.deal(HOME, "Amount"), world.deal(HOME, "Currency")
    assert pair in {(Decimal(9000), "USD"), (Decimal(5000), "EUR")}


def test_a_settled_conflict_is_not_reversed_over_a_value_that_came_since(world: World) -> None:
    made = converted(world)
    world.update(made.number, amount=Decimal(6000))
    world.edit(HOME, Amount=Decimal(7000))
    world.settle()
    (settled,) = conflicts(world, everything=True)
    world.edit(HOME, Amount=Decimal(9000))
    world.settle()
    assert world.registration(made.id).amount == Decimal(9000)
    with pytest.raises(DomainRefusal, match=r"amount of .* changed since the conflict was settled"):
        resolving.resolve(world.runtime, settled.id, "ours", BEN, seen=settled)
    world.settle()
    assert world.deal(HOME, "Amount") == Decimal(9000)


def test_an_audits_conflict_that_is_taken_back_leaves_other_groups_alone(world: World) -> None:
    made = converted(world)
    world.update(made.number, deal_name="Ours", expected_close_on=date(2027, 1, 1))
    world.edit_before_our_update(HOME, Name="Theirs, never read")
    world.settle()
    world.settle()
    (kept,) = conflicts(world, everything=True)
    resolving.resolve(world.runtime, kept.id, "theirs", BEN)
    world.settle()
    world.update(made.number, expected_close_on=date(2027, 5, 5))  # not pushed yet
    resolving.undo(world.runtime, kept.id, BEN)
    world.settle()
    world.settle()
    assert world.registration(made.id).expected_close_on == date(2027, 5, 5)


def test_a_user_of_the_crm_may_type_later_what_was_once_taken_back(world: World) -> None:
    made = converted(world)
    world.update(made.number, amount=Decimal(7000))
    world.settle()
    undoing.undo(world.runtime, push_runs(world)[0].id, BEN, dry_run=False)
    world.settle()
    world.update(made.number, amount=Decimal(5500))
    world.settle()
    world.edit(HOME, Amount=Decimal(7000))
    world.settle()
    assert world.registration(made.id).amount == Decimal(7000)


def test_so_may_the_desk(world: World) -> None:
    made = world.approved()
    world.settle()
    world.update(made.number, amount=Decimal(7000))
    world.settle()
    undoing.undo(world.runtime, push_runs(world)[0].id, BEN, dry_run=False)
    world.settle()
    assert world.deal(HOME, "Amount") == Decimal(5000)
    world.update(made.number, amount=Decimal(5500))
    world.settle()
    world.update(made.number, amount=Decimal(7000))
    world.settle()
    assert world.deal(HOME, "Amount") == Decimal(7000)
