"""However many protections end, and whoever asks at once: each end comes and is told once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from registration_core.announcing import Audience, Topic
from registration_core.store.announcements import AnnouncementRow
from registration_core.store.tables import RegistrationRow
from sync import clock
from sync.announcing import foreseeing
from tests import crowd
from tests.world import START, World

#: More than are looked at in one commit, and than a list of registrations holds.
MANY = 501


@pytest.fixture
def many(world: World) -> int:
    """So many protections that end on the same day."""
    crowd.add(world, world.approved(), MANY - 1, {})
    return MANY


def test_the_ends_of_all_protections_are_told_once_however_many_they_are(
    world: World, many: int
) -> None:
    world.now = START + timedelta(days=80)
    assert foreseeing.foresee_ends(world.runtime, (14,)) == many
    assert foreseeing.foresee_ends(world.runtime, (14,)) == 0
    told = select(func.count(AnnouncementRow.registration_id.distinct())).where(
        AnnouncementRow.topic == Topic.EXPIRING, AnnouncementRow.audience == Audience.PARTNER
    )
    with world.database.read() as session:
        assert session.scalar(told) == many


def test_all_protections_that_are_due_end_in_one_round_of_the_clock(
    world: World, many: int
) -> None:
    world.now = START + timedelta(days=91)
    clock.tick(replace(world.runtime, connectors={}), lambda kinds: None)
    states = select(RegistrationRow.protection_state, func.count()).group_by("protection_state")
    with world.database.read() as session:
        assert [tuple(row) for row in session.execute(states)] == [("expired", many)]
