"""What a CRM lacks of what the mapping and the lists name, and what `connection check` says of it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from registration_core.contracts import Condition, FieldType, ObjectSchema, Value
from registration_core.program import AccountList, ListKind
from sync.mappings import connecting, provisioning
from tests.world import HOME, MIRROR, World


def take_away(world: World, object_name: str, *names: str) -> None:
    """Let the home CRM lack fields."""
    schemas = world.orgs[HOME].schemas
    schema = schemas[object_name]
    left = {name: field for name, field in schema.fields.items() if name not in names}
    schemas[object_name] = replace(schema, fields=left)


def test_what_is_missing_is_made_as_the_mapping_and_the_lists_want_it(world: World) -> None:
    assert provisioning.missing(world.runtime, HOME) == ()
    take_away(world, "Deal", "Key", "State", "Until", "Amount")
    take_away(world, "Account", "House", "Tax")
    wanted = {(m.object, m.field.name): m.field for m in provisioning.missing(world.runtime, HOME)}
    assert {where: (field.type, field.unique) for where, field in wanted.items()} == {
        ("Deal", "Key"): (FieldType.TEXT, True),
        ("Deal", "State"): (FieldType.TEXT, False),
        ("Deal", "Until"): (FieldType.DATE, False),
        ("Deal", "Amount"): (FieldType.NUMBER, False),
        ("Account", "House"): (FieldType.BOOLEAN, False),
        ("Account", "Tax"): (FieldType.TEXT, False),
    }
    assert len(provisioning.provision(world.runtime, HOME)) == len(wanted)
    assert provisioning.provision(world.runtime, HOME) == ()
    assert world.orgs[HOME].schemas["Deal"].fields["Key"].unique


def test_what_two_vendors_get_of_us_is_told_to_the_check_of_each(world: World) -> None:
    world.doors[MIRROR]._capabilities = replace(world.doors[MIRROR].capabilities, vendor="other")
    mapping = world.runtime.mappings[HOME]
    needs = {need.object: need for need in connecting.needs_of(world.runtime, mapping)}
    assert "Amount" in needs["Deal"].written_elsewhere["other"]
    assert "Owner" not in needs["Deal"].written_elsewhere["other"]
    assert needs["Account"].written_elsewhere == {}


def test_history_is_asked_of_fields_that_flow_both_ways_and_each_is_named_once(
    world: World,
) -> None:
    """Ours alone stand in what only flows to the CRM: an edit there is put back, not lost."""
    schema = world.orgs[HOME].schemas["Deal"]
    untracked = {name: replace(field, history_kept=False) for name, field in schema.fields.items()}
    world.orgs[HOME].schemas["Deal"] = replace(schema, fields=untracked)

    told = [item for item in connecting.check(world.runtime, HOME) if "history" in item.detail]

    both_ways = ("Account", "Amount", "Close", "Currency", "Name", "Stage")
    assert [item.step for item in told] == [f"Deal.{name}" for name in both_ways]
    assert all(item.warning for item in told)


def test_a_list_that_asks_for_a_value_that_never_occurs_is_told_of(world: World) -> None:
    house = world.orgs[HOME].schemas["Account"].fields["House"]
    options = replace(house, type=FieldType.PICKLIST, options=("yes", "no"))
    fields = {**world.orgs[HOME].schemas["Account"].fields, "House": options}
    world.orgs[HOME].schemas["Account"] = ObjectSchema("Account", fields=fields)
    failed = [item for item in connecting.check(world.runtime, HOME) if not item.ok]
    assert [item.step for item in failed] == ["list house"]
    assert "never is True; it takes yes, no" in failed[0].detail


@pytest.mark.parametrize(
    ("kind", "value", "fits"),
    [
        (FieldType.BOOLEAN, "yes", False),
        (FieldType.BOOLEAN, "true", False),
        (FieldType.BOOLEAN, True, True),
        (FieldType.TEXT, True, False),
        (FieldType.TEXT, "yes", True),
        (FieldType.NUMBER, "3", False),
        (FieldType.NUMBER, Decimal(3), True),
        (FieldType.MULTI_PICKLIST, "3", True),
        (FieldType.REFERENCE, "005-house-desk", True),
        (FieldType.BOOLEAN, None, True),
    ],
)
def test_a_list_that_asks_for_a_value_of_another_type_is_told_of(
    world: World, kind: FieldType, value: Value, fits: bool
) -> None:
    accounts = world.orgs[HOME].schemas["Account"].fields
    house = replace(accounts["House"], type=kind)
    schema = ObjectSchema("Account", fields={**accounts, "House": house})
    rule = AccountList(ListKind.HOUSE, HOME, (Condition("House", (value,)),), ("DE-2",))
    told = list(connecting.lists_against([rule], "Account", schema))
    assert [item.step for item in told] == ([] if fits else ["list house"])
    if not fits:
        worded = f"'{value}'" if isinstance(value, str) else value
        assert f"House never is {worded}; it takes a {kind.value}" in told[0].detail
