"""Conflicts by what they are about; settled in bulk, by command or key by key on the whole screen."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Literal

import pytest
from click.testing import CliRunner
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Static

from cli.main import root
from cli.review import Review
from cli.review_desk import Desk
from registration_core.errors import DomainRefusal, InvalidInput
from registration_core.fields import FieldGroup
from registration_core.model import Customer, Registration
from sync.conflicts import resolving, sifting
from tests.world import ANN, BEN, HOME, MIRROR, World, build

DAY = 86_400


@pytest.fixture
def world(fast_url: str) -> Iterator[World]:
    """A world whose program lets a person settle amounts."""
    made = build(fast_url, wins={FieldGroup.AMOUNT: "manual"})
    yield made
    made.runtime.close()


@pytest.fixture
def deals(world: World) -> list[Registration]:
    """Two converted deals whose amounts were changed on both sides: the first three days ago."""
    made = [world.approved(), _other(world)]
    world.settle()
    for record_id in world.deals(HOME):
        world.orgs[HOME].edit("Deal", record_id, {"Stage": "P"}, "rep")
    world.settle()
    by_key = {world.orgs[HOME].value("Deal", i, "Key"): i for i in world.deals(HOME)}
    for each, ours, theirs in zip(made, (6000, 60_000), (7000, 70_000), strict=True):
        world.update(each.number, amount=Decimal(ours))
        world.orgs[HOME].edit("Deal", by_key[each.id], {"Amount": Decimal(theirs)}, "rep")
        world.settle()
        world.pass_time(3 * DAY if each is made[0] else 0)
    return made


def _other(world: World) -> Registration:
    customer = Customer("Other GmbH", "DE", tax_id="DE555")
    return world.approved(token="other", customer=customer)


def sifted(world: World, *where: str) -> list[str]:
    with world.database.read() as session:
        found = sifting.sift(session, world.now, sifting.sieve(where))
    return [one.number for one in found]


def test_conflicts_are_found_by_place_field_age_and_worth(
    world: World, deals: list[Registration]
) -> None:
    old, new = (each.number for each in deals)
    assert sifted(world) == [old, new]
    assert sifted(world, f"connection={MIRROR}") == []
    assert sifted(world, "field=currency", f"connection={HOME}") == [old, new]
    assert sifted(world, "field=deal_name") == []
    assert sifted(world, "older=2") == [old]
    assert sifted(world, "worth=50000 EUR") == [new]
    assert sifted(world, "worth=1 USD") == []


@pytest.mark.parametrize("wrong", ["worth=much", "older=-1", "colour=red", "connection"])
def test_a_condition_that_says_nothing_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidInput, match="says nothing"):
        sifting.sieve([wrong])


def test_many_are_settled_by_one_rule_after_a_preview(
    world: World, deals: list[Registration], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sync.wiring.build", lambda settings: world.runtime)
    runner = CliRunner(env={"DEALREG_HOME": str(tmp_path)})
    settle = ["conflict", "settle", "--where", "field=amount", "--take", "theirs"]

    shown = runner.invoke(root, [*settle, "--dry-run"])
    assert shown.exit_code == 0
    assert "amount=70000" in shown.output
    assert len(sifted(world)) == 2

    done = runner.invoke(root, [*settle, "--yes", "--json"])
    assert {one["settled"] for one in json.loads(done.stdout)} == {True}
    world.settle()
    assert [world.registration(each.id).amount for each in deals] == [Decimal(7000), Decimal(70000)]
    assert runner.invoke(root, ["conflict", "settle", "--take", "ours"]).exit_code == 2


def test_one_that_is_refused_still_stands_and_says_why(
    world: World, deals: list[Registration]
) -> None:
    with world.database.read() as session:
        meant = sifting.sift(session, world.now, sifting.Sieve())
    resolving.resolve(world.runtime, meant[0].conflict.id, "ours", BEN)
    first, second = sifting.settle(world.runtime, meant, "theirs", BEN)
    assert "was resolved by ben" in first.refused
    assert second.refused == ""


@pytest.mark.parametrize("take", ["ours", "theirs"])
def test_nobody_decides_on_values_they_have_not_seen(
    world: World, deals: list[Registration], take: Literal["ours", "theirs"]
) -> None:
    with world.database.read() as session:
        meant = sifting.sift(session, world.now, sifting.Sieve())
    desk = Desk(world.runtime, BEN, sifting.Sieve())
    (shown, _) = desk.open()
    record_id = next(i for i in world.deals(HOME) if _key(world, i) == deals[0].id)
    world.orgs[HOME].edit("Deal", record_id, {"Amount": Decimal(9999)}, "rep")
    world.settle()

    first, second = sifting.settle(world.runtime, meant, take, BEN)

    assert f"amount in {HOME} is 9999 now, it was 7000" in first.refused
    assert f"dealreg conflict show {meant[0].conflict.id}" in first.refused
    assert second.refused == ""
    with pytest.raises(DomainRefusal, match="changed since it was shown"):
        desk.settle(shown, take)
    desk.settle(desk.open()[0], take)
    assert world.registration(deals[0].id).amount == Decimal(6000 if take == "ours" else 9999)


def _key(world: World, record_id: str) -> object:
    return world.orgs[HOME].value("Deal", record_id, "Key")


# --- the full-screen view ---------------------------------------------------------------------


def reviewed(world: World, act: Callable[[Pilot[None], Review], Awaitable[None]]) -> None:
    """Open the view on a terminal of its own and do something there."""

    async def run() -> None:
        app = Review(Desk(world.runtime, BEN, sifting.Sieve()))
        async with app.run_test(size=(140, 40)) as pilot:
            await act(pilot, app)

    asyncio.run(run())


async def pressed(pilot: Pilot[None], app: Review, *keys: str) -> None:
    await pilot.press(*keys)
    await pilot.pause()
    await app.workers.wait_for_complete()
    await pilot.pause()


def cells(app: Review, table: str) -> list[list[str]]:
    found = app.query_one(f"#{table}", DataTable)
    return [[str(cell) for cell in found.get_row_at(at)] for at in range(found.row_count)]


def test_the_view_shows_both_sides_and_who_changed_what(
    world: World, deals: list[Registration]
) -> None:
    async def act(pilot: Pilot[None], app: Review) -> None:
        await pilot.pause()
        assert [row[0] for row in cells(app, "list")] == [each.number for each in deals]
        assert ["amount", "5000", "6000 *", "7000 *"] in cells(app, "sides")
        assert any(row[1] == "ann@desk" or "ann" in row[1] for row in cells(app, "history"))
        await pilot.press("down")
        await pilot.pause()
        assert ["amount", "5000", "60000 *", "70000 *"] in cells(app, "sides")

    reviewed(world, act)


def test_keys_take_defer_and_undo_as_the_commands_do(
    world: World, deals: list[Registration]
) -> None:
    async def act(pilot: Pilot[None], app: Review) -> None:
        await pressed(pilot, app, "t")
        assert world.registration(deals[0].id).amount == Decimal(7000)
        assert [row[0] for row in cells(app, "list")] == [deals[1].number]
        await pressed(pilot, app, "u")
        assert world.registration(deals[0].id).amount == Decimal(6000)
        assert len(cells(app, "list")) == 2
        await pressed(pilot, app, "d", "o")
        assert cells(app, "list") == []
        assert "Nothing is left" in str(app.query_one("#about", Static).content)

    reviewed(world, act)
    world.settle()
    assert [world.registration(each.id).amount for each in deals] == [Decimal(6000), Decimal(60000)]
    assert sifted(world) == [deals[0].number]  # put off, and still open


def test_values_of_ones_own_are_typed_and_a_wrong_one_changes_nothing(
    world: World, deals: list[Registration]
) -> None:
    async def act(pilot: Pilot[None], app: Review) -> None:
        await pressed(pilot, app, "e")
        app.screen.query_one("#amount", Input).value = "many"
        await pressed(pilot, app, "enter")
        (told,) = app._notifications
        assert "amount cannot be 'many'" in told.message
        assert len(cells(app, "list")) == 2
        await pressed(pilot, app, "e", "escape")
        await pressed(pilot, app, "e")
        app.screen.query_one("#amount", Input).value = "6500"
        await pressed(pilot, app, "enter")
        assert world.registration(deals[0].id).amount == Decimal(6500)

    reviewed(world, act)


def test_only_what_was_edited_is_another_than_ours(world: World) -> None:
    made = world.approved()
    world.settle()
    world.edit(HOME, Stage="P", Currency="U\u00a0S")  # a space that no terminal shows as it is
    world.settle()
    world.update(made.number, amount=Decimal(6000))
    world.edit(HOME, Amount=Decimal(7000), Currency="USD")
    world.settle()

    async def act(pilot: Pilot[None], app: Review) -> None:
        await pressed(pilot, app, "e")
        app.screen.query_one("#amount", Input).value = "6500"
        await pressed(pilot, app, "enter")
        assert cells(app, "list") == []

    reviewed(world, act)
    after = world.registration(made.id)
    assert (after.amount, after.currency) == (Decimal(6500), "U\u00a0S")


def test_undo_shows_the_conflict_that_it_opens(world: World, deals: list[Registration]) -> None:
    async def act(pilot: Pilot[None], app: Review) -> None:
        await pressed(pilot, app, "down", "o")
        assert [row[0] for row in cells(app, "list")] == [deals[0].number]
        await pressed(pilot, app, "u")
        assert ["amount", "5000", "60000 *", "70000 *"] in cells(app, "sides")

    reviewed(world, act)


def test_what_is_decided_while_an_undo_waits_for_a_crm_is_the_next_to_be_taken_back(
    world: World, deals: list[Registration]
) -> None:
    typed = threading.Event()

    async def act(pilot: Pilot[None], app: Review) -> None:
        await pressed(pilot, app, "t")
        world.doors[HOME].on_call = lambda operation: assert_within(typed)
        await pilot.press("u", "t")
        await pilot.pause(0.3)
        typed.set()
        await pressed(pilot, app)
        assert world.registration(deals[0].id).amount == Decimal(6000)
        assert world.registration(deals[1].id).amount == Decimal(70_000)
        await pressed(pilot, app, "u")
        assert world.registration(deals[1].id).amount == Decimal(60_000)

    reviewed(world, act)
    assert sifted(world) == [each.number for each in deals]


def assert_within(event: threading.Event) -> None:
    assert event.wait(10)


def test_undo_takes_back_no_decision_of_somebody_else(
    world: World, deals: list[Registration]
) -> None:
    desk = Desk(world.runtime, BEN, sifting.Sieve())
    first, second = desk.open()
    desk.settle(second, "theirs")
    desk.settle(first, "theirs")
    world.pass_time(60)
    resolving.undo(world.runtime, first.conflict.id, ANN)
    resolving.resolve(world.runtime, first.conflict.id, "theirs", ANN)

    assert desk.undo().id == second.conflict.id

    assert world.registration(deals[0].id).amount == Decimal(7000)
    with pytest.raises(DomainRefusal, match="No decision of this sitting stands"):
        desk.undo()


def test_what_was_typed_before_the_end_is_carried_out(
    world: World, deals: list[Registration]
) -> None:
    typed = threading.Event()

    async def act(pilot: Pilot[None], app: Review) -> None:
        await pressed(pilot, app, "t")
        world.doors[HOME].on_call = lambda operation: assert_within(typed)
        asyncio.get_running_loop().call_later(0.3, typed.set)
        await pilot.press("u", "o", "q")

    reviewed(world, act)
    assert sifted(world) == [deals[0].number]


def test_the_view_needs_a_terminal(tmp_path: Path) -> None:
    runner = CliRunner(env={"DEALREG_HOME": str(tmp_path)})
    assert "needs a terminal" in runner.invoke(root, ["conflict", "review"]).output
