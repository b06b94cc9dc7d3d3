"""One actor at a time, in an order drawn from the seed; time jumps to whoever wakes next."""

from __future__ import annotations

import hashlib
import heapq
import math
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

#: When every story begins.
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
#: Longest that one story may run, in hand-overs of the baton; more is a loop.
STEPS_MAX = 60_000
#: Most hand-overs that the harness passes by, with no actor running, before it lets time pass.
ALONE_MAX = 5_000


class Killed(BaseException):
    """The actor's process was killed: nothing of it runs any more, no `finally` writes."""


class Endless(AssertionError):
    """A story that does not end."""


@dataclass(eq=False)
class Actor:
    """A thread that runs only while it holds the baton."""

    name: str
    body: Callable[[], None]
    baton: threading.Lock = field(default_factory=threading.Lock)
    dead: bool = False
    ended: bool = False
    #: When it was killed, in virtual seconds.
    died_at: float = math.inf
    #: Its process stands still (a long pause of the machine): nothing of it runs, renewals neither.
    stalled: bool = False
    #: It stood still right before the call that it is in.
    delayed: bool = False
    #: When it set out to make the call that it is in, in virtual seconds.
    called_at: float = 0.0
    crash: BaseException | None = None
    thread: threading.Thread | None = None


class Scheduler:
    """Virtual time, the baton, and the log of everything that was done."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.seconds = 0.0
        self.steps = 0
        self.log: list[str] = []
        #: Asked at every pause of an actor: shall it die here?
        self.kills: Callable[[Actor], bool] = lambda actor: False
        self.current: Actor | None = None
        self._actors: list[Actor] = []
        self._sleeping: list[tuple[float, float, int, Actor]] = []
        self._main = threading.Lock()
        self._main.acquire()
        self._until = 0.0
        self._turn = 0
        self._quiet = 0
        self._alone = 0

    def now(self) -> datetime:
        """Return the virtual time."""
        return START + timedelta(seconds=self.seconds)

    def note(self, effect: str) -> None:
        """Write one effect into the log."""
        who = self.current.name if self.current else "harness"
        self.log.append(f"{self.seconds:10.3f}  {who:<9} {effect}")

    def fingerprint(self) -> str:
        """Return a hash of the log: the same seed gives the same one."""
        return hashlib.sha256("\n".join(self.log).encode()).hexdigest()[:16]

    def start(self, name: str, body: Callable[[], None], after: float = 0.0) -> Actor:
        """Add an actor; it runs for the first time `after` seconds from now."""
        actor = Actor(name, body)
        actor.baton.acquire()
        actor.thread = threading.Thread(target=self._live, args=(actor,), name=name, daemon=True)
        self._actors.append(actor)
        self.wake(actor, after)
        actor.thread.start()
        return actor

    def wake(self, actor: Actor, after: float = 0.0) -> None:
        """Let an actor that sleeps for ever run again."""
        self._turn += 1
        entry = (self.seconds + after, self.rng.random(), self._turn, actor)
        heapq.heappush(self._sleeping, entry)

    def pause(self, seconds: float | None = None) -> None:
        """Hand the baton over; comes back after `seconds`, or after a moment drawn from the seed.

        Returns at once where no actor runs (the harness itself), or where a story is told in one
        breath (`quietly`). Raises `Killed` in a dead actor.
        """
        me = self.current
        if me is None:
            self._alone += 1
            if self._alone > ALONE_MAX:
                raise Endless(f"more than {ALONE_MAX} calls while the clock stood still")
        if me is None or self._quiet:
            return
        if me.dead:
            raise Killed
        if self.kills(me):
            self.note("killed")
            me.dead, me.died_at = True, self.seconds
            raise Killed
        self.wake(me, self.rng.random() * 0.03 if seconds is None else seconds)
        self._pass_on(me)

    def sleep_forever(self) -> None:
        """Hand the baton over and come back only when somebody calls `wake`."""
        me = self.current
        assert me is not None
        self._pass_on(me)

    @contextmanager
    def quietly(self) -> Iterator[None]:
        """Do something in one breath: no hand-over, no kill."""
        self._quiet += 1
        try:
            yield
        finally:
            self._quiet -= 1

    @property
    def is_quiet(self) -> bool:
        """Whether something is being done in one breath, or by the harness itself."""
        return bool(self._quiet) or self.current is None

    def run(self, until: float) -> None:
        """Run actors until `until`, or until all of them have ended or sleep for ever."""
        self._until = until
        following = self._next()
        if following is not None:
            following.baton.release()
            self._main.acquire()
        self.current = None
        for actor in self._actors:
            if actor.crash is not None:
                raise actor.crash

    def jump(self, seconds: float) -> None:
        """Let time pass while no actor runs."""
        assert self.current is None
        self.seconds += seconds
        self._alone = 0

    def stop(self) -> None:
        """End every thread."""
        for actor in self._actors:
            if not actor.ended:
                actor.dead = True
                self._until = -1.0
                self.current = actor
                actor.baton.release()
                self._main.acquire()
        for actor in self._actors:
            assert actor.thread is not None
            actor.thread.join()

    def _live(self, actor: Actor) -> None:
        actor.baton.acquire()
        try:
            if not actor.dead:
                actor.body()
        except Killed:
            pass
        except BaseException as crash:  # noqa: BLE001 - handed to the harness, which raises it
            actor.crash = crash
        actor.ended = True
        following = None if actor.crash else self._next()
        (following.baton if following else self._main).release()

    def _pass_on(self, me: Actor) -> None:
        following = self._next()
        if following is not me:
            (following.baton if following else self._main).release()
            me.baton.acquire()
        if me.dead:
            raise Killed

    def _next(self) -> Actor | None:
        """Take the next actor off the sleepers and move time to it; None gives the harness its turn."""
        while self._sleeping and self._sleeping[0][0] <= self._until:
            self.steps += 1
            if self.steps > STEPS_MAX:
                raise Endless(f"more than {STEPS_MAX} steps")
            at, _, _, actor = heapq.heappop(self._sleeping)
            if actor.ended:
                continue
            self.seconds = max(self.seconds, at)
            self.current = actor
            return actor
        return None
