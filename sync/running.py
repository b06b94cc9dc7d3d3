"""Long-running parts of a process: workers, the clock, and the look-out for other processes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import dramatiq
import structlog
from dramatiq.brokers.stub import StubBroker

from registration_core.errors import DealregError
from sync import clock, rounds
from sync.actors import CHECKS, QUEUE, Actors
from sync.process import check_claims, garbage
from sync.process.middleware import LogContext
from sync.process.runtime import Runtime
from sync.wiring import careful

log = structlog.get_logger()

#: How often the embedded store is looked at for commits of other processes, in seconds.
LOOK_SECONDS = 0.1
#: Threads that make checks; a CRM that hangs holds one of them up, not all.
_CHECK_THREADS = 2
#: How long a part rests after a failure, in seconds.
_PAUSE_SECONDS = 5


class _Loop:
    """A thread that does one thing again and again until it is stopped."""

    def __init__(self, name: str, seconds: float, do: Callable[[], object]) -> None:
        self._seconds, self._do = seconds, do
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._do()
            except DealregError as error:  # the store is away: say so and try again
                log.warning("paused", part=self._thread.name, reason=error.message)
                self._stopping.wait(_PAUSE_SECONDS)
            except Exception:  # a clock that stopped would stop everything, silently
                log.exception("failed, trying again", part=self._thread.name)
                self._stopping.wait(_PAUSE_SECONDS)
            self._stopping.wait(self._seconds)

    def stop(self) -> None:
        """Stop after the round that is going on."""
        self._stopping.set()
        self._thread.join(timeout=30)


class Clock:
    """The schedule and the sweep, and what comes round slowly, in a thread each."""

    def __init__(self, runtime: Runtime, nudge: Callable[[set[str]], None]) -> None:
        self._loops = (
            _Loop("clock", clock.SWEEP_SECONDS, lambda: clock.tick(runtime, nudge)),
            _Loop("rounds", rounds.LOOK_SECONDS, lambda: rounds.tick(runtime, nudge)),
        )

    def stop(self) -> None:
        """Stop ticking."""
        for loop in self._loops:
            loop.stop()


def _is_no_word_of_workers(record: logging.LogRecord) -> bool:
    """Leave out that a broker has two workers: they are meant, each for queues of its own."""
    return "_WorkerMiddleware" not in record.getMessage()


class Workers:
    """Worker threads on the runtime's broker, or on one inside this process (embedded)."""

    def __init__(self, runtime: Runtime, threads: int) -> None:
        embedded = runtime.broker is None
        if embedded:
            check_claims.forget(runtime)
        broker = runtime.broker or StubBroker(middleware=[LogContext()])
        self._actors = Actors(broker, lambda: runtime)
        self.nudge = careful(self._actors.nudge)
        runtime.database.on_work = self.nudge
        self._broker = broker
        broker.logger.addFilter(_is_no_word_of_workers)
        # Checks have threads of their own: bulk work may keep all others for seconds.
        self._workers = [
            dramatiq.Worker(broker, queues={queue}, worker_threads=count, worker_timeout=100)
            for queue, count in ((QUEUE, threads), (CHECKS, _CHECK_THREADS))
        ]
        for worker in self._workers:
            worker.start()
        self._look_out = _LookOut(runtime, self.nudge) if embedded else None

    def stop(self) -> None:
        """Let running work end, take no more."""
        if self._look_out is not None:
            self._look_out.stop()
        for worker in self._workers:
            worker.stop()
        if self._look_out is not None:
            self._broker.close()


class _LookOut:
    """Notices commits of other processes, for example of the CLI, on the embedded store."""

    def __init__(self, runtime: Runtime, nudge: Callable[[set[str]], None]) -> None:
        seen = -1

        def look() -> None:
            nonlocal seen
            now = runtime.database.changed()
            if now != seen:
                seen = now
                kinds = clock.due_work(runtime)
                if kinds:
                    nudge(kinds)

        self._loop = _Loop("look-out", LOOK_SECONDS, look)

    def stop(self) -> None:
        self._loop.stop()


def start_workers(runtime: Runtime, threads: int) -> Workers:
    """Start worker threads in this process, which is there for them from now on."""
    garbage.collect_seldom()
    return Workers(runtime, threads)


def start_clock(runtime: Runtime, nudge: Callable[[set[str]], None] | None = None) -> Clock:
    """Start the clock in this process; nudges go where the nudges of commits go, unless told."""
    return Clock(runtime, nudge or runtime.database.on_work)
