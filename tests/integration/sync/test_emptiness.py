"""Many records that vanish at once are not believed until a person says so."""

from __future__ import annotations

import pytest

from registration_core.model import Customer
from sync import emptiness, linking
from tests.world import BEN, HOME, World

DEALS = emptiness.ALWAYS_PLAUSIBLE + 2


@pytest.fixture
def many(world: World) -> World:
    for number in range(DEALS):
        tax_id = f"DE7{number:03d}"
        customer = Customer(f"Customer {number} GmbH", "DE", tax_id=tax_id)
        world.submit(token=f"t{number}", customer=customer)
    world.settle()
    assert len(world.deals(HOME)) == DEALS
    return world


def orphans(world: World) -> int:
    with world.database.read() as session:
        return sum(link.state == "orphaned" for link in linking.links(session))


def vanish(world: World) -> None:
    for record_id in world.deals(HOME):
        world.orgs[HOME].remove("Deal", record_id, "loader")


def poll_and_push(world: World) -> None:
    world.pass_time(301)
    world.poll()
    world.push()


def test_a_mass_deletion_orphans_nothing_and_waits(many: World) -> None:
    vanish(many)
    poll_and_push(many)
    assert orphans(many) == 0


def test_a_person_may_vouch_for_it(many: World) -> None:
    vanish(many)
    poll_and_push(many)

    emptiness.accept_deletes(many.runtime, HOME, BEN)
    poll_and_push(many)

    assert orphans(many) == DEALS


def test_records_that_come_back_were_never_lost(many: World) -> None:
    ids = many.deals(HOME)
    vanish(many)
    poll_and_push(many)
    for record_id in ids:
        many.orgs[HOME].restore("Deal", record_id, "admin")

    many.settle(seconds=301)

    assert (orphans(many), len(many.deals(HOME))) == (0, DEALS)


def test_single_deletions_are_believed(many: World) -> None:
    many.orgs[HOME].remove("Deal", many.deals(HOME)[0], "rep")
    poll_and_push(many)
    assert orphans(many) == 1
