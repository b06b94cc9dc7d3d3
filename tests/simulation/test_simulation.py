"""Stories that must end well, stories that once did not, and protections whose loss must show."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest

from sync.process.garbage import collect_seldom
from tests.simulation.cases import Case, draw
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.running import Theatre
from tests.simulation.shrink import shrink
from tests.simulation.telling import KILLERS, Told, caught, killer, tell, worthwhile

#: Seeds that every test run tells, in shares, so that none takes too long.
SEEDS, SHARE = 200, 25
#: Longest that one test may wait for shares that are told beside it, on a busy machine.
TELLING_SECONDS = 600
#: What must have happened in some of these stories, or they prove less than they seem to.
RACES = {
    "a slow start after a CRM asked for quiet",
    "an automation undid a write",
    "batch refused whole",
    "commit visible later than stamped",
    "create time-out after success",
    "delta token expired",
    "key not unique any more",
    "lost update in check-then-write",
    "mapped field or option gone",
    "partial batch",
    "precondition refused a stale write",
    "update time-out after success",
}
REGRESSIONS = sorted((Path(__file__).parent / "regressions").glob("*.json"))


@pytest.fixture(scope="module")
def theatre() -> Iterator[Theatre]:
    """A store that is made fresh for each story."""
    opened = Theatre()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def telling() -> Iterator[dict[int, Future[Told]]]:
    """The stories of all seeds, told in two processes, by the first seed of each share."""
    with ProcessPoolExecutor(2, get_context("spawn"), collect_seldom) as processes:
        yield {
            first: processes.submit(tell, "", range(first, first + SHARE))
            for first in range(0, SEEDS, SHARE)
        }


@pytest.mark.timeout(TELLING_SECONDS)
@pytest.mark.parametrize("first", range(0, SEEDS, SHARE))
def test_no_story_loses_doubles_or_loops_anything(
    telling: dict[int, Future[Told]], first: int
) -> None:
    told = telling[first].result()
    assert told.violations == []
    assert told.edits > SHARE


@pytest.mark.timeout(TELLING_SECONDS)
def test_every_race_occurs_in_the_stories(telling: dict[int, Future[Told]]) -> None:
    races = {race for told in telling.values() for race in told.result().probes}
    assert races >= RACES


def test_the_same_seed_tells_the_same_story(theatre: Theatre) -> None:
    first, other, again = (theatre.run(draw(seed)) for seed in (4, 5, 4))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert first.trace == again.trace


def test_a_story_survives_being_written_down() -> None:
    case = draw(17)
    assert Case.load(case.dump()) == case


@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: path.stem)
def test_a_story_that_once_failed_ends_well(theatre: Theatre, path: Path) -> None:
    assert theatre.run(Case.load(path.read_text())).violations == []


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_protection_that_is_missing_is_noticed(theatre: Theatre, mutant: Mutant) -> None:
    known = json.loads(KILLERS.read_text())[mutant.name]
    if caught(theatre, mutant, known["seed"]):
        return
    # The engine's steps have changed since the killer was stored; a few others must do.
    assert killer(theatre, mutant, worthwhile(mutant, 0, 15)), f"hunt again: {mutant.name} survives"


def test_a_failing_story_shrinks_to_what_makes_it_fail() -> None:
    """Told by rule instead of on the stage, so that the smallest story is known."""
    case = replace(draw(17), workers=3)
    acts, faults = case.acts[1:3], case.faults[-1:]

    def fails(each: Case) -> list[str]:
        if all(act in each.acts for act in acts) and set(faults) <= set(each.faults):
            return ["I1 an edit is lost"]
        return ["I3 it never comes to rest"] if each.faults else []

    small = shrink(case, fails)
    assert (small.acts, small.faults, small.workers) == (acts, faults, 1)
