"""Make a failing story small: drop faults, then acts, then workers, while it fails in the same way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tests.simulation.cases import Case

#: Most stories told to shrink one.
TRIES_MAX = 300


def kinds(violations: list[str]) -> set[str]:
    """Return the invariants that were broken."""
    return {violation.partition(" ")[0] for violation in violations}


def shrink(case: Case, run: Callable[[Case], list[str]]) -> Case:
    """Return the smallest story found that breaks an invariant that `case` breaks."""
    wanted = kinds(run(case))
    tries = 0

    def fails(smaller: Case) -> bool:
        nonlocal tries
        tries += 1
        return tries <= TRIES_MAX and bool(kinds(run(smaller)) & wanted)

    shrunk = True
    while shrunk and tries < TRIES_MAX:
        shrunk = False
        for smaller in _smaller(case):
            if fails(smaller):
                case, shrunk = smaller, True
                break
    return case


def _smaller(case: Case) -> list[Case]:
    """Every story with less in it, the largest cuts first."""
    found = []
    for name in ("faults", "acts"):
        parts = getattr(case, name)
        size = len(parts) // 2
        while size:
            found += [
                replace(case, **{name: parts[:start] + parts[start + size :]})
                for start in range(0, len(parts), size)
            ]
            size //= 2
        if len(parts) == 1:
            found.append(replace(case, **{name: ()}))
    if case.workers > 1:
        found.append(replace(case, workers=case.workers - 1))
    if any(case.skew.values()):
        found.append(replace(case, skew=dict.fromkeys(case.skew, 0.0)))
    return found
