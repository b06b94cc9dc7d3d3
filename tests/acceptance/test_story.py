"""The whole story of `dealreg demo`, on both ways to run the program, and through violent deaths.

Processes, HTTP and stores are real in all three; the steps and their assertions are the demo's.
"""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.demo.scene import Cast
from cli.demo.stage import DEALREG, Stage
from cli.demo.story import STEPS, opened, play

#: As the Procfile runs them, with two worker processes that can be told apart.
WORKER = (
    sys.executable, "-m", "dramatiq", "sync.worker:broker", "--processes", "1", "--threads", "4",
)  # fmt: skip
PRODUCTION: Mapping[str, Sequence[str]] = {
    "web": (*DEALREG, "serve", "--only", "web"),
    "worker-1": WORKER,
    "worker-2": WORKER,
    "clock": (*DEALREG, "clock"),
}


def play_all(cast: Cast, webhook_seconds: float = 10.0) -> None:
    """Play every step; a step that fails says what was expected and seen.

    How fast a webhook is taken is measured by the demo and the benchmarks: other tests run beside
    this one.
    """
    cast.patience_seconds, cast.webhook_seconds = 60.0, webhook_seconds
    played = list(play(cast))
    last = played[-1]
    assert not last.failed, f"step {last.step.number}: {last.rows[-1]}"
    assert [each.step for each in played] == list(STEPS)


@pytest.mark.timeout(300)
def test_the_story_on_sqlite_in_one_process(tmp_path: Path) -> None:
    with opened(Stage(tmp_path)) as cast:
        play_all(cast)


@pytest.mark.timeout(300)
def test_the_story_on_postgresql_and_redis_in_separate_processes(
    tmp_path: Path, postgres_url: str, redis_url: str
) -> None:
    servers = {"DEALREG_DATABASE_URL": postgres_url, "DEALREG_REDIS_URL": redis_url}
    with opened(Stage(tmp_path, PRODUCTION, servers)) as cast:
        play_all(cast)


@pytest.mark.timeout(300)
def test_the_story_is_finished_though_the_program_is_killed_at_random_moments(
    tmp_path: Path,
) -> None:
    """Only the second within which a webhook is taken cannot be kept by a program that is dead."""
    stage = Stage(tmp_path)
    with opened(stage) as cast, killed_at_random(stage, random.Random(20)) as kills:
        play_all(cast, webhook_seconds=60.0)
    assert len(kills) >= 3


@contextmanager
def killed_at_random(stage: Stage, rng: random.Random) -> Iterator[list[float]]:
    """Kill and restart the program again and again; yields the seconds it was let work."""
    kills: list[float] = []
    over = threading.Event()

    def supervise() -> None:
        while not over.wait(pause := rng.uniform(2.5, 6.0)):
            stage.restart("serve")
            kills.append(pause)
            while not (stage.answers() or over.wait(0.1)):
                pass  # a busy machine may take longer to start than it would be left alone

    thread = threading.Thread(target=supervise, name="killer")
    thread.start()
    try:
        yield kills
    finally:
        over.set()
        thread.join()
