"""Run stories: `python -m tests.simulation SEEDS=200 FROM=0`; the last line is JSON.

Also: `trace SEED` tells one story, `hunt` looks for a killer seed of every mutant and writes
`killers.json`, `MUTANTS=0` leaves the mutants out, `FRESH=n` hunts with n fresh seeds per mutant,
`URL=postgresql+psycopg://...` runs on that store (its schema is dropped between stories).
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from itertools import count, islice
from pathlib import Path

from tests.simulation.cases import draw
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.running import Theatre
from tests.simulation.shrink import shrink

HERE = Path(__file__).parent
KILLERS = HERE / "killers.json"
#: Of every so many stories, one is told twice, to prove that it comes out the same.
TWICE_EVERY = 100


def tell(url: str, seeds: range) -> dict[str, object]:
    """Run a range of seeds in this process; returns sums and what was violated."""
    theatre = Theatre(url)
    faults: Counter[str] = Counter()
    probes: Counter[str] = Counter()
    steps = edits = 0
    violations: list[tuple[int, list[str]]] = []
    try:
        for seed in seeds:
            result = theatre.run(draw(seed))
            faults.update(result.faults)
            probes.update(result.probes)
            steps, edits = steps + result.steps, edits + result.edits
            broken = result.violations
            if (
                seed % TWICE_EVERY == 0
                and theatre.run(draw(seed)).fingerprint != result.fingerprint
            ):
                broken = ["determinism: the same seed told another story", *broken]
            if broken:
                violations.append((seed, broken))
    finally:
        theatre.close()
    return {
        "steps": steps, "edits": edits, "faults": faults, "probes": probes, "violations": violations,
    }  # fmt: skip


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
    url: str, first: int, fresh: int, mutants: Iterable[Mutant] = MUTANTS
) -> dict[str, dict[str, object]]:
    """Look for killers among fresh seeds; returns them by the mutant's name."""
    theatre = Theatre(url)
    found: dict[str, dict[str, object]] = {}
    try:
        for mutant in mutants:
            killed = killer(theatre, mutant, worthwhile(mutant, first, fresh))
            say = f"seed {killed[0]}: {killed[1]}" if killed else f"survived {fresh} seeds"
            sys.stderr.write(f"mutant {mutant.name}: {say}\n")
            if killed:
                found[mutant.name] = {"seed": killed[0], "breaks": killed[1]}
    finally:
        theatre.close()
    return found


def stored_killers(url: str) -> int:
    """Return how many mutants their stored killers catch."""
    theatre = Theatre(url)
    known = json.loads(KILLERS.read_text())
    try:
        return sum(
            bool(m.name in known and caught(theatre, m, known[m.name]["seed"])) for m in MUTANTS
        )
    finally:
        theatre.close()


def main(words: list[str]) -> int:
    """Do what was typed; 1 if anything was violated."""
    options = dict(word.split("=", 1) for word in words if "=" in word)
    first, seeds = int(options.get("FROM", "0")), int(options.get("SEEDS", "200"))
    url = options.get("URL", "")
    if words[:1] == ["trace"]:
        return _trace(url, int(words[1]), small="small" in words)
    if words[:1] == ["hunt"]:
        known = json.loads(KILLERS.read_text())
        chosen = [m for m in MUTANTS if options.get("ONLY", m.name) == m.name]
        known |= hunt(url, first, seeds, chosen)
        names = {mutant.name for mutant in MUTANTS}
        kept = {name: found for name, found in known.items() if name in names}
        KILLERS.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
        return 0
    began = time.perf_counter()
    parts = 1 if url else 2
    with ProcessPoolExecutor(parts) as pool:
        told = list(
            pool.map(
                tell, [url] * parts, [range(first + p, first + seeds, parts) for p in range(parts)]
            )
        )
    seconds = time.perf_counter() - began
    violations = sorted(v for each in told for v in each["violations"])  # type: ignore[attr-defined]
    for seed, broken in violations:
        for line in broken:
            sys.stderr.write(f"seed {seed}: {line}\n")
        sys.stderr.write(f"seed {seed}: type make simulate-trace SEED={seed}\n")
    summary: dict[str, object] = {"seeds": seeds, "from": first, "store": url or "sqlite"}
    for name in ("steps", "edits"):
        summary[name] = sum(int(str(each[name])) for each in told)
    for name in ("faults", "probes"):
        total: Counter[str] = sum((each[name] for each in told), Counter())  # type: ignore[misc]
        summary[name] = dict(sorted(total.items()))
    summary["violations"] = len(violations)
    summary["seeds_per_second"] = round(seeds / seconds, 2)
    if options.get("MUTANTS") != "0":
        fresh = int(options.get("FRESH", "0"))
        killed = len(hunt(url, first, fresh)) if fresh else stored_killers(url)
        summary |= {"mutants_killed": killed, "mutants_total": len(MUTANTS)}
    sys.stdout.write(json.dumps(summary) + "\n")
    survived = summary.get("mutants_killed", len(MUTANTS)) != len(MUTANTS)
    return 1 if violations or survived else 0


def _trace(url: str, seed: int, *, small: bool) -> int:
    """Tell one story, whole or shrunk, one line per effect."""
    theatre = Theatre(url)
    case = draw(seed)
    try:
        if small:
            case = shrink(case, lambda each: theatre.run(each).violations)
            sys.stdout.write(case.dump() + "\n")
        result = theatre.run(case)
    finally:
        theatre.close()
    sys.stdout.write("\n".join([*result.trace, *result.violations]) + "\n")
    return 1 if result.violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
