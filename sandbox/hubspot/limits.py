"""The portal's rate limits: ten-second burst, daily pool, and searches per second.

Counted on the org's own clock; refused only where `enforced`, so that a run on a clock that
stands still is not stopped. Source: HubSpot developer documentation, "Usage guidelines".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import date, datetime, timedelta

from sandbox.hubspot.values import HubSpotError

_BURST_WINDOW = timedelta(seconds=10)
_SECOND = timedelta(seconds=1)


class RateLimited(HubSpotError):
    """429 with the policy that was broken."""

    def __init__(self, policy: str) -> None:
        super().__init__(429, f"You have reached your {policy.lower()} limit.")
        self.policy = policy

    def body(self, correlation_id: str) -> dict[str, object]:
        """The error body with `errorType` and `policyName`; it has no category."""
        return super().body(correlation_id) | {
            "errorType": "RATE_LIMIT",
            "policyName": self.policy,
            "groupName": "publicapi:private-apps:api-calls",
        }


class RateLimits:
    """Counts calls and refuses those over a limit."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.enforced = False
        self.burst = 190
        self.daily = 625_000
        self.searches_per_second = 5
        self._clock = clock
        self._calls: deque[datetime] = deque()
        self._searches: deque[datetime] = deque()
        self._day: date | None = None
        self._today = 0

    def take(self, *, search: bool) -> None:
        """Count one call; `RateLimited` when a limit is enforced and used up."""
        now = self._clock()
        if self._day != now.date():
            self._day, self._today = now.date(), 0
        _forget(self._calls, now - _BURST_WINDOW)
        _forget(self._searches, now - _SECOND)
        if self.enforced:
            if self._today >= self.daily:
                raise RateLimited("DAILY")
            if search and len(self._searches) >= self.searches_per_second:
                raise RateLimited("SECONDLY")
            if len(self._calls) >= self.burst:
                raise RateLimited("TEN_SECONDLY_ROLLING")
        self._today += 1
        self._calls.append(now)
        if search:
            self._searches.append(now)

    def headers(self) -> dict[str, str]:
        """The headers of an answer; searches carry none of them."""
        return {
            "X-HubSpot-RateLimit-Max": str(self.burst),
            "X-HubSpot-RateLimit-Remaining": str(max(0, self.burst - len(self._calls))),
            "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
            "X-HubSpot-RateLimit-Daily": str(self.daily),
            "X-HubSpot-RateLimit-Daily-Remaining": str(max(0, self.daily - self._today)),
        }


def _forget(moments: deque[datetime], until: datetime) -> None:
    while moments and moments[0] <= until:
        moments.popleft()
