"""Calls that need not be made, and what must not be saved with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from connectors.port import Gone, RemoteRecord
from registration_core.model import Customer, RegistrationState
from sync import pull, push, runs
from sync.accounts import emptiness
from sync.links import linking
from tests.world import HOME, MIRROR, World

DEALS = emptiness.ALWAYS_PLAUSIBLE + 2


@pytest.fixture
def agreed(world: World) -> str:
    """A converted registration that both CRMs hold and nothing is due of; its number."""
    made = world.approved()
    world.settle()
    world.edit(HOME, Stage="D")
    world.settle()
    world.poll()
    return made.number


def calls(world: World, name: str) -> Counter[str]:
    """What a CRM is asked from now on, in calls."""
    world.doors[name].calls.clear()  # type: ignore[index]
    return world.doors[name].calls  # type: ignore[index]


def test_a_write_with_a_precondition_reads_nothing_first(world: World, agreed: str) -> None:
    asked = calls(world, MIRROR)
    world.update(agreed, deal_name="Renamed here")
    push.drain(world.runtime, MIRROR)
    assert asked == {"update": 1}
    assert world.deal(MIRROR, "Name") == "Renamed here"


def test_without_a_precondition_every_write_is_right_after_a_read(
    world: World, agreed: str
) -> None:
    asked = calls(world, HOME)
    world.update(agreed, deal_name="Renamed here")
    push.drain(world.runtime, HOME)
    assert (asked["read"], asked["update"]) == (1, 1)


def test_what_somebody_changed_unseen_is_read_and_kept(world: World, agreed: str) -> None:
    world.edit(MIRROR, Name="Renamed there")
    asked = calls(world, MIRROR)
    world.update(agreed, amount=Decimal(9000))
    push.drain(world.runtime, MIRROR)
    assert asked["update"] == 2
    assert asked["read"]
    assert world.deal(MIRROR, "Amount") == Decimal(9000)
    assert world.registration(agreed).deal_name == "Renamed there"


def test_after_our_own_write_the_record_is_read_until_it_was_seen_again(
    world: World, agreed: str
) -> None:
    world.update(agreed, deal_name="First")
    push.drain(world.runtime, MIRROR)
    asked = calls(world, MIRROR)
    world.update(agreed, deal_name="Second")
    push.drain(world.runtime, MIRROR)
    assert asked == {"read": 1, "update": 1}

    runs.poll(world.runtime, MIRROR)
    asked = calls(world, MIRROR)
    world.update(agreed, deal_name="Third")
    push.drain(world.runtime, MIRROR)
    assert asked == {"update": 1}


def test_a_poll_that_tells_of_our_own_write_has_nothing_read(world: World, agreed: str) -> None:
    world.update(agreed, deal_name="Renamed here")
    world.push()
    for name in (HOME, MIRROR):
        asked = calls(world, name)
        run = runs.poll(world.runtime, name)
        pull.drain(world.runtime, name)
        assert run is not None
        assert run.records == 1
        assert asked["read"] == 0


def test_a_poll_that_tells_of_a_users_change_has_it_read(world: World, agreed: str) -> None:
    world.edit(MIRROR, Name="Renamed there")
    asked = calls(world, MIRROR)
    runs.poll(world.runtime, MIRROR)
    pull.drain(world.runtime, MIRROR)
    assert asked["read"] == 1
    assert world.registration(agreed).deal_name == "Renamed there"


def test_a_mass_of_records_that_a_write_finds_gone_is_not_believed(world: World) -> None:
    for number in range(DEALS):
        customer = Customer(f"Customer {number} GmbH", "DE", tax_id=f"DE7{number:03d}")
        world.submit(token=f"t{number}", customer=customer)
    world.settle()
    world.poll()
    for record_id in world.deals(MIRROR):
        world.orgs[MIRROR].remove("Deal", record_id, "loader")
    with world.database.read() as session:
        made = [link.registration_id for link in linking.links(session)]
    for each in dict.fromkeys(made):
        world.update(each, deal_name="Renamed here")
    push.drain(world.runtime, MIRROR)
    with world.database.read() as session:
        assert {link.state for link in linking.links(session)} == {"active"}


def test_a_costly_field_is_read_before_a_write_only_where_it_may_change(
    world: World, agreed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = world.doors[HOME]
    door._capabilities = replace(door.capabilities, costly=frozenset({"Account"}))
    asked: list[Sequence[str]] = []
    read = door.read

    def watched(
        name: str, ids: Sequence[str], fields: Sequence[str]
    ) -> Mapping[str, RemoteRecord | Gone]:
        asked.append(fields)
        return read(name, ids, fields)

    monkeypatch.setattr(door, "read", watched)

    world.update(agreed, deal_name="Renamed here")
    push.drain(world.runtime, HOME)
    assert ["Account" in fields for fields in asked] == [False]
    assert world.deal(HOME, "Name") == "Renamed here"
    assert world.registration(agreed).state is RegistrationState.APPROVED
