"""Fields that only one program has go both ways like any other: decided on, and never lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from cli.field_values import typed
from mapping.loader import load
from registration_core import fields
from registration_core.contracts import FieldType
from registration_core.errors import InvalidInput
from registration_core.fields import FieldGroup, members
from registration_core.program import Authority, CustomField, Phase
from sync.conflicts import resolving
from sync.conflicts.resolving import Conflict
from tests.world import BEN, HOME, MIRROR, World, build

BUDGET = CustomField("budget_code", FieldType.TEXT, "Budget code")
_ROW = "\n      details: [{ours: budget_code, theirs: Remark, direction: both}]\n      account:"


@pytest.fixture
def world(fast_url: str) -> Iterator[World]:
    """A world whose program has a field of its own that both sides may change."""
    made = build(fast_url)
    program = made.runtime.program("default")
    shared = Authority(frozenset({"store", "home", "mirrors"}), "manual")
    program = replace(
        program,
        custom_fields={BUDGET.name: BUDGET},
        authority={**program.authority, FieldGroup.DETAILS: dict.fromkeys(Phase, shared)},
    )
    own = fields.CanonicalField(BUDGET.name, BUDGET.type, FieldGroup.DETAILS, BUDGET.label)
    groups = {group.value: members(group) for group in FieldGroup}
    groups["details"] = (*groups["details"], BUDGET.name)
    mappings = {
        name: load(
            World.mapping_text(name).replace("\n      account:", _ROW, 1),
            f"{name}.yaml",
            fields.schema([own]),
            groups,
        )
        for name in (HOME, MIRROR)
    }
    made.runtime = replace(made.runtime, programs={"default": program}, mappings=mappings)
    yield made
    made.runtime.close()


def the_conflict(world: World) -> Conflict:
    with world.database.read() as session:
        (found,) = resolving.conflicts(session, everything=True)
    return found


def test_a_crm_changes_a_field_that_the_program_lets_it_change(world: World) -> None:
    made = world.approved(custom={"budget_code": "B-1"})
    world.settle()
    world.edit(HOME, Remark="B-2")
    world.settle()
    assert world.registration(made.id).custom == {"budget_code": "B-2"}
    assert world.deal(MIRROR, "Remark") == "B-2"


def test_a_value_that_the_field_cannot_hold_stays_in_the_crm_as_a_conflict(world: World) -> None:
    made = world.approved(custom={"budget_code": "B-1"})
    world.settle()
    world.edit(HOME, Remark="B\x07")
    world.settle()
    found = the_conflict(world)
    assert found.reason == "budget_code: holds a control character."
    assert world.registration(made.id).custom == {"budget_code": "B-1"}


def test_a_conflict_is_settled_with_a_value_that_a_person_types(world: World) -> None:
    made = world.approved(custom={"budget_code": "B-1"})
    world.settle()
    world.edit(HOME, Remark="B-2")
    world.edit(MIRROR, Remark="B-3")
    world.settle()
    found = the_conflict(world)
    assert (found.group, found.store, found.remote) == (
        FieldGroup.DETAILS, {"budget_code": "B-2"}, {"budget_code": "B-3"},
    )  # fmt: skip

    program = world.runtime.program("default")
    resolving.resolve(world.runtime, found.id, typed({"budget_code": "B-4"}, program), BEN)
    world.settle()

    assert world.registration(made.id).custom == {"budget_code": "B-4"}
    assert (world.deal(HOME, "Remark"), world.deal(MIRROR, "Remark")) == ("B-4", "B-4")


def test_a_field_of_another_program_is_none_to_type(world: World) -> None:
    with pytest.raises(InvalidInput, match="no field budget_cod") as refused:
        typed({"budget_cod": "B-4"}, world.runtime.program("default"))
    assert "budget_code" in refused.value.hint


def test_a_value_that_our_write_replaced_unread_stays_with_a_conflict(world: World) -> None:
    world.approved(custom={"budget_code": "B-1"})
    world.settle()
    world.edit(MIRROR, Remark="B-2")
    world.edit_before_our_update(HOME, Remark="B-3")
    world.settle()

    found = the_conflict(world)
    assert (found.store, found.remote) == ({"budget_code": "B-2"}, {"budget_code": "B-3"})
