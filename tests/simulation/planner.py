"""The planner alone: any two sides and their base, and what carrying a plan out must leave behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from random import Random

from mapping.translate import canonical, to_store
from reconciler.merge import same
from registration_core.contracts import ConnectionName, Fields, Value
from registration_core.fields import FIELDS, FieldGroup
from registration_core.program import Phase, Role
from sync.plans.planning import Plan, Situation, plan
from tests import world
from tests.simulation.play import mapping_of

VALUES: Mapping[str, Sequence[Value]] = {
    "deal_name": ("a", "b", " c ", "a name that is far too long for one of them"),
    "amount": (Decimal(100), Decimal("100.50"), Decimal(101), None),
    "currency": ("EUR", "USD"),
    "expected_close_on": (date(2026, 1, 1), date(2026, 1, 2), None),
    "sales_stage": ("qualifying", "developing", "won"),
    "registration_state": ("approved", "closed_won"),
    "owner": ("rep", None),
}
STAGES = {"qualifying": ("Q1", "Q0"), "developing": ("D",), "won": ("Won",)}
WINNERS = ("home", "store", "manual")
#: Most fields of one side that differ from the base.
CHANGED_MAX = 3
_THEIRS = {
    "deal_name": "Name", "amount": "Amount", "currency": "Currency", "expected_close_on": "Close",
    "registration_state": "State", "owner": "Owner",
}  # fmt: skip
_PROGRAMS = {
    wins: world.program(
        dict.fromkeys(
            (FieldGroup.NAME, FieldGroup.AMOUNT, FieldGroup.CLOSE, FieldGroup.STAGE), wins
        )
    )
    for wins in WINNERS
}


def situation(
    name: str,
    base: Fields | None,
    store: Fields,
    remote: Fields,
    stage: str,
    wins: str,
    phase: Phase,
) -> Situation:
    """Put a situation together; `remote` is in our names, `stage` the CRM's option for its stage."""
    theirs = {_THEIRS[f]: v for f, v in remote.items() if f in _THEIRS}
    return Situation(
        mapping=mapping_of(name).objects["home"],
        program=_PROGRAMS[wins],
        connection=ConnectionName(name),
        role=Role.HOME if name == "alpha" else Role.MIRROR,
        phase=phase,
        store=store,
        base=base,
        remote={**theirs, "Stage": stage},
    )


def drawn(rng: Random) -> Situation:
    """Draw two sides by changing one and the same base here and there."""
    base = {name: rng.choice(values) for name, values in VALUES.items()}
    sides = []
    for _ in range(2):
        changed = rng.sample(sorted(VALUES), rng.randint(0, CHANGED_MAX))
        sides.append({**base, **{name: rng.choice(VALUES[name]) for name in changed}})
    store, remote = sides
    return situation(
        rng.choice(("alpha", "beta")),
        rng.choice((base, None)),
        store,
        remote,
        rng.choice(STAGES[str(remote["sales_stage"])]),
        rng.choice(WINNERS),
        rng.choice(list(Phase)),
    )


def violations(before: Situation) -> Iterator[str]:
    """Plan, carry the plan out, and say what of the planner's promises does not hold."""
    planned = plan(before)
    after = _carried_out(before, planned)
    again = plan(after)
    if again.write or again.takes:
        yield f"a second plan writes {again.write} and takes {again.takes}"
    if any(conflict.settled is not None for conflict in again.conflicts.values()):
        yield "a second plan settles a conflict again"
    yield from _lost(before, planned, after)


def _lost(before: Situation, planned: Plan, after: Situation) -> Iterator[str]:
    held: list[Fields] = [_ours(after), _theirs(after)]
    for conflict in planned.conflicts.values():
        held += [conflict.store, conflict.remote]
    base = canonical(before.mapping, before.base or {}).fields
    for side in (_ours(before), _theirs(before)):
        for name, value in side.items():
            if value is None or (before.base is not None and same(base.get(name), value)):
                continue
            if before.base is None and FIELDS[name].group not in planned.conflicts:
                continue  # never agreed on, and an empty side gave way
            if not any(same(value, holder[name]) for holder in held if name in holder):
                yield f"{name} {value!r} neither stands nor is named in a conflict"


def _carried_out(before: Situation, planned: Plan) -> Situation:
    """Return the situation after both sides did what the plan says."""
    takes = {n: v for fields in planned.takes.values() for n, v in fields.items()}
    return replace(
        before,
        phase=Phase.CONVERTED if planned.converts else before.phase,
        store={**before.store, **takes},
        base=planned.base,
        remote={**(before.remote or {}), **planned.write},
    )


def _ours(each: Situation) -> Fields:
    return canonical(each.mapping, each.store).fields


def _theirs(each: Situation) -> Fields:
    return to_store(each.mapping, each.remote or {}).fields
