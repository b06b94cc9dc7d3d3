"""Tell many stories and sum them up; hunt mutants with them."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from random import Random
from typing import Any

from tests.simulation import planner
from tests.simulation.cases import draw
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.running import Theatre

HERE = Path(__file__).parent
KILLERS = HERE / "killers.json"
#: Of every so many stories, one is told twice, to prove that it comes out the same.
TWICE_EVERY = 100


@dataclass
class Told:
    """What came of several stories."""

    steps: int = 0
    edits: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    probes: Counter[str] = field(default_factory=Counter)
    #: Seeds with what they violated.
    violations: list[tuple[int, list[str]]] = field(default_factory=list)


def tell(url: str, seeds: range) -> Told:
    """Tell a range of seeds in this process."""
    told = Told()
    theatre = Theatre(url)
    try:
        for seed in seeds:
            result = theatre.run(draw(seed))
            told.faults.update(result.faults)
            told.probes.update(result.probes)
            told.steps, told.edits = told.steps + result.steps, told.edits + result.edits
            broken = result.violations
            if (
                seed % TWICE_EVERY == 0
                and theatre.run(draw(seed)).fingerprint != result.fingerprint
            ):
                broken = ["determinism: the same seed told another story", *broken]
            if broken:
                told.violations.append((seed, broken))
    finally:
        theatre.close()
    return told


def try_planner(seeds: range) -> list[tuple[int, str]]:
    """Try the planner with the case of each seed; returns what was broken, by seed."""
    return [(n, what) for n in seeds for what in planner.violations(planner.drawn(Random(n)))]


def worthwhile(mutant: Mutant, first: int, stories: int) -> list[int]:
    """Return seeds from `first` on whose stories can show what the mutant breaks."""
    suited = (seed for seed in count(first) if mutant.needs(draw(seed, mutant.profile)))
    return list(islice(suited, stories))


def killer(theatre: Theatre, mutant: Mutant, seeds: Iterable[int]) -> tuple[int, str] | None:
    """Find a story that catches a mutant: the seed, and what was violated."""
    for seed in seeds:
        broken = caught(theatre, mutant, seed)
        if broken:
            return seed, broken[0]
    return None


def caught(theatre: Theatre, mutant: Mutant, seed: int) -> list[str]:
    """Return what a story violates only because of the mutant."""
    case = draw(seed, mutant.profile)
    with mutant.applied():
        broken = theatre.run(case).violations
    return broken if broken and not theatre.run(case).violations else []


def hunt(
    url: str,
    first: int,
    fresh: int,
    mutants: Iterable[Mutant] = MUTANTS,
    known: Mapping[str, Mapping[str, Any]] = {},
) -> dict[str, dict[str, object]]:
    """Look for killers, the known ones first, then fresh seeds; returns them by mutant."""
    theatre = Theatre(url)
    found: dict[str, dict[str, object]] = {}
    try:
        for mutant in mutants:
            before = [known[mutant.name]["seed"]] if mutant.name in known else []
            killed = killer(theatre, mutant, [*before, *worthwhile(mutant, first, fresh)])
            say = f"seed {killed[0]}: {killed[1]}" if killed else f"survived {fresh} seeds"
            sys.stderr.write(f"mutant {mutant.name}: {say}\n")
            if killed:
                found[mutant.name] = {"seed": killed[0], "breaks": killed[1]}
    finally:
        theatre.close()
    return found


def stored_killers(url: str) -> set[str]:
    """Return the mutants that their stored killers catch."""
    theatre = Theatre(url)
    known = json.loads(KILLERS.read_text())
    try:
        return {
            m.name for m in MUTANTS
            if m.name in known and caught(theatre, m, known[m.name]["seed"])
        }  # fmt: skip
    finally:
        theatre.close()
