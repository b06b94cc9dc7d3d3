"""Which of many may turn out to be one, because of what they share. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

Thing = TypeVar("Thing", bound=Hashable)


def tied(marks: Mapping[Thing, Iterable[Hashable]]) -> list[list[Thing]]:
    """Return things in groups of those that share a mark, directly or through others."""
    leader = {thing: thing for thing in marks}
    first: dict[Hashable, Thing] = {}

    def leader_of(thing: Thing) -> Thing:
        while leader[thing] != thing:
            leader[thing] = thing = leader[leader[thing]]
        return thing

    for thing, its in marks.items():
        for mark in its:
            leader[leader_of(thing)] = leader_of(first.setdefault(mark, thing))
    groups: dict[Thing, list[Thing]] = defaultdict(list)
    for thing in marks:
        groups[leader_of(thing)].append(thing)
    return list(groups.values())
