"""Staying within HubSpot's limits, which all workers of an account share.

What HubSpot says of the ten-second window it counts over all workers, so a process that obeys
the header leaves room for the others. Of searches it says nothing: they take turns, a fifth of a
second apart, and further apart after each refusal until a while has passed without one. The daily
pool is the caller's business (`api_budget`). Source: HubSpot developer documentation, "Usage
guidelines and limits".
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

SEARCHES_PER_SECOND = 5
#: Calls of a window that are not used up in one go, in percent of the whole.
_LEFT_PERCENT = 5
#: Seconds without a refusal after which one more search a second is tried.
_PENANCE_SECONDS = 30.0

#: Takes the next turn, so many seconds after the one before; returns the seconds until then.
Turn = Callable[[float], float]


class Pace:
    """Delays the calls of one process; thread-safe. `clock` and `pause` are in seconds."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
        turn: Turn | None = None,
    ) -> None:
        """Keep the pace; searches take turns by `turn`, else among the threads of this process."""
        self._clock = clock
        self._pause = pause
        self._lock = threading.Lock()
        self._turn = turn or self._own_turn
        self._free_at = 0.0
        self._searches_per_second = SEARCHES_PER_SECOND
        self._slowed_at = 0.0
        #: Calls left of those allowed in a window, as last told, and when that was.
        self._left = self._allowed = 0
        self._told_at = 0.0
        self._window_seconds = 10.0

    def wait(self, *, search: bool) -> None:
        """Wait until a call may go out: until the window has room, and a search until its turn.

        Room is waited for about a second at most; a turn as long as the searches before it take.
        """
        while seconds := self._seconds():
            self._pause(seconds)
        if search and (seconds := self._turn(1 / self._search_rate())):
            self._pause(seconds)

    def note(self, headers: Mapping[str, str]) -> None:
        """Read what an answer says of the window; header names are lower case."""
        names = ("remaining", "max", "interval-milliseconds")
        told = [headers.get(f"x-hubspot-ratelimit-{name}", "") for name in names]
        if not all(each.isdigit() for each in told):
            return
        with self._lock:
            self._left, self._allowed, millis = map(int, told)
            self._window_seconds, self._told_at = millis / 1000, self._clock()

    def search_refused(self) -> None:
        """Search half as often from now on."""
        with self._lock:
            self._searches_per_second = max(1, self._searches_per_second // 2)
            self._slowed_at = self._clock()

    def _seconds(self) -> float:
        """Tell how long to wait before asking again; 0 lets the call go."""
        with self._lock:
            wait = self._window_wait(self._clock())
            if not wait:
                self._left -= 1
            return wait

    def _window_wait(self, now: float) -> float:
        """Space calls out once few are left; what was told a window ago says nothing any more."""
        if not self._allowed or now - self._told_at > self._window_seconds:
            return 0.0
        if self._left * 100 > self._allowed * _LEFT_PERCENT:
            return 0.0
        # While we wait the window moves on and gives calls back.
        self._left = max(self._left, 0) + 1
        return 2 * self._window_seconds / self._allowed

    def _search_rate(self) -> int:
        with self._lock:
            now = self._clock()
            slowed = self._searches_per_second < SEARCHES_PER_SECOND
            if slowed and now - self._slowed_at > _PENANCE_SECONDS:
                self._searches_per_second += 1
                self._slowed_at = now
            return self._searches_per_second

    def _own_turn(self, apart: float) -> float:
        with self._lock:
            now = self._clock()
            at = max(self._free_at, now)
            self._free_at = at + apart
            return at - now
