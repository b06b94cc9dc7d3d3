"""One remote record: link first, create second."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from registration_core.errors import DomainRefusal
from registration_core.fields import FieldGroup
from registration_core.model import Registration, RegistrationState
from sync import checking
from sync.links import linking
from tests.world import BEN, HOME, MIRROR, World, build


@pytest.fixture(params=["home", "manual"])
def world(request: pytest.FixtureRequest, fast_url: str) -> Iterator[World]:
    """A world where the home CRM wins, and one where a person settles two amounts."""
    made = build(fast_url, wins={FieldGroup.AMOUNT: request.param})
    yield made
    made.runtime.close()


@pytest.fixture
def rep_deal(world: World) -> str:
    """A rep's own open deal on the customer's account, opened before."""
    (account,) = [r for r in world.orgs[HOME].records("Account") if r.fields["Tax"] == "DE100"]
    return world.orgs[HOME].add(
        "Deal",
        {
            "Name": "Rep's name", "Stage": "P", "Amount": Decimal(12345), "Currency": "EUR",
            "Owner": "rep-1", "Account": account.record_id, "Closed": False,
        },
        "rep",
    )  # fmt: skip


@pytest.fixture
def approved(world: World, rep_deal: str) -> Registration:
    made = world.approved()
    assert made.state is RegistrationState.UNDER_REVIEW  # the open deal goes before a person
    checking.approve(world.runtime, made.number, BEN)
    world.push()
    return world.registration(made.id)


def proposal(world: World) -> linking.LinkProposal:
    with world.database.read() as session:
        (found,) = linking.proposals(session)
    return found


def test_a_reps_own_deal_is_proposed_and_not_doubled(
    world: World, rep_deal: str, approved: Registration
) -> None:
    found = proposal(world)

    assert (found.connection, found.record_id) == (HOME, rep_deal)
    assert found.evidence["name"] == "Rep's name"
    assert world.deals(HOME) == [rep_deal]
    world.settle()
    assert world.deals(HOME) == [rep_deal]
    assert len(world.deals(MIRROR)) == 1


def test_accepting_keeps_the_reps_values_and_stamps_the_partner(
    world: World, rep_deal: str, approved: Registration
) -> None:
    linking.accept(world.runtime, proposal(world).id, BEN)
    world.settle()

    assert world.deal(HOME, "Amount") == Decimal(12345)
    assert (world.deal(HOME, "Stage"), world.deal(HOME, "Owner")) == ("P", "rep-1")
    assert world.deal(HOME, "Name") == "Rep's name"
    assert (world.deal(HOME, "Partner"), world.deal(HOME, "State")) == ("Acme Partners", "approved")
    after = world.registration(approved.id)
    assert (after.amount, after.deal_name) == (Decimal(12345), "Rep's name")
    assert after.converted_at is not None
    assert world.deal(MIRROR, "Amount") == Decimal(12345)


def test_rejecting_creates_ours_beside_it(
    world: World, rep_deal: str, approved: Registration
) -> None:
    linking.reject(world.runtime, proposal(world).id, BEN)
    world.settle()

    assert len(world.deals(HOME)) == 2
    with world.database.read() as session:
        assert linking.proposals(session) == []


def test_a_decided_proposal_is_not_decided_again(
    world: World, rep_deal: str, approved: Registration
) -> None:
    found = proposal(world)
    linking.accept(world.runtime, found.id, BEN)

    with pytest.raises(DomainRefusal, match="was accepted by ben"):
        linking.reject(world.runtime, found.id, BEN)
