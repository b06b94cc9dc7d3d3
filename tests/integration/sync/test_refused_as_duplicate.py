"""A CRM that takes a new record for one it has: a person decides; and bulk rounds of a backlog."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from connectors.port import CreateItem, Outcome, Refused
from registration_core.model import Customer, Registration
from sync import push
from sync.links import linking
from sync.outcomes import dead_letters
from tests.world import BEN, HOME, MIRROR, World


@pytest.fixture
def known_deal(world: World, monkeypatch: pytest.MonkeyPatch) -> str:
    """A rep's deal that a duplicate rule of the home CRM finds whenever one is to be made."""
    deal = world.orgs[HOME].add(
        "Deal",
        {
            "Name": "Rep's name", "Stage": "P", "Amount": Decimal(1), "Currency": "EUR",
            "Owner": "rep-1", "Closed": False,
        },
        "rep",
    )  # fmt: skip

    def refuse(_: str, __: str, items: Sequence[CreateItem]) -> tuple[Outcome, ...]:
        words = ("DUPLICATES_DETECTED", "Use one of these records?")
        return tuple(Refused(*words, duplicates=(deal,)) for _ in items)

    monkeypatch.setattr(world.doors[HOME], "create", refuse)
    return deal


@pytest.fixture
def approved(world: World, known_deal: str) -> Registration:
    """A registration that the home CRM would not make."""
    made = world.approved()
    push.drain(world.runtime, HOME)
    return made


def _proposal(world: World) -> linking.LinkProposal:
    with world.database.read() as session:
        (found,) = linking.proposals(session)
    return found


def test_the_record_that_stands_in_the_way_is_proposed_and_nothing_is_dead(
    world: World, known_deal: str, approved: Registration
) -> None:
    found = _proposal(world)

    assert (found.record_id, found.registration_id) == (known_deal, approved.id)
    assert "Use one of these" in found.evidence["refused"]
    with world.database.read() as session:
        assert dead_letters.dead_letters(session) == []
    assert push.drain(world.runtime, HOME) == 0


def test_accepting_it_links_the_record_that_was_there(
    world: World, known_deal: str, approved: Registration
) -> None:
    linking.accept(world.runtime, _proposal(world).id, BEN)
    world.settle()

    assert world.deals(HOME) == [known_deal]
    assert world.deal(HOME, "Partner") == "Acme Partners"


def test_rejecting_it_leaves_the_refusal_as_a_dead_letter(
    world: World, known_deal: str, approved: Registration
) -> None:
    linking.reject(world.runtime, _proposal(world).id, BEN)
    push.drain(world.runtime, HOME)

    with world.database.read() as session:
        (letter,) = dead_letters.dead_letters(session)
    assert letter.code == "DUPLICATES_DETECTED"
    assert world.deals(HOME) == [known_deal]


def test_a_backlog_goes_in_bulk_and_what_is_left_in_small_batches(world: World) -> None:
    door = world.doors[MIRROR]
    door._capabilities = replace(door.capabilities, write_batch=1, load_from=3, load_batch=4)
    for number in range(6):
        customer = Customer(f"Stahlwerk {number}", "AT", tax_id=f"AT{number}")
        world.approved(token=str(number), customer=customer)
    before = door.calls["create"]

    push.drain(world.runtime, MIRROR)

    assert len(world.deals(MIRROR)) == 6
    assert door.calls["create"] - before == 3
