"""Laws that the merge keeps for any three values of a group and any rule."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from reconciler.merge import GroupMerge, Rule, SyncConflict, Verdict, is_empty, merge_group, same
from reconciler.resolution import base_after, resolve
from registration_core.contracts import Fields, Value

NAMES = ("a", "b", "c")
ALL = frozenset(NAMES)
QUIET = (Verdict.IN_SYNC, Verdict.LEAVE)

#: Few different values, so that equal ones are common, of every kind that must not mix.
values: st.SearchStrategy[Value] = st.sampled_from(
    [None, "", (), "x", "y", Decimal(1), Decimal("1.0"), Decimal(0), True, False, date(2026, 1, 1)]
)
groups: st.SearchStrategy[Fields] = st.dictionaries(st.sampled_from(NAMES), values)
bases = st.none() | groups
some_names = st.frozensets(st.sampled_from(NAMES))
rules = st.builds(
    Rule, st.booleans(), st.sampled_from([True, False, None]), some_names, some_names, some_names
)


def carried_out(outcome: GroupMerge, store: Fields, remote: Fields) -> tuple[Fields, Fields]:
    return {**store, **outcome.store_changes}, {**remote, **outcome.remote_changes}


@given(bases, groups, groups, rules)
def test_our_own_echo_merges_to_nothing(
    base: Fields | None, store: Fields, remote: Fields, rule: Rule
) -> None:
    outcome = merge_group(base, store, remote, rule)
    again = merge_group(outcome.base, *carried_out(outcome, store, remote), rule)
    if outcome.verdict is Verdict.CONFLICT:
        assert again.verdict is Verdict.CONFLICT
        assert again.conflict is not None
        assert outcome.conflict is not None
        assert again.conflict.reason == outcome.conflict.reason
        return
    assert again.verdict in QUIET
    assert not again.store_changes
    assert not again.remote_changes
    assert again.conflict is None
    assert again.base == outcome.base


@given(bases, groups, groups, rules)
def test_every_value_that_somebody_changed_is_kept_somewhere(
    base: Fields | None, store: Fields, remote: Fields, rule: Rule
) -> None:
    outcome = merge_group(base, store, remote, rule)
    after = carried_out(outcome, store, remote)
    kept = (outcome.conflict.store, outcome.conflict.remote) if outcome.conflict else ()
    for side in (store, remote):
        for name, value in side.items():
            if base is not None and name in base and same(value, base[name]):
                continue  # nobody changed it
            if is_empty(value) and name not in (base or {}):
                continue  # nobody ever wrote it
            assert any(same(value, holder[name]) for holder in (*after, *kept) if name in holder)


@given(bases, groups, groups, rules)
def test_a_name_that_either_side_lacks_is_never_written(
    base: Fields | None, store: Fields, remote: Fields, rule: Rule
) -> None:
    outcome = merge_group(base, store, remote, rule)
    common = store.keys() & remote.keys()
    assert outcome.store_changes.keys() <= common
    assert outcome.remote_changes.keys() <= common
    for name in (base or {}).keys() - common:
        assert outcome.base[name] == (base or {})[name]
    assert outcome.base.keys() <= (base or {}).keys() | common


@given(bases, groups, groups, rules)
def test_patches_are_minimal_and_flow_only_where_the_rule_lets_them(
    base: Fields | None, store: Fields, remote: Fields, rule: Rule
) -> None:
    outcome = merge_group(base, store, remote, rule)
    assert not any(same(v, remote[n]) for n, v in outcome.remote_changes.items())
    assert not any(same(v, store[n]) for n, v in outcome.store_changes.items())
    assert outcome.remote_changes.keys() <= rule.pushes
    assert outcome.store_changes.keys() <= rule.pulls
    assert rule.remote_may_write or not outcome.store_changes
    emptied = {n for n, v in outcome.store_changes.items() if is_empty(v)}
    assert emptied <= rule.clears


@given(bases, groups, groups, rules)
def test_a_base_moves_only_to_what_the_crm_then_holds(
    base: Fields | None, store: Fields, remote: Fields, rule: Rule
) -> None:
    outcome = merge_group(base, store, remote, rule)
    _, crm = carried_out(outcome, store, remote)
    for name, value in outcome.base.items():
        assert (name in crm and same(value, crm[name])) or same(value, (base or {}).get(name))


@given(bases, groups, groups, rules)
def test_an_outcome_does_not_depend_on_the_order_of_the_fields(
    base: Fields | None, store: Fields, remote: Fields, rule: Rule
) -> None:
    def turned(fields: Fields) -> Fields:
        return dict(reversed(list(fields.items())))

    other = merge_group(None if base is None else turned(base), turned(store), turned(remote), rule)
    assert other == merge_group(base, store, remote, rule)


@given(bases, groups, groups, st.sampled_from([True, False, None]))
def test_where_both_sides_may_do_everything_the_merge_is_symmetric(
    base: Fields | None, store: Fields, remote: Fields, wins: bool | None
) -> None:
    outcome = merge_group(base, store, remote, Rule(True, wins, ALL, ALL, ALL))
    opposite = None if wins is None else not wins
    swapped = merge_group(base, remote, store, Rule(True, opposite, ALL, ALL, ALL))
    mirror = {Verdict.TAKE: Verdict.PUSH, Verdict.PUSH: Verdict.TAKE}
    assert swapped.verdict is mirror.get(outcome.verdict, outcome.verdict)
    assert swapped.store_changes == outcome.remote_changes
    assert swapped.remote_changes == outcome.store_changes


@given(bases, st.dictionaries(st.sampled_from(NAMES), st.tuples(values, values)), rules, st.data())
def test_a_resolution_of_an_open_conflict_brings_both_sides_together(
    base: Fields | None, pairs: dict[str, tuple[Value, Value]], rule: Rule, data: st.DataObject
) -> None:
    store = {n: ours for n, (ours, _) in pairs.items()}
    remote = {n: theirs for n, (_, theirs) in pairs.items()}
    own = {n: data.draw(st.sampled_from(pair), n) for n, pair in pairs.items()}
    choices: list[Literal["ours", "theirs"] | Fields] = ["ours", "theirs"]
    conflict = SyncConflict(base, store, remote, None, "Both sides changed it.")
    wanted = resolve(conflict, data.draw(st.sampled_from([*choices, own] if own else choices)))
    both_ways = Rule(rule.remote_may_write, rule.remote_wins, ALL, rule.pulls, rule.clears)
    outcome = merge_group(base_after(conflict, base), wanted, remote, both_ways)
    assert outcome.verdict in (Verdict.IN_SYNC, Verdict.PUSH)
    after = carried_out(outcome, wanted, remote)
    assert all(same(side[n], v) for n, v in wanted.items() for side in after)
