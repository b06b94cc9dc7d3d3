"""The go-live ladder by object: one that is held back is neither made nor changed, and the rest goes on."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from registration_core.contracts import Mode
from registration_core.errors import DomainRefusal, InvalidInput
from registration_core.store.audit import events
from sync.gates import grading, ladder
from sync.previews import previewing
from sync.reports.status import status
from tests.beside import approved, made, use, waits
from tests.world import BEN, HOME, World, build


@pytest.fixture
def world(fast_url: str) -> Iterator[World]:
    """Deals stand beside their customers' accounts, contacts and line items in one CRM."""
    made = build(fast_url)
    use(made)
    yield made
    made.runtime.close()


def hold_back(world: World, name: str, to: Mode = Mode.LINK) -> ladder.Rung:
    return ladder.demote(world.runtime, HOME, BEN, to=to, object_name=name)


def let(world: World, name: str) -> ladder.Rung:
    found = grading.report(world.runtime, HOME)
    return ladder.promote(world.runtime, HOME, BEN, found=found, to=Mode.PUSH, object_name=name)


def counts(world: World, *names: str) -> list[int]:
    return [len(made(world, name)) for name in names]


def test_an_account_that_is_held_back_is_not_made_and_its_deal_waits(world: World) -> None:
    hold_back(world, "Account")
    deal = approved(world)
    world.settle()
    assert counts(world, "Account", "Contact", "Deal") == [0, 0, 0]
    assert waits(world, deal) == "Account is held back: only recorded"
    (shown,) = [o for o in grading.report(world.runtime, HOME).objects if o.object == "Account"]
    assert (shown.mode, shown.would_create) == (Mode.LINK, 1)

    let(world, "Account")
    world.settle()
    assert counts(world, "Account", "Contact", "Deal", "Item") == [1, 1, 1, 1]


def test_a_contact_that_is_held_back_is_found_where_there_is_one(world: World) -> None:
    there = world.orgs[HOME].add(
        "Contact", {"LastName": "Kari", "Email": "buyer@fjordkraft.example"}
    )
    hold_back(world, "Contact")
    approved(world)
    world.settle()
    assert made(world, "Contact") == []
    assert world.deal(HOME, "Contact") == there


def test_a_line_item_that_is_held_back_keeps_no_change_of_its_deal_up_and_is_made_later(
    world: World,
) -> None:
    hold_back(world, "Item")
    deal = approved(world)
    world.settle()
    world.update(deal.id, amount=Decimal(9000))
    world.settle()
    assert world.deal(HOME, "Amount") == Decimal(9000)
    assert counts(world, "Item") == [0]
    (shown,) = [o for o in grading.report(world.runtime, HOME).objects if o.object == "Item"]
    assert shown.would_create == 1

    let(world, "Item")
    world.settle()
    assert counts(world, "Item") == [1]


def test_a_deal_that_is_held_back_is_recorded_and_what_others_change_is_taken_in(
    world: World,
) -> None:
    deal = approved(world)
    world.settle()
    hold_back(world, "Deal", Mode.OBSERVE)
    world.update(deal.id, amount=Decimal(9000))
    world.edit(HOME, Stage="D")
    world.settle()
    assert world.deal(HOME, "Amount") == Decimal(5000)
    assert world.registration(deal.id).sales_stage == "developing"
    (shown,) = [o for o in grading.report(world.runtime, HOME).objects if o.object == "Deal"]
    assert (shown.would_update, shown.nobody_touched) == (1, 1)
    let(world, "Deal")
    world.settle()
    assert world.deal(HOME, "Amount") == Decimal(9000)


def test_no_object_goes_further_than_its_connection(world: World) -> None:
    hold_back(world, "Account", Mode.OBSERVE)
    let(world, "Account")
    ladder.demote(world.runtime, HOME, BEN, to=Mode.OBSERVE)
    approved(world)
    world.settle()
    assert counts(world, "Account", "Deal") == [0, 0]


def test_a_preview_says_what_of_it_is_held_back(world: World) -> None:
    approved(world)
    hold_back(world, "Deal", Mode.OBSERVE)

    found = previewing.preview_many(world.runtime, HOME)

    assert found.mode is Mode.PUSH
    assert found.held_back == {"Deal": Mode.OBSERVE}


def test_which_objects_are_held_back_is_told(world: World) -> None:
    hold_back(world, "Account")
    (shown,) = [c for c in status(world.runtime).connections if c.name == HOME]
    assert "Account is held back at link" in shown.why
    with world.database.read() as session:
        (last,) = events(session, f"connection:{HOME}")[-1:]
    assert (last["action"], last["internal"]["object"]) == ("demote", "Account")


def test_an_object_has_no_canary_and_none_that_is_not_mapped_has_a_rung(world: World) -> None:
    with pytest.raises(InvalidInput, match="no canary of its own"):
        hold_back(world, "Account", Mode.CANARY)
    with pytest.raises(InvalidInput, match="Mapped are Account, Contact, Deal, Item"):
        hold_back(world, "Quote")
    with pytest.raises(DomainRefusal, match="at push"):
        let(world, "Account")
