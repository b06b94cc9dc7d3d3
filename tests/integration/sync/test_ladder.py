"""The go-live ladder: nothing is written before a person has let it, rung by rung."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from registration_core.contracts import Mode
from registration_core.errors import DomainRefusal, InvalidInput
from registration_core.model import Customer, Registration
from registration_core.store.audit import events
from sync.gates import grading, ladder
from sync.links import linking
from tests.world import BEN, HOME, MIRROR, World, build

DEALS = 3


@pytest.fixture
def world(fast_url: str) -> Iterator[World]:
    """A world whose mirror is only observed, with three approved deals."""
    made = build(fast_url)
    ladder.demote(made.runtime, MIRROR, BEN, to=Mode.OBSERVE)
    for number in range(DEALS):
        customer = Customer(f"Customer {number} GmbH", "DE", tax_id=f"DE7{number:03d}")
        made.submit(token=f"t{number}", customer=customer)
    made.settle()
    yield made
    made.runtime.close()


def promote(world: World, **more: object) -> ladder.Rung:
    found = grading.report(world.runtime, MIRROR)
    return ladder.promote(world.runtime, MIRROR, BEN, found=found, **more)  # type: ignore[arg-type]


def registrations(world: World) -> list[Registration]:
    from registration_core.store import repository

    with world.database.read() as session:
        return sorted(repository.registrations(session), key=lambda r: r.number)


def test_an_observed_crm_gets_nothing_and_the_report_says_what_it_would_get(world: World) -> None:
    assert (len(world.deals(HOME)), len(world.deals(MIRROR))) == (DEALS, 0)
    found = grading.report(world.runtime, MIRROR)
    (deals,) = found.objects
    assert (deals.would_create, deals.would_update, found.linked) == (DEALS, 0, 0)


def test_the_next_rung_links_what_carries_our_key_and_makes_nothing(world: World) -> None:
    known = registrations(world)[0]
    world.orgs[MIRROR].add("Deal", {"Key": known.id, "Name": "Made by an earlier tool"})
    assert promote(world).mode is Mode.LINK
    world.settle()

    with world.database.read() as session:
        linked = [link.connection for link in linking.links(session, known.id)]
    assert MIRROR in linked
    assert len(world.deals(MIRROR)) == 1


def test_a_canary_writes_the_named_one_and_as_many_more_as_it_may(world: World) -> None:
    last = registrations(world)[-1]
    promote(world, to=Mode.CANARY, canary=[last.number])
    world.settle()
    assert [world.deal(MIRROR, "Key")] == [last.id]

    promote(world, to=Mode.CANARY, canary=[last.number], canary_most=1)
    world.settle()
    assert len(world.deals(MIRROR)) == 2


def test_a_canary_without_registrations_is_refused(world: World) -> None:
    with pytest.raises(InvalidInput):
        promote(world, to=Mode.CANARY)


def test_at_the_top_everything_that_was_only_recorded_is_written(world: World) -> None:
    promote(world, to=Mode.PUSH)
    world.settle()
    assert len(world.deals(MIRROR)) == DEALS


def test_a_demotion_stops_the_next_write_and_what_people_did_since_is_graded(
    world: World,
) -> None:
    promote(world, to=Mode.PUSH)
    world.settle()
    ladder.demote(world.runtime, MIRROR, BEN, to=Mode.LINK)
    for each in registrations(world):
        world.update(each.id, amount=Decimal(7000))
    world.settle()
    org = world.orgs[MIRROR]
    first, second, third = world.deals(MIRROR)
    assert org.value("Deal", third, "Amount") == Decimal(5000)

    org.edit("Deal", first, {"Amount": Decimal(7000)}, "rep")
    org.edit("Deal", second, {"Amount": Decimal(6500)}, "rep")
    (found,) = grading.report(world.runtime, MIRROR).objects
    graded = (found.people_did_the_same, found.people_did_otherwise, found.nobody_touched)
    assert graded == (1, 1, 1)


def test_nobody_goes_further_than_the_configuration_allows(fast_url: str) -> None:
    world = build(fast_url, modes={MIRROR: Mode.LINK})
    with pytest.raises(DomainRefusal, match="as far as link"):
        promote(world, to=Mode.PUSH)
    world.runtime.close()


def test_who_promoted_on_which_report_is_in_the_audit_trail(world: World) -> None:
    promote(world)
    with world.database.read() as session:
        (last,) = events(session, f"connection:{MIRROR}")[-1:]
    assert (last["action"], last["actor"]) == ("promote", str(BEN))
    assert last["internal"]["report"]["objects"][0]["would_create"] == DEALS


def test_what_the_crm_changes_is_taken_in_on_every_rung(world: World) -> None:
    ladder.demote(world.runtime, HOME, BEN, to=Mode.OBSERVE)
    (record_id, *_) = world.deals(HOME)
    world.orgs[HOME].edit("Deal", record_id, {"Stage": "D"}, "rep")
    world.settle()
    assert "developing" in {r.sales_stage.value for r in registrations(world)}
