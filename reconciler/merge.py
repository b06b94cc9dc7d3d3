"""Three-way merge of one field group: what each side gets, and what is kept for a person.

Three values of one group are compared in canonical form: `base` (what both sides last agreed
on), `store` (ours now) and `remote` (the CRM's now). The group is one value: it is taken, pushed
or left as a whole, so that nobody ends up with one side's amount in the other side's currency.

Only names that both `store` and `remote` hold take part: a name that is missing was not fetched.
`None`, empty text and an empty tuple are all *empty*. A name that `base` lacks was never agreed
on: its base is the common value where both sides have the same one, and empty where they differ;
an empty side has therefore not changed it and gives way to the other.

*May take* below: the CRM may write the group and the mapping pulls every differing field.
*May push*: the mapping pushes at least one differing field. `!` marks a settled conflict that
keeps the losing value; CONFLICT is an open one and touches neither side.

| Changed since base | May take | May push | Wins   | Verdict                                    |
|--------------------|----------|----------|--------|--------------------------------------------|
| both are equal now | any      | any      | any    | IN_SYNC                                    |
| store only         | any      | yes      | any    | PUSH                                       |
| store only         | any      | no       | any    | LEAVE: this link has no way to say it      |
| CRM only           | yes      | any      | any    | TAKE; CONFLICT if that empties a field (¹) |
| CRM only           | no       | yes      | any    | RESTORE! (²)                               |
| CRM only           | no       | no       | any    | CONFLICT (²)                               |
| both               | yes      | any      | CRM    | TAKE!; CONFLICT if that empties a field (¹)|
| both               | yes      | yes      | store  | PUSH!                                      |
| both               | yes      | no       | store  | CONFLICT: the winner cannot be written     |
| both               | yes      | any      | person | CONFLICT                                   |
| both               | no       | yes      | any    | RESTORE!                                   |
| both               | no       | no       | any    | CONFLICT                                   |

(¹) Unless the rule says that an emptied value of that field is a clear.
(²) LEAVE where the store is empty in every field that the CRM holds otherwise and none of them
was ever agreed on: linking a record must not wipe what the store has no value for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

from registration_core.contracts import Fields, Value

_NOTHING: Fields = MappingProxyType({})


@dataclass(frozen=True)
class Rule:
    """What the program and the mapping allow for one group on one link.

    `pushes`, `pulls` and `clears` hold canonical names of the group's fields: those that the
    mapping lets flow store → CRM, CRM → store, and those whose emptied CRM value is a clear.
    """

    #: A change made in this CRM is taken.
    remote_may_write: bool
    #: Both changed: True the CRM wins, False the store, None a person decides.
    remote_wins: bool | None
    pushes: frozenset[str]
    pulls: frozenset[str]
    clears: frozenset[str] = frozenset()
    #: Those of which an emptied CRM value says nothing: the store's stays, and is pushed again.
    keeps: frozenset[str] = frozenset()
    #: Those that are pushed only while the CRM holds nothing there.
    fills: frozenset[str] = frozenset()


class Verdict(StrEnum):
    """What a merge decided about one group."""

    #: Both sides hold the same; nothing to write.
    IN_SYNC = "in_sync"
    #: The CRM's value goes into the store.
    TAKE = "take"
    #: The store's value goes to the CRM.
    PUSH = "push"
    #: The CRM changed what it may not change: the store's value goes back there.
    RESTORE = "restore"
    #: The sides differ and rightly so: nothing to write, nobody to ask.
    LEAVE = "leave"
    #: A person has to decide; neither side is touched.
    CONFLICT = "conflict"


@dataclass(frozen=True)
class SyncConflict:
    """Two sides wanted different values; both are kept here, whoever won.

    `settled` names the side that won by rule, or is None while a person has to decide. The three
    values hold the names that took part in the merge; `base` None means never agreed.
    """

    base: Fields | None
    store: Fields
    remote: Fields
    settled: Literal["store", "remote"] | None
    reason: str


@dataclass(frozen=True)
class GroupMerge:
    """The outcome of a merge, for the caller to carry out.

    `remote_changes` holds only fields that differ from the CRM's. `base` is what to keep once
    `store_changes` are applied and `remote_changes` are confirmed by the CRM; before that, the
    old base stands.
    """

    verdict: Verdict
    base: Fields
    store_changes: Fields = field(default_factory=lambda: _NOTHING)
    remote_changes: Fields = field(default_factory=lambda: _NOTHING)
    conflict: SyncConflict | None = None


def is_empty(value: Value) -> bool:
    """Tell whether a value is empty: `None`, empty text or no picklist value."""
    return value is None or value in ("", ())


def same(one: Value, other: Value) -> bool:
    """Tell whether two canonical values are equal; `True` is not the number 1."""
    if is_empty(one) or is_empty(other):
        return is_empty(one) and is_empty(other)
    return isinstance(one, bool) is isinstance(other, bool) and one == other


def merge_group(base: Fields | None, store: Fields, remote: Fields, rule: Rule) -> GroupMerge:
    """Merge one field group of one link by the table above.

    Pure and total: it never raises for canonical values, and merging again after the outcome was
    carried out finds nothing to do (unless a conflict is open, which is then found again).
    """
    return _Merge(base, store, remote, rule).decide()


class _Merge:
    """One merge, with the sets of names that the table speaks of."""

    def __init__(self, base: Fields | None, store: Fields, remote: Fields, rule: Rule) -> None:
        names = sorted(store.keys() & remote.keys())
        self.old_base = base
        self.base = dict(base or {})
        self.store = {n: None if is_empty(store[n]) else store[n] for n in names}
        self.remote = {n: None if is_empty(remote[n]) else remote[n] for n in names}
        # What was emptied there and means nothing is as if it had never been agreed on.
        self.base |= {n: None for n in rule.keeps if n in names and self.remote[n] is None}
        filled = {n for n in rule.fills if self.remote.get(n) is not None}
        self.rule = replace(rule, pushes=rule.pushes - filled) if filled else rule
        self.differing = [n for n in names if not same(store[n], remote[n])]
        self.by_store = self._changed(self.store) if self.differing else []
        self.by_remote = self._changed(self.remote) if self.differing else []
        self.may_take = self.rule.remote_may_write and rule.pulls.issuperset(self.differing)
        self.may_push = not self.rule.pushes.isdisjoint(self.differing)

    def _changed(self, side: Mapping[str, Value]) -> list[str]:
        """Names whose value is not the base's; equal values that were never agreed on are."""
        return [
            n
            for n in side
            if not same(side[n], self.base.get(n)) and (n in self.base or n in self.differing)
        ]

    def decide(self) -> GroupMerge:
        if not self.differing:
            return GroupMerge(Verdict.IN_SYNC, self._agreed())
        if not self.by_remote:
            return self._store_only()
        if not self.by_store:
            return self._remote_only()
        return self._both()

    def _store_only(self) -> GroupMerge:
        if self.may_push:
            return self._push(Verdict.PUSH, None)
        return GroupMerge(Verdict.LEAVE, self._agreed())

    def _remote_only(self) -> GroupMerge:
        if self.may_take:
            return self._take(None)
        if not any(n in self.base for n in self.by_remote):
            return GroupMerge(Verdict.LEAVE, self._agreed())
        if self.may_push:
            return self._push(Verdict.RESTORE, "The CRM changed what it may not change.")
        return self._open("The CRM changed what it may not change, and nothing is pushed there.")

    def _both(self) -> GroupMerge:
        if not self.may_take:
            if self.may_push:
                return self._push(Verdict.RESTORE, "The CRM changed what it may not change.")
            return self._open(
                "The CRM changed what it may not change, and nothing is pushed there."
            )
        if self.rule.remote_wins is None:
            return self._open("Both sides changed it, and the program lets a person decide.")
        if self.rule.remote_wins:
            return self._take("Both sides changed it; the CRM wins by the program.")
        if self.may_push:
            return self._push(Verdict.PUSH, "Both sides changed it; the store wins by the program.")
        return self._open("Both sides changed it; the store wins, but nothing is pushed there.")

    def _take(self, reason: str | None) -> GroupMerge:
        emptied = [
            n for n in self.differing if is_empty(self.remote[n]) and n not in self.rule.clears
        ]
        if emptied:
            return self._open(f"Taking the CRM's value would empty {', '.join(emptied)}.")
        return GroupMerge(
            Verdict.TAKE,
            base=self.base | self.remote,
            store_changes={n: self.remote[n] for n in self.differing},
            conflict=self._conflict("remote", reason) if reason else None,
        )

    def _push(self, verdict: Verdict, reason: str | None) -> GroupMerge:
        changes = {n: self.store[n] for n in self.differing if n in self.rule.pushes}
        # What cannot be pushed counts as seen: else the same CRM value would be declined again
        # and again.
        seen = {n: self.remote[n] for n in self.by_remote if n not in changes}
        return GroupMerge(
            verdict,
            base=self._agreed() | seen | changes,
            remote_changes=changes,
            conflict=self._conflict("store", reason) if reason else None,
        )

    def _open(self, reason: str) -> GroupMerge:
        return GroupMerge(Verdict.CONFLICT, self.base, conflict=self._conflict(None, reason))

    def _agreed(self) -> dict[str, Value]:
        """The base with the values that both sides hold now."""
        return self.base | {n: v for n, v in self.store.items() if n not in self.differing}

    def _conflict(self, settled: Literal["store", "remote"] | None, reason: str) -> SyncConflict:
        base = (
            None
            if self.old_base is None
            else {n: v for n, v in self.old_base.items() if n in self.store}
        )
        return SyncConflict(base, self.store, self.remote, settled, reason)
