"""dramatiq actors: a kind of work and a connection, never data; the store says what is due.

A message is a nudge: losing it costs seconds, because the clock sweeps for due work. So there
are no retries and no time limit here; when a row is due again stands on the row.
"""

from __future__ import annotations

from collections.abc import Callable

import dramatiq

from sync import checking, pull, push, runs
from sync.announcing import drain as announcing
from sync.mappings import schema_watch
from sync.process.linger import Linger
from sync.process.runtime import Runtime
from sync.repair import comparing

#: The queue of pushes, pulls and polls, and that of checks: they never wait behind the others.
QUEUE, CHECKS = "dealreg", "dealreg-checks"


class Actors:
    """The actors of one broker, bound to one runtime."""

    def __init__(self, broker: dramatiq.Broker, runtime: Callable[[], Runtime]) -> None:
        self._linger = Linger()

        @dramatiq.actor(broker=broker, queue_name=QUEUE, actor_name="do")
        def do(work: str, connection: str) -> None:
            runtime().look_again()
            if work in ("push", "pull"):
                if self._linger.gather(runtime(), work, connection):
                    drain = push.drain if work == "push" else pull.drain
                    drain(runtime(), connection)
            elif work == "schema":
                schema_watch.look(runtime(), connection)
            elif work == "announce":
                announcing.drain(runtime())
            elif work.startswith("drift-"):
                comparing.drain(runtime(), connection, work.removeprefix("drift-"))
            else:
                runs.poll(runtime(), connection)

        @dramatiq.actor(broker=broker, queue_name=CHECKS, actor_name="check")
        def check() -> None:
            runtime().look_again()
            checking.drain(runtime())

        self._do, self._check = do, check

    def nudge(self, kinds: set[str]) -> None:
        """Send one message per kind, for example `push:salesforce` or `check`."""
        for kind in sorted(kinds):
            work, _, connection = kind.partition(":")
            if work == "check":
                self._check.send()
            else:
                self._do.send(work, connection)
