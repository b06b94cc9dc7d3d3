"""Make a failing story small: drop faults, then acts, then workers, while it fails in the same way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

from tests.simulation.cases import Case

T = TypeVar("T")

#: Most stories told to shrink one.
TRIES_MAX = 300


def kinds(violations: list[str]) -> set[str]:
    """Return the invariants that were broken."""
    return {violation.partition(" ")[0] for violation in violations}


def shrink(case: Case, run: Callable[[Case], list[str]]) -> Case:
    """Return the smallest story found that breaks an invariant that `case` breaks.

    A story that breaks none is returned as it is.
    """
    wanted = kinds(run(case))
    tries = 0

    def fails(smaller: Case) -> bool:
        nonlocal tries
        tries += 1
        return tries <= TRIES_MAX and bool(kinds(run(smaller)) & wanted)

    shrunk = bool(wanted)
    while shrunk and tries < TRIES_MAX:
        shrunk = False
        for smaller in _smaller(case):
            if fails(smaller):
                case, shrunk = smaller, True
                break
    return case


def _smaller(case: Case) -> list[Case]:
    """Every story with less in it, the largest cuts first."""
    found = [replace(case, faults=fewer) for fewer in _fewer(case.faults)]
    found += [replace(case, acts=fewer) for fewer in _fewer(case.acts)]
    if case.workers > 1:
        found.append(replace(case, workers=case.workers - 1))
    if any(case.skew.values()):
        found.append(replace(case, skew=dict.fromkeys(case.skew, 0.0)))
    return found


def _fewer(parts: tuple[T, ...]) -> Iterator[tuple[T, ...]]:
    """Yield the parts without a half, a quarter, … one of them."""
    size = (len(parts) + 1) // 2
    while size:
        for start in range(0, len(parts), size):
            yield parts[:start] + parts[start + size :]
        size //= 2
