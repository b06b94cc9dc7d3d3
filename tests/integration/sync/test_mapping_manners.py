"""What a mapping's words do to real records: filling, keeping, first links, objects by `when`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import pytest

from mapping.loader import load
from registration_core import fields
from registration_core.contracts import ConnectionName
from registration_core.fields import FieldGroup, members
from registration_core.model import Customer, Registration
from sync import checking
from sync.conflicts import resolving
from sync.links import linking
from sync.mappings.coverage import coverage
from tests.world import BEN, HOME, World

OURS = fields.schema()
GROUPS = {group.value: members(group) for group in FieldGroup}


def remap(world: World, changes: Mapping[str, str], name: ConnectionName = HOME) -> None:
    """Change the text of a connection's mapping and load it anew."""
    text = world.mapping_text(name)
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    mappings = {**world.runtime.mappings, name: load(text, f"{name}.yaml", OURS, GROUPS)}
    world.runtime = replace(world.runtime, mappings=mappings)


def add(world: World, row: str) -> None:
    """Add a row of the details."""
    remap(world, {"      name: [": f"      details: [{row}]\n      name: ["})


def linked(world: World, **values: object) -> Registration:
    """Approve a registration and link it to a rep's own deal with these values."""
    (account,) = [r for r in world.orgs[HOME].records("Account") if r.fields["Tax"] == "DE100"]
    deal = {"Name": "Rep's name", "Stage": "P", "Amount": Decimal(12345), "Currency": "EUR",
            "Owner": "rep-1", "Account": account.record_id, "Closed": False}  # fmt: skip
    world.orgs[HOME].add("Deal", {**deal, **values}, "rep")  # type: ignore[dict-item]
    made = world.approved()
    checking.approve(world.runtime, made.number, BEN)
    world.push()
    with world.database.read() as session:
        (found,) = linking.proposals(session)
    linking.accept(world.runtime, found.id, BEN)
    world.settle()
    return world.registration(made.id)


def conflicts(world: World) -> dict[str, str]:
    with world.database.read() as session:
        found = resolving.conflicts(session, everything=True)
    return {each.group.value: each.state for each in found}


def test_at_a_first_link_the_crms_value_stands_and_ours_is_kept(world: World) -> None:
    after = linked(world)
    assert (after.amount, after.deal_name) == (Decimal(12345), "Rep's name")
    kept = conflicts(world)
    assert kept["amount"] == kept["name"] == "auto_settled"
    with world.database.read() as session:
        reasons = {each.reason for each in resolving.conflicts(session, everything=True)}
    assert reasons == {
        "The record was there before it was linked; its value stands by the mapping."
    }


def test_at_a_first_link_a_person_can_be_asked(world: World) -> None:
    remap(
        world,
        {"    key: Key\n    groups:": "    key: Key\n    first_link: {amount: ask}\n    groups:"},
    )
    after = linked(world)
    assert (after.amount, after.deal_name) == (Decimal(5000), "Rep's name")
    assert world.deal(HOME, "Amount") == Decimal(12345)
    assert conflicts(world)["amount"] == "open"


def test_at_a_first_link_an_empty_field_takes_the_other_sides_value(world: World) -> None:
    remap(
        world,
        {"    key: Key\n    groups:": "    key: Key\n    first_link: fill_empty\n    groups:"},
    )
    after = linked(world, Amount=None, Currency=None)
    assert world.deal(HOME, "Amount") == after.amount == Decimal(5000)
    assert world.deal(HOME, "Currency") == "EUR"
    assert "amount" not in conflicts(world)


def test_a_field_is_filled_only_while_it_is_empty(world: World) -> None:
    add(world, "{ours: description, theirs: Remark, direction: push, write: if_empty}")
    made = world.approved(description="First")
    world.settle()
    assert world.deal(HOME, "Remark") == "First"
    world.edit(HOME, Remark="Theirs")
    world.settle()
    assert world.deal(HOME, "Remark") == "Theirs"
    world.edit(HOME, Remark=None)
    world.settle()
    assert world.deal(HOME, "Remark") == "First"
    assert "details" not in {g for g, state in conflicts(world).items() if state == "open"}
    assert made.description == "First"


def test_an_emptied_value_is_put_back_where_the_mapping_keeps_ours(world: World) -> None:
    remap(world, {"theirs: Name, direction: both}": "theirs: Name, emptied: keep}"})
    made = world.approved()
    world.settle()
    world.edit(HOME, Stage="P")  # converted: the CRM may write the name now
    world.settle()
    world.edit(HOME, Name=None)
    world.settle()
    assert world.deal(HOME, "Name") == world.registration(made.id).deal_name == "Cold chain"
    assert conflicts(world).get("name") != "open"


def test_an_expression_follows_the_fields_it_reads(world: World) -> None:
    add(world, '{expression: \'deal_name + " (" + customer_country + ")"\', theirs: Remark}')
    made = world.approved()
    world.settle()
    assert world.deal(HOME, "Remark") == "Cold chain (DE)"
    world.update(made.id, deal_name="Warm chain")
    world.settle()
    assert world.deal(HOME, "Remark") == "Warm chain (DE)"
    world.edit(HOME, Remark="Scribbled over")
    world.settle()
    assert world.deal(HOME, "Remark") == "Warm chain (DE)"
    assert conflicts(world)["details"] == "auto_settled"


def test_a_registration_that_no_object_takes_waits_and_says_so(world: World) -> None:
    when = "  home: &deal\n    when: {product_line: [support]}\n"
    remap(world, {"  home: &deal\n": when})
    world.approved()
    world.push()
    assert not world.deals(HOME)
    with world.database.read() as session:
        from registration_core.store.tables import OutboxRow

        (row,) = session.query(OutboxRow).filter(OutboxRow.connection == HOME)
        assert "no object of alpha" in row.reason


def test_a_table_is_held_against_the_values_in_use(world: World) -> None:
    remap(world, {
        "connection: alpha\n": "connection: alpha\nshared: {lines: {enum: {support: S}}}\n",
        "      name: [": "      details: [{ours: product_line, theirs: Remark, direction: push, "
                         "transform: $lines}]\n      name: [",
    })  # fmt: skip
    world.submit()
    with world.database.read() as session:
        (found,) = coverage(session, world.runtime.mappings[HOME])
    assert (found.covered, found.values, found.missing) == (0, 1, ("platform",))
    assert str(found) == (
        "table lines covers 0 of 1 values of product_line in use, 0 of 1 registrations"
    )
    assert found.remedy == "add platform"


def test_a_table_of_territories_is_held_against_the_regions_of_customers(world: World) -> None:
    add(world, "{ours: customer_region, theirs: Remark, transform: {enum: {Bayern: South}}}")
    for number, region in enumerate(("Bayern", "Hessen", "Hessen", "")):
        world.submit(token=str(number), customer=Customer("Nordhafen", "DE", region=region))
    with world.database.read() as session:
        (found,) = coverage(session, world.runtime.mappings[HOME])
    assert (found.covered, found.values, found.missing) == (1, 2, ("Hessen",))
    assert (found.registrations_covered, found.registrations) == (1, 3)


@pytest.mark.parametrize("word", ["take_home", "fill_empty", "ask"])
def test_whoever_wins_a_first_link_both_sides_agree_or_a_person_is_asked(
    world: World, word: str
) -> None:
    remap(
        world, {"    key: Key\n    groups:": f"    key: Key\n    first_link: {word}\n    groups:"}
    )
    after = linked(world, Name="Theirs")
    asked = {group for group, state in conflicts(world).items() if state == "open"}
    for group, ours, theirs in (("name", "deal_name", "Name"), ("amount", "amount", "Amount")):
        agree = getattr(after, ours) == world.deal(HOME, theirs)
        assert agree is (group not in asked)
