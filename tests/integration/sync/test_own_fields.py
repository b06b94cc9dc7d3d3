"""Fields that only one program has go both ways like any other: decided on, and never lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from cli.field_values import typed
from mapping.loader import load
from mapping.schema import ConnectionMapping
from registration_core import fields
from registration_core.contracts import ConnectionName, FieldType
from registration_core.errors import InvalidInput
from registration_core.fields import FieldGroup, members
from registration_core.model import Registration
from registration_core.program import Authority, CustomField, Phase, Program
from sync import clock
from sync.conflicts import resolving
from sync.conflicts.resolving import Conflict
from tests.world import BEN, HOME, MIRROR, World, build

BUDGET = CustomField("budget_code", FieldType.TEXT, "Budget code")
_ROW = "\n      details: [{ours: budget_code, theirs: Remark, direction: both, emptied: clear}]\n      account:"


_NAMED = _ROW.replace("budget_code", "customer_name")


def _loaded(name: ConnectionName, text: str) -> ConnectionMapping:
    own = fields.CanonicalField(BUDGET.name, BUDGET.type, FieldGroup.DETAILS, BUDGET.label)
    groups = {group.value: members(group) for group in FieldGroup}
    groups["details"] = (*groups["details"], BUDGET.name)
    return load(text, f"{name}.yaml", fields.schema([own]), groups)


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
    mappings = {
        name: _loaded(name, World.mapping_text(name).replace("\n      account:", _ROW, 1))
        for name in (HOME, MIRROR)
    }
    made.runtime = replace(made.runtime, programs={"default": program}, mappings=mappings)
    yield made
    made.runtime.close()


def _decided_here(world: World) -> Program:
    """The program where nobody but dealreg writes a deal's details."""
    program = world.runtime.program("default")
    ours = dict.fromkeys(Phase, Authority(frozenset({"store"}), "store"))
    return replace(program, authority={**program.authority, FieldGroup.DETAILS: ours})


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

    world.edit(MIRROR, Remark=None)
    world.settle()
    assert world.deal(HOME, "Remark") is None
    assert world.registration(made.id).custom == {"budget_code": None}


def _known_to_be_empty(world: World) -> Registration:
    """A deal without the field, whose records were read since they were made."""
    made = world.approved()
    world.settle()
    world.pass_time(300)
    world.settle()
    return made


def test_a_field_that_the_partner_never_gave_goes_both_ways_too(world: World) -> None:
    made = _known_to_be_empty(world)
    world.edit(HOME, Remark="B-2")
    world.settle()
    assert world.registration(made.id).custom == {"budget_code": "B-2"}
    assert world.deal(MIRROR, "Remark") == "B-2"


def test_one_that_two_crms_fill_in_is_a_conflict(world: World) -> None:
    made = _known_to_be_empty(world)
    world.edit(HOME, Remark="B-2")
    world.edit(MIRROR, Remark="B-3")
    world.settle()
    found = the_conflict(world)
    assert (found.store, found.remote) == ({"budget_code": "B-2"}, {"budget_code": "B-3"})
    assert world.registration(made.id).custom == {"budget_code": "B-2"}


def test_what_a_crm_may_not_fill_in_is_put_back_and_told(world: World) -> None:
    world.runtime = replace(world.runtime, programs={"default": _decided_here(world)})
    made = _known_to_be_empty(world)
    world.edit(HOME, Remark="B-2")
    world.settle()
    found = the_conflict(world)
    assert (found.state, found.remote) == ("auto_settled", {"budget_code": "B-2"})
    assert world.deal(HOME, "Remark") is None
    assert world.registration(made.id).custom == {}


def test_a_value_that_the_field_cannot_hold_stays_in_the_crm_as_a_conflict(world: World) -> None:
    made = world.approved(custom={"budget_code": "B-1"})
    world.settle()
    world.edit(HOME, Remark="B\x07")
    world.settle()
    found = the_conflict(world)
    assert found.reason == "budget_code: holds a control character."
    assert world.registration(made.id).custom == {"budget_code": "B-1"}


def test_whom_a_partner_named_is_no_crms_to_change(world: World) -> None:
    named = world.mapping_text(HOME).replace("\n      account:", _NAMED, 1)
    mappings = {**world.runtime.mappings, HOME: _loaded(HOME, named)}
    world.runtime = replace(world.runtime, mappings=mappings)
    made = world.approved()
    world.settle()
    world.edit(HOME, Remark="Somebody else")
    world.settle()
    assert the_conflict(world).reason == "customer_name is not changed by a CRM."
    assert world.registration(made.id).customer == made.customer


def test_a_tender_that_a_crm_tells_of_asks_for_another_check(world: World) -> None:
    world.approved(custom={"budget_code": "B-1"})
    world.settle()
    program = replace(world.runtime.program("default"), tender_field="budget_code")
    world.runtime = replace(world.runtime, programs={"default": program})
    world.edit(HOME, Remark="B-2")
    world.pass_time(60)
    assert "check" not in clock.due_work(world.runtime)

    world.poll()

    assert "check" in clock.due_work(world.runtime)


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
