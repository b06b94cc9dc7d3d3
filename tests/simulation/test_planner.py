"""The planner alone: whatever two sides hold, carrying its plan out ends, and nobody's value is gone."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from mapping.translate import canonical, to_store
from reconciler.merge import same
from registration_core.contracts import ConnectionName, Fields, Value
from registration_core.fields import FIELDS, FieldGroup
from registration_core.program import Phase, Role
from sync.planning import Plan, Situation, plan
from tests import world
from tests.simulation.play import mapping_of

#: Planner cases per test run; `make soak` raises it through the profile.
CASES = 400

_VALUES: dict[str, st.SearchStrategy[Value]] = {
    "deal_name": st.sampled_from(["a", "b", " c ", "a name that is far too long for one of them"]),
    "amount": st.sampled_from([Decimal(100), Decimal("100.50"), Decimal(101), None]),
    "currency": st.sampled_from(["EUR", "USD"]),
    "expected_close_on": st.sampled_from([date(2026, 1, 1), date(2026, 1, 2), None]),
    "sales_stage": st.sampled_from(["qualifying", "developing", "won"]),
    "registration_state": st.sampled_from(["approved", "closed_won"]),
    "owner": st.sampled_from(["rep", None]),
}
_STAGES = {"qualifying": ("Q1", "Q0"), "developing": ("D",), "won": ("Won",)}
_THEIRS = {
    "deal_name": "Name", "amount": "Amount", "currency": "Currency", "expected_close_on": "Close",
    "registration_state": "State", "owner": "Owner",
}  # fmt: skip


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    """Two sides and their base, made by changing one and the same base here and there."""
    name = draw(st.sampled_from(["alpha", "beta"]))
    base = {field: draw(values) for field, values in _VALUES.items()}
    sides = []
    for _ in range(2):
        changed = draw(st.sets(st.sampled_from(sorted(_VALUES)), max_size=3))
        sides.append({f: draw(_VALUES[f]) if f in changed else v for f, v in base.items()})
    store, remote = sides
    stage = draw(st.sampled_from(_STAGES[str(remote["sales_stage"])]))
    theirs = {_THEIRS[f]: v for f, v in remote.items() if f in _THEIRS}
    wins = draw(st.sampled_from(["home", "store", "manual"]))
    groups = (FieldGroup.NAME, FieldGroup.AMOUNT, FieldGroup.CLOSE, FieldGroup.STAGE)
    return Situation(
        mapping=mapping_of(name).objects["home"],
        program=world.program(dict.fromkeys(groups, wins)),
        connection=ConnectionName(name),
        role=Role.HOME if name == "alpha" else Role.MIRROR,
        phase=draw(st.sampled_from(list(Phase))),
        store=store,
        base=draw(st.sampled_from([base, None])),
        remote={**theirs, "Stage": stage},
    )


def _carried_out(situation: Situation, planned: Plan) -> Situation:
    """Return the situation after both sides did what the plan says."""
    takes = {n: v for fields in planned.takes.values() for n, v in fields.items()}
    phase = Phase.CONVERTED if planned.converts else situation.phase
    return Situation(
        mapping=situation.mapping,
        program=situation.program,
        connection=situation.connection,
        role=situation.role,
        phase=phase,
        store={**situation.store, **takes},
        base=planned.base,
        remote={**(situation.remote or {}), **planned.write},
    )


@settings(max_examples=CASES, deadline=None)
@given(situations())
def test_a_plan_that_was_carried_out_leaves_nothing_to_do_but_open_conflicts(
    situation: Situation,
) -> None:
    after = _carried_out(situation, plan(situation))
    again = plan(after)
    assert not again.write
    assert not again.takes
    assert all(conflict.settled is None for conflict in again.conflicts.values())


@settings(max_examples=CASES, deadline=None)
@given(situations())
def test_every_value_that_a_side_changed_stands_or_is_named_in_a_conflict(
    situation: Situation,
) -> None:
    planned = plan(situation)
    after = _carried_out(situation, planned)
    standing = [_ours(after), _theirs(after)]
    named: list[Fields] = [c.store for c in planned.conflicts.values()]
    named += [c.remote for c in planned.conflicts.values()]
    base = canonical(situation.mapping, situation.base or {}).fields
    for side in (_ours(situation), _theirs(situation)):
        for name, value in side.items():
            if value is None or (situation.base is not None and same(base.get(name), value)):
                continue
            if situation.base is None and FIELDS[name].group not in planned.conflicts:
                continue  # never agreed on, and an empty side gave way
            held = [holder[name] for holder in (*standing, *named) if name in holder]
            assert any(same(value, each) for each in held), (name, value)


def _ours(situation: Situation) -> Fields:
    return canonical(situation.mapping, situation.store).fields


def _theirs(situation: Situation) -> Fields:
    return to_store(situation.mapping, situation.remote or {}).fields
