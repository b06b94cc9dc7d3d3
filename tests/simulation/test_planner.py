"""The planner alone: whatever two sides hold, carrying its plan out ends, and nobody's value is gone."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from registration_core.program import Phase
from sync.plans.planning import Situation
from tests.simulation import planner

#: Cases of each test run, with shrinking; `python -m tests.simulation planner` draws more, faster.
CASES = 400


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    """Two sides and their base, made by changing one and the same base here and there."""
    values = {name: st.sampled_from(known) for name, known in planner.VALUES.items()}
    base = {name: draw(known) for name, known in values.items()}
    sides = []
    for _ in range(2):
        changed = draw(st.sets(st.sampled_from(sorted(values)), max_size=planner.CHANGED_MAX))
        sides.append({n: draw(values[n]) if n in changed else v for n, v in base.items()})
    store, remote = sides
    return planner.situation(
        draw(st.sampled_from(["alpha", "beta"])),
        draw(st.sampled_from([base, None])),
        store,
        remote,
        draw(st.sampled_from(planner.STAGES[str(remote["sales_stage"])])),
        draw(st.sampled_from(planner.WINNERS)),
        draw(st.sampled_from(list(Phase))),
    )


@settings(max_examples=CASES, deadline=None)
@given(situations())
def test_a_plan_carried_out_leaves_open_conflicts_at_most_and_loses_no_value(
    situation: Situation,
) -> None:
    assert list(planner.violations(situation)) == []
