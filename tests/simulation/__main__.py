"""Run stories: `python -m tests.simulation SEEDS=200 FROM=0`; the last line is JSON.

Also: `trace SEED` tells one story, `hunt` looks for a killer seed of every mutant and writes
`killers.json`, `MUTANTS=0` leaves the mutants out, `FRESH=n` hunts with n fresh seeds per mutant,
`planner CASES=n` tries the planner alone,
`STORE=postgres` tells the stories on a PostgreSQL server that is started for them.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from sync.process.garbage import collect_seldom
from tests import servers
from tests.simulation.cases import draw
from tests.simulation.mutants import MUTANTS
from tests.simulation.running import Theatre
from tests.simulation.shrink import shrink
from tests.simulation.telling import KILLERS, Told, hunt, stored_killers, tell, try_planner


def main(words: list[str]) -> int:
    """Do what was typed; 1 if anything was violated."""
    options = dict(word.split("=", 1) for word in words if "=" in word)
    if options.pop("STORE", "") == "postgres":
        with (
            servers.postgres_server(os.environ) as server,
            servers.postgres_database(server, "simulation") as address,
        ):
            return _main(words, options, address)
    return _main(words, options, "")


def _main(words: list[str], options: dict[str, str], url: str) -> int:
    first, seeds = int(options.get("FROM", "0")), int(options.get("SEEDS", "200"))
    if words[:1] == ["trace"]:
        return _trace(url, int(words[1]), small="small" in words)
    if words[:1] == ["planner"]:
        return _planner(first, int(options.get("CASES", "1000000")))
    if words[:1] == ["hunt"]:
        known = json.loads(KILLERS.read_text())
        chosen = [m for m in MUTANTS if options.get("ONLY", m.name) == m.name]
        known |= hunt(url, first, seeds, chosen, known)
        names = {mutant.name for mutant in MUTANTS}
        kept = {name: found for name, found in known.items() if name in names}
        KILLERS.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
        return 0
    began = time.perf_counter()
    if url:
        told: list[Told] = [tell(url, range(first, first + seeds))]
    else:
        with ProcessPoolExecutor(2, get_context("spawn"), collect_seldom) as pool:
            halves = [range(first + part, first + seeds, 2) for part in range(2)]
            told = list(pool.map(tell, ["", ""], halves))
    seconds = time.perf_counter() - began
    violations = sorted(v for each in told for v in each.violations)
    for seed, broken in violations:
        for line in broken:
            sys.stderr.write(f"seed {seed}: {line}\n")
        sys.stderr.write(f"seed {seed}: type make simulate-trace SEED={seed}\n")
    summary: dict[str, object] = {
        "seeds": seeds,
        "from": first,
        "store": "postgres" if url else "sqlite",
        "steps": sum(each.steps for each in told),
        "edits": sum(each.edits for each in told),
        "faults": _sum([each.faults for each in told]),
        "probes": _sum([each.probes for each in told]),
    }
    summary["violations"] = len(violations)
    summary["seeds_per_second"] = round(seeds / seconds, 2)
    survived: list[str] = []
    if options.get("MUTANTS") != "0":
        fresh = int(options.get("FRESH", "0"))
        killed = set(hunt(url, first, fresh)) if fresh else stored_killers(url)
        survived = sorted({mutant.name for mutant in MUTANTS} - killed)
        summary |= {
            "mutants_killed": len(killed),
            "mutants_total": len(MUTANTS),
            "mutants_killed_by": "fresh seeds" if fresh else "stored seeds",
            "mutants_survived": survived,
        }
    sys.stdout.write(json.dumps(summary) + "\n")
    return 1 if violations or survived else 0


def _planner(first: int, cases: int) -> int:
    """Try the planner alone with cases drawn from seeds; the last line is JSON."""
    began = time.perf_counter()
    with ProcessPoolExecutor(2, get_context("spawn"), collect_seldom) as pool:
        halves = [range(first + part, first + cases, 2) for part in range(2)]
        broken = sorted(b for each in pool.map(try_planner, halves) for b in each)
    for seed, what in broken:
        sys.stderr.write(f"case {seed}: {what}\n")
    seconds = time.perf_counter() - began
    summary = {"cases": cases, "from": first, "violations": len(broken)}
    sys.stdout.write(json.dumps({**summary, "cases_per_second": round(cases / seconds)}) + "\n")
    return 1 if broken else 0


def _sum(counters: list[Counter[str]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for counter in counters:
        total.update(counter)
    return dict(sorted(total.items()))


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
