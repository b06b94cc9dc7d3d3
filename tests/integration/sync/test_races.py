"""Races that the simulation found, told by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from connectors.port import Gone, RemoteRecord
from sync import pull, push
from sync.inbox import Notice, take_note
from tests.world import HOME, World


def test_a_push_that_ends_while_a_pull_is_reading_is_not_taken_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world.approved()
    world.settle()
    (record_id,) = world.deals(HOME)
    world.edit(HOME, Stage="P")
    world.settle()
    with world.database.begin() as unit:
        take_note(unit, HOME, [Notice("Deal", record_id)], "webhook")
    door = world.doors[HOME]
    read = door.read
    raced: list[tuple[Any, ...]] = []

    def slow(*args: Any) -> Mapping[str, RemoteRecord | Gone]:
        found = read(*args)
        if not raced:
            raced.append(args)
            world.update(made.number, deal_name="Renamed here")
            push.drain(world.runtime, HOME)
        return found

    monkeypatch.setattr(door, "read", slow)
    pull.drain(world.runtime, HOME)

    assert raced
    assert world.registration(made.id).deal_name == "Renamed here"
    assert world.deal(HOME, "Name") == "Renamed here"
