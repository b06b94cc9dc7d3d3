"""One pure `plan()` for push, pull, preview, resolve and explain; everything else carries it out.

In: what the store holds, what the CRM holds, what both last agreed on, and the rules. Out: a
value that says for every field group what happens to it and why. No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from mapping.schema import Emptied, FirstLink, ObjectMapping, Row, Write
from mapping.translate import ValueProblem, canonical, computed, to_crm, to_store
from reconciler.merge import (
    GroupMerge,
    Rule,
    SyncConflict,
    Verdict,
    is_empty,
    merge_group,
    same,
)
from registration_core.contracts import ConnectionName, Fields, Value
from registration_core.fields import FieldGroup, SalesStage
from registration_core.program import Authority, Phase, Program, Role

#: How often the same values are written in a row before the breaker stops it.
REPEATS_MAX = 2
#: The same where a person is known to undo them.
REPEATS_AGAINST_A_PERSON = 5


@dataclass(frozen=True)
class Situation:
    """Everything a plan is made from."""

    mapping: ObjectMapping
    program: Program
    connection: ConnectionName
    role: Role
    phase: Phase
    #: Our fields as this connection should hold them.
    store: Fields
    #: What both sides last agreed on, in our terms; None before anything was linked.
    base: Fields | None
    #: The CRM's record in its own names; None where there is none to merge with.
    remote: Fields | None
    #: Values to write back once, because a resolution or a run was undone, and what that had
    #: written there.
    restore: Fields = field(default_factory=dict)
    undone: Fields = field(default_factory=dict)
    #: By group: the values last written and how often in a row they were.
    repeats: Mapping[FieldGroup, tuple[Fields, int]] = field(default_factory=dict)
    #: How many writes of ours took effect late and may have put an older value over the last one.
    late_writes: int = 0
    #: Changes that a person has declined, in our terms: neither pushed nor taken again.
    declined: tuple[Fields, ...] = ()
    #: False when a person is known to have written the record last.
    remote_by_us: bool | None = None
    #: Fields whose row means something else since they were agreed on: agreed no more.
    rebased: frozenset[str] = frozenset()


@dataclass(frozen=True)
class GroupPlan:
    """What happens to one field group."""

    group: FieldGroup
    merge: GroupMerge
    #: It writes back what was there before a resolution or a run that was undone.
    undoes: bool = False


@dataclass(frozen=True)
class Plan:
    """What a drain would do to the store and to one CRM record."""

    groups: tuple[GroupPlan, ...]
    #: Fields to write, in the CRM's own names; minimal.
    write: Fields
    #: What the CRM holds in those fields now.
    before: Fields
    #: Base once everything in `write` is confirmed and every take is applied.
    base: Fields
    #: Digest of the mapping it was made by, and the fields that are agreed no more because of it.
    version: str
    rebased: frozenset[str]
    #: A user of the home CRM has moved the stage on: the deal is theirs from now.
    converts: bool
    problems: tuple[ValueProblem, ...]

    @property
    def takes(self) -> dict[FieldGroup, Fields]:
        """Changes to apply to the store, by group."""
        return {g.group: g.merge.store_changes for g in self.groups if g.merge.store_changes}

    @property
    def pushes(self) -> Fields:
        """What would change in the CRM, in our terms."""
        changes = [g.merge.remote_changes for g in self.groups]
        return {n: v for each in changes for n, v in each.items()} or (
            self.base if self.write else {}
        )

    @property
    def conflicts(self) -> dict[FieldGroup, SyncConflict]:
        """Conflicts to keep, open and settled, by group."""
        return {g.group: g.merge.conflict for g in self.groups if g.merge.conflict}

    @property
    def only_writes(self) -> bool:
        """Whether all it does is to write to the CRM, or nothing."""
        return not (self.takes or self.conflicts or self.problems)

    @property
    def is_empty(self) -> bool:
        """Nothing to write, nothing to take, nothing to tell: both sides agree."""
        return self.only_writes and not self.write


def plan(situation: Situation) -> Plan:
    """Decide what one link needs; create where there is no remote record."""
    if situation.remote is None:
        return _create(situation)
    whole = computed(situation.mapping, situation.store)
    ours = canonical(situation.mapping, whole.fields)
    theirs = to_store(situation.mapping, situation.remote)
    agreed = _still_agreed(situation)
    base = None if agreed is None else canonical(situation.mapping, agreed).fields
    problems = (*whole.problems, *ours.problems, *theirs.problems)
    unreadable = {problem.group for problem in problems}
    converts = _converts(situation, base, ours.fields, theirs.fields)
    phase = Phase.CONVERTED if converts else situation.phase
    undo = _still_to_undo(situation, theirs.fields)
    groups = tuple(
        _group(situation, group, phase, base, ours.fields, theirs.fields, undo)
        for group in map(FieldGroup, situation.mapping.groups)
        if group.value not in unreadable and _was_read(situation.mapping, group, theirs.fields)
    )
    wanted = {n: v for g in groups for n, v in g.merge.remote_changes.items()}
    written = to_crm(situation.mapping, wanted, creating=False)
    merged = {n: v for g in groups for n, v in g.merge.base.items()}
    return Plan(
        groups=groups,
        write=written.fields,
        before={name: situation.remote.get(name) for name in written.fields},
        base={**(agreed or {}), **merged},
        version=situation.mapping.version,
        rebased=situation.rebased,
        converts=converts,
        problems=(*problems, *written.problems),
    )


def _was_read(mapping: ObjectMapping, group: FieldGroup, theirs: Fields) -> bool:
    """Whether any field of a group was fetched; of one that was not, nothing can be said."""
    return any(row.ours.name in theirs for row in mapping.groups[group.value].rows)


def _still_agreed(situation: Situation) -> Fields | None:
    """The base without the fields whose rows mean something else by now."""
    if situation.base is None or not situation.rebased:
        return situation.base
    return {n: v for n, v in situation.base.items() if n not in situation.rebased}


def _create(situation: Situation) -> Plan:
    whole = computed(situation.mapping, situation.store)
    written = to_crm(situation.mapping, whole.fields, creating=True)
    base = to_store(situation.mapping, written.fields).fields
    return Plan(
        groups=(),
        write={} if is_declined(situation.declined, base) else written.fields,
        before={},
        base=base,
        version=situation.mapping.version,
        rebased=frozenset(),
        converts=False,
        problems=(*whole.problems, *written.problems),
    )


def _still_to_undo(situation: Situation, remote: Fields) -> Fields:
    """What to write back, without the groups that somebody has changed in the CRM since."""
    if not situation.restore:
        return situation.restore
    undone = canonical(situation.mapping, situation.undone).fields
    back: dict[str, Value] = {}
    for group in situation.mapping.groups.values():
        names = tuple(row.ours.name for row in group.rows)
        mine = _only(situation.restore, names)
        there = {n: (remote[n], undone[n]) for n in names if n in remote and n in undone}
        if all(
            same(now, wrote) or (n in mine and same(now, mine[n]))
            for n, (now, wrote) in there.items()
        ):
            back |= mine
    return back


def _group(
    situation: Situation,
    group: FieldGroup,
    phase: Phase,
    base: Fields | None,
    store: Fields,
    remote: Fields,
    undo: Fields,
) -> GroupPlan:
    rows = situation.mapping.groups[group.value].rows
    names = tuple(row.ours.name for row in rows if not _filled(row, remote))
    mine, theirs = _only(store, names), _only(remote, names)
    agreed, back = _only(base or {}, names), _only(undo, names)
    if back:
        # The undone resolution had written these; put them back, and let the next plan find
        # the conflict again on the base from before.
        changes = {n: v for n, v in back.items() if n in theirs and not same(theirs[n], v)}
        merged = GroupMerge(Verdict.RESTORE, base=agreed, remote_changes=changes)
        return GroupPlan(group, merged, undoes=True)
    if agreed and mine == theirs == agreed:
        # Most groups; the rules have nothing to say.
        return GroupPlan(group, GroupMerge(Verdict.IN_SYNC, agreed))
    return GroupPlan(group, _merge(situation, group, phase, names, agreed, mine, theirs))


def _merge(
    situation: Situation,
    group: FieldGroup,
    phase: Phase,
    names: tuple[str, ...],
    agreed: Fields,
    mine: Fields,
    theirs: Fields,
) -> GroupMerge:
    rule = rule_for(situation, group, phase)
    first = _at_first_link(situation, group, names, rule)
    # A group without a base was never agreed on, whatever was agreed of the others.
    merged = merge_group(agreed or None, mine, theirs, first)
    if first is not rule:
        merged = _told_of_first_link(merged)
    if is_declined(situation.declined, merged.remote_changes or merged.store_changes):
        return GroupMerge(Verdict.LEAVE, base=agreed)
    return _broken(situation, group, merged, mine, theirs)


def is_declined(declined: Iterable[Fields], changes: Fields) -> bool:
    """Whether a person has discarded exactly this change, alone or among others."""
    return bool(changes) and any(
        all(name in no and same(no[name], value) for name, value in changes.items())
        for no in declined
    )


def _filled(row: Row, remote: Fields) -> bool:
    """Whether a row that only fills what is empty has nothing to do any more."""
    filling = row.write is Write.IF_EMPTY and not row.pulls
    return filling and not is_empty(remote.get(row.ours.name))


def _at_first_link(
    situation: Situation, group: FieldGroup, names: tuple[str, ...], rule: Rule
) -> Rule:
    """Who wins where nothing was ever agreed on, because the record was there before the link.

    That counts until the group is agreed on: a question, or a value that cannot be taken because
    it would empty ours, stays with a person and is not settled by the next plan.
    """
    if not (situation.base or {}).keys().isdisjoint(names):
        return rule
    match situation.mapping.first_link[group.value]:
        case FirstLink.TAKE_HOME:
            return replace(rule, remote_wins=True)
        case FirstLink.ASK:
            return replace(rule, remote_wins=None)
        case _:
            return rule


def _told_of_first_link(merged: GroupMerge) -> GroupMerge:
    """Say that nobody changed anything: the record was there before the link."""
    if merged.conflict is None or merged.verdict not in (Verdict.TAKE, Verdict.CONFLICT):
        return merged
    reason = "The record was there before it was linked; the mapping lets a person decide."
    if merged.conflict.settled:
        reason = "The record was there before it was linked; its value stands by the mapping."
    return replace(merged, conflict=replace(merged.conflict, reason=reason))


def _broken(
    situation: Situation, group: FieldGroup, merged: GroupMerge, store: Fields, remote: Fields
) -> GroupMerge:
    """Stop writing values that do not stay: the breaker turns the group into an open conflict."""
    last, times = situation.repeats.get(group, ({}, 0))
    if times < _repeats_allowed(situation) or not merged.remote_changes:
        return merged
    if not all(n in last and same(last[n], v) for n, v in merged.remote_changes.items()):
        return merged
    reason = f"{situation.connection} undid this value {times} times; we stopped writing it."
    conflict = SyncConflict(_only(situation.base or {}, tuple(store)), store, remote, None, reason)
    return GroupMerge(
        Verdict.CONFLICT, _only(situation.base or {}, tuple(store)), conflict=conflict
    )


def _repeats_allowed(situation: Situation) -> int:
    """How often in a row a value is written before the breaker stops.

    Something in the CRM (an automation, a rule that reformats) undoes what we write. People may
    undo it too, and are answered more often before we give up. A late write of our own undoes it
    once, and says nothing of who did before.
    """
    late = situation.late_writes
    if situation.remote_by_us is False or late:
        return REPEATS_AGAINST_A_PERSON + late
    return REPEATS_MAX


def rule_for(situation: Situation, group: FieldGroup, phase: Phase) -> Rule:
    """Turn the program's authority and the mapping's directions into the merge's rule."""
    authority: Authority = situation.program.authority[group][phase]
    mapped = situation.mapping.groups[group.value]
    return Rule(
        remote_may_write=authority.may_write(situation.connection, situation.role),
        remote_wins=authority.wins_against_store(situation.connection, situation.role),
        pushes=mapped.pushes,
        pulls=mapped.pulls,
        clears=mapped.emptied(Emptied.CLEAR),
        keeps=mapped.emptied(Emptied.KEEP),
        fills=frozenset(row.ours.name for row in mapped.rows if row.write is Write.IF_EMPTY),
    )


def _converts(situation: Situation, base: Fields | None, store: Fields, remote: Fields) -> bool:
    """Whether the home CRM's user moved the stage, which takes the deal over."""
    if situation.role is not Role.HOME or situation.phase is Phase.CONVERTED or base is None:
        return False
    theirs = remote.get("sales_stage")
    if theirs is None or "sales_stage" not in base or same(theirs, base["sales_stage"]):
        return False
    return not same(theirs, store.get("sales_stage", SalesStage.QUALIFYING.value))


def _only(fields: Fields, names: tuple[str, ...]) -> Mapping[str, Value]:
    return {name: fields[name] for name in names if name in fields}
