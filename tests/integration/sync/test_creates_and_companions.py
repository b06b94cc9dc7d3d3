"""A record that was converted, merged or made late is not made twice, and owes its line item."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from connectors.errors import CrmUnavailable
from connectors.memory import MemoryFault
from connectors.memory_org import MemoryOrg
from sync import push
from tests.beside import approved as approved_beside
from tests.beside import records, use
from tests.integration.sync.test_conversion import LEAD, convert, with_leads
from tests.integration.sync.test_late_creates import creates
from tests.world import HOME, World, build


@pytest.fixture
def leads(world: World) -> MemoryOrg:
    """A home CRM where registrations begin as leads, and deals are what leads become."""
    return with_leads(world)


@pytest.fixture
def beside(fast_url: str) -> Iterator[World]:
    """A world whose home CRM keeps an account, a contact and a line item beside each deal."""
    built = build(fast_url)
    use(built)
    yield built
    built.runtime.close()


def test_a_deal_that_a_lead_became_and_a_user_deleted_is_not_made_again(
    world: World, leads: MemoryOrg
) -> None:
    deal = world.approved()
    world.settle()
    became = convert(world, leads)
    world.settle()
    leads.remove("Deal", became)
    world.settle()
    world.settle()
    world.update(deal.number, description="anything")
    world.settle()
    assert (leads.records(LEAD), world.deals(HOME)) == ([], [])


def test_a_lead_whose_create_was_not_answered_is_followed_when_it_is_converted(
    world: World, leads: MemoryOrg
) -> None:
    deal = world.approved()
    world.doors[HOME].fail(MemoryFault.ANSWER_LOST, "create")
    push.drain(world.runtime, HOME)
    assert len(leads.records(LEAD)) == 1
    convert(world, leads)
    world.settle()
    world.settle()
    assert world.registration(deal.id).converted_at is not None
    assert world.deal(HOME, "Name") == "From a lead"


@pytest.mark.parametrize("edited", [False, True], ids=["untouched", "a rep edited it"])
def test_a_create_that_took_effect_late_owes_its_line_item(
    beside: World, monkeypatch: pytest.MonkeyPatch, *, edited: bool
) -> None:
    deal = approved_beside(beside)
    org, door = beside.orgs[HOME], beside.doors[HOME]
    cut: list[str] = []

    def hold_up(operation: str) -> None:
        if operation == "create" and creates(beside) and not cut:
            cut.append(operation)
            raise CrmUnavailable("held up", may_have_happened=True, connection=HOME)

    door.on_call = hold_up
    push.drain(beside.runtime, HOME)
    assert beside.deals(HOME) == []
    beside.pass_time(60)
    create = door.create

    def late(object_name: str, key: str, items: Any) -> Any:
        # The first one takes effect right before the second arrives.
        if object_name == "Deal" and not beside.deals(HOME):
            first = creates(beside)[0]
            assert first.state == "not_done"
            record = org.add("Deal", {**first.payload, "Key": deal.id}, "us")
            if edited:
                org.edit("Deal", record, {"Stage": "P"}, "rep")
        return create(object_name, key, items)

    monkeypatch.setattr(door, "create", late)
    push.drain(beside.runtime, HOME)
    beside.settle()
    beside.settle()
    assert len(beside.deals(HOME)) == 1
    assert len(records(beside, "Item")) == 1


def test_a_create_without_answer_whose_record_was_merged_owes_its_line_item(
    beside: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    approved_beside(beside)
    door = beside.doors[HOME]
    create = door.create

    def lost(object_name: str, key: str, items: Any) -> Any:
        answer = create(object_name, key, items)
        if object_name == "Deal":
            raise CrmUnavailable("lost", may_have_happened=True, connection=HOME)
        return answer

    with monkeypatch.context() as losing:
        losing.setattr(door, "create", lost)
        push.drain(beside.runtime, HOME)
    (ours,) = beside.deals(HOME)
    org = beside.orgs[HOME]
    survivor = org.add("Deal", {"Name": "Rep's own", "Stage": "P"}, "rep")
    org.merge("Deal", ours, survivor)
    beside.settle()
    beside.settle()
    assert beside.deals(HOME) == [survivor]
    assert len(records(beside, "Item")) == 1
