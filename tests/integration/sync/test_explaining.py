"""Where a value came from, told from what is recorded."""

from __future__ import annotations

from decimal import Decimal

import pytest

from registration_core.errors import NotFound
from sync.mappings import mapping_versions
from sync.reports.explaining import Explanation, explain
from tests import beside
from tests.integration.sync.test_mapping_versions import draft, put
from tests.world import ANN, HOME, MIRROR, World


def explained(world: World, number: str, name: str) -> Explanation:
    with world.database.read() as session:
        return explain(session, world.runtime.mappings, world.runtime.programs, number, name)


def test_a_value_is_followed_from_the_partner_to_the_crms_and_back(world: World) -> None:
    made = world.approved()
    world.settle()
    world.edit(HOME, Stage="P", Amount=Decimal(7500))
    world.settle()

    found = explained(world, made.number, "amount")

    assert (found.value, found.phase) == (Decimal(7500), "converted")
    told = [(step.where, step.what, step.value) for step in found.steps]
    assert told[0] == ("store", "submitted", "5000")
    assert ("alpha", "written to the CRM", "Amount=5000") in told
    taken = told.index(("alpha", "taken from the CRM", "7500.00"))
    assert told.index(("beta", "written to the CRM", "Amount=7500")) > taken
    by_name = {each.connection: each for each in found.standings}
    assert by_name[HOME].theirs == ("Amount",)
    assert by_name[HOME].agreed == Decimal(7500)
    assert by_name[HOME].authority == "home and mirrors and store may change it, home wins"
    assert by_name[MIRROR].role == "mirror"
    assert by_name[MIRROR].mapping_version == world.runtime.mappings[MIRROR].version


def test_each_write_names_the_version_of_the_mapping_that_it_was_made_by(world: World) -> None:
    first = world.runtime.mappings[HOME]
    with world.database.begin(ANN) as unit:
        mapping_versions.put_in_force(unit, first, seen=0)
    made = world.approved()
    world.settle()
    put(world, draft(world, {"deal_name, theirs: Name": "deal_name, theirs: Remark"}))
    world.settle()

    told = [step.what for step in explained(world, made.number, "amount").steps]
    assert "written to the CRM by version 1 of its mapping" in told
    steps = explained(world, made.number, "deal_name").steps
    assert ("written to the CRM by version 2 of its mapping", "Remark=Cold chain") in [
        (step.what, step.value) for step in steps
    ]


def test_an_attempt_that_was_put_back_is_told_with_both_values(world: World) -> None:
    made = world.approved()
    world.settle()
    world.edit(HOME, Amount=Decimal(1))
    world.settle()

    steps = explained(world, made.number, "amount").steps

    assert any(
        "sync conflict" in step.what and step.value == "ours 5000.00, theirs 1.00" for step in steps
    )
    assert not any("theirs" in s.value for s in explained(world, made.number, "deal_name").steps)


def test_what_a_field_gave_to_the_records_beside_the_deal_is_told_too(world: World) -> None:
    beside.use(world)
    deal = beside.approved(world)
    world.settle()

    found = explained(world, deal.number, "customer_name")

    (account,) = (each for each in found.standings if each.theirs == ("account: Name",))
    assert (account.direction, account.agreed) == ("push at create only", None)
    assert account.authority == "written if the account is made, and never changed"
    told = [(step.what, step.value) for step in found.steps if step.where == HOME]
    assert told == [("written to the CRM with the account", "Name=Fjordkraft Elektro AS")]
    amounts = [s.value for s in explained(world, deal.number, "amount").steps if s.where == HOME]
    assert amounts == ["Amount=5000", "Price=5000"]


def test_a_field_we_do_not_have_is_answered_with_the_nearest(world: World) -> None:
    made = world.approved()
    with pytest.raises(NotFound, match=r"no field ammount\. Did you mean amount\?"):
        explained(world, made.number, "ammount")
