"""Service protection limits: requests, execution time and concurrency of one user on one server.

Dataverse developer guide, "Service protection API limits": a sliding window of five minutes for
the first two, the number under way for the third; a batch counts as one request but with all its
time. Refusals say how long to wait.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from sandbox.dynamics365.errors import WebApiError
from sandbox.records import Clock

_WINDOW_SECONDS = 300


@dataclass
class Limits:
    """What a user may do; the vendor's defaults, which tests lower."""

    requests: int = 6000
    execution_seconds: float = 1200.0
    concurrent: int = 52


@dataclass
class _Seen:
    at: datetime
    seconds: float = 0.0


class ThrottledError(WebApiError):
    """One request too many of a kind."""

    def __init__(self, code: str, message: str, retry_after_seconds: int) -> None:
        super().__init__(429, code, message, {"Retry-After": str(retry_after_seconds)})


class Protection:
    """Counts what a user asks of the server; thread-safe."""

    def __init__(self, clock: Clock, limits: Limits) -> None:
        self._clock, self._limits = clock, limits
        self._lock = threading.Lock()
        self._seen: deque[_Seen] = deque()
        self._under_way = 0

    @contextmanager
    def admitted(self) -> Iterator[tuple[int, float]]:
        """Let one request in, and measure it; yields requests and seconds that are left after it."""
        with self._lock:
            left = self._admit()
            seen = _Seen(self._clock())
            self._seen.append(seen)
            self._under_way += 1
        started = time.monotonic()
        try:
            yield left
        finally:
            with self._lock:
                seen.seconds = time.monotonic() - started
                self._under_way -= 1

    def _admit(self) -> tuple[int, float]:
        now = self._clock()
        while self._seen and (now - self._seen[0].at).total_seconds() >= _WINDOW_SECONDS:
            self._seen.popleft()
        limits = self._limits
        if self._under_way >= limits.concurrent:
            message = f"Number of concurrent requests exceeded the limit of {limits.concurrent}."
            raise ThrottledError("0x80072326", message, 1)
        window = f"over time window of {_WINDOW_SECONDS} seconds."
        age = (now - self._seen[0].at).total_seconds() if self._seen else 0.0
        wait = max(1, math.ceil(_WINDOW_SECONDS - age))
        if len(self._seen) >= limits.requests:
            message = f"Number of requests exceeded the limit of {limits.requests} {window}"
            raise ThrottledError("0x80072322", message, wait)
        spent = sum(seen.seconds for seen in self._seen)
        if spent >= limits.execution_seconds:
            message = (
                "Combined execution time of incoming requests exceeded limit of "
                f"{limits.execution_seconds * 1000:,.0f} milliseconds {window}"
            )
            raise ThrottledError("0x80072321", message, wait)
        return limits.requests - len(self._seen) - 1, limits.execution_seconds - spent
