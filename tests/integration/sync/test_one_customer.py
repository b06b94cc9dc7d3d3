"""One customer under two names, who meet in an account alone, counts as one at every way to a claim."""

from __future__ import annotations

import pytest

from registration_core import protecting
from registration_core.errors import AlreadyProtected
from registration_core.model import (
    Customer,
    DisputeState,
    ProtectionState,
    Registration,
    RegistrationState,
)
from sync import checking
from tests.integration.sync.test_evidence import told_of_disputes
from tests.world import BEN, HOME, World

#: Neither's name, domain or identifier is the other's; the account in the home CRM has both.
BY_TAX_ID = Customer("Nordhafen Logistik GmbH", "DE", tax_id="DE100")
BY_DOMAIN = Customer("Kranich Gruppe", "DE", website="www.kranich.example")


@pytest.fixture
def account(world: World) -> str:
    """The account that has the tax id and the website; its id."""
    org = world.orgs[HOME]
    (record,) = [r for r in org.records("Account") if r.fields["Tax"] == "DE100"]
    org.edit("Account", record.record_id, {"Website": "https://kranich.example"}, "admin")
    return record.record_id


def expired_and_followed(world: World) -> Registration:
    """Let a protection end, and another partner be protected, who typed only the domain."""
    first = world.approved(customer=BY_TAX_ID)
    world.pass_time(91 * 86400)
    with world.database.begin() as unit:
        protecting.expire_due(unit, warn_days=1)
    assert world.registration(first.id).state is RegistrationState.EXPIRED
    second = world.approved(token="second", partner_code="BETA", customer=BY_DOMAIN)
    checking.approve(world.runtime, second.number, BEN)
    return first


def test_an_expired_protection_is_not_given_again_while_the_same_customer_is_anothers(
    world: World, account: str
) -> None:
    first = expired_and_followed(world)
    with pytest.raises(AlreadyProtected, match="may be about the customer of"):
        checking.reinstate(world.runtime, first.number, BEN, "they asked nicely")
    assert world.registration(first.id).protection_state is ProtectionState.EXPIRED


def test_a_deal_reopened_in_the_crm_takes_no_claim_while_the_same_customer_is_anothers(
    world: World, account: str
) -> None:
    first = world.approved(customer=BY_TAX_ID)
    world.settle()
    (deal,) = world.deals(HOME)
    world.orgs[HOME].edit("Deal", deal, {"Stage": "Won"}, "rep")
    world.settle()
    assert world.registration(first.id).state is RegistrationState.CLOSED_WON
    second = world.approved(token="second", partner_code="BETA", customer=BY_DOMAIN)
    checking.approve(world.runtime, second.number, BEN)

    world.orgs[HOME].edit("Deal", deal, {"Stage": "N"}, "rep")
    world.settle()

    reopened = world.registration(first.id)
    assert reopened.state is RegistrationState.APPROVED
    assert reopened.dispute_state is DisputeState.OPEN
    assert not reopened.protection_state.standing
    assert world.registration(second.id).protection_state.standing
    assert told_of_disputes(world, first) == 1
