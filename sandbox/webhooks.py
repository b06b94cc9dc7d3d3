"""Send a stand-in's webhooks in the background, with the retry habits of its vendor.

The habits are the vendors', the waits are shortened from hours to seconds. What happens while the
sender is off is never told: a lost webhook, which a receiver must survive.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import requests

from sandbox.org import Delivery, Org
from sandbox.records import Event

_log = logging.getLogger(__name__)

#: Events that happen this close together are worded in one go, as the vendors coalesce.
GATHER_SECONDS = 0.05
#: How long after its turn a delivery goes that is overtaken or repeated: others go in between.
LATE_SECONDS = 0.3
#: Attempts remembered for each stand-in.
KEPT = 500


@dataclass(frozen=True)
class Habit:
    """How a vendor treats a receiver that does not take a delivery."""

    timeout_seconds: float
    #: Waits before each new attempt; given up after the last.
    waits_seconds: tuple[float, ...]
    #: Answers that are tried again; None = every failure, no answer included.
    again_on: frozenset[int] | None = None
    #: Every so many deliveries one is sent twice, taken or not, and one late; 0 = never.
    twice_each: int = 0
    late_each: int = 0


#: Salesforce SOAP API Developer Guide, "Outbound Messaging": repeated with growing waits for 24 hours;
#: a message may come more than once, and not in the order of the changes.
#: Dataverse developer guide, "Use Webhooks": an answer within a minute, and one more attempt only
#: after 502, 503 or 504.
#: HubSpot Webhooks API guide: up to ten more attempts after a failure or no answer in five seconds.
HABITS: Mapping[str, Habit] = {
    "salesforce": Habit(10.0, (0.5, 1, 2, 4, 8, 16, 32, 60, 120), twice_each=3, late_each=2),
    "dynamics365": Habit(60.0, (1.0,), frozenset({502, 503, 504})),
    "hubspot": Habit(5.0, (0.5, 1, 2, 4, 8, 15, 30, 45, 60, 60)),
}


@dataclass(frozen=True)
class Attempt:
    """One attempt to deliver; the URL is left out, it may hold a secret."""

    at: datetime
    number: int
    #: None when nobody answered in time.
    status: int | None
    taken: bool


class WebhookSender:
    """Tells `webhook_base` what happens in one org; `close` ends its thread."""

    def __init__(self, org: Org, webhook_base: str) -> None:
        self._org, self._base, self._habit = org, webhook_base.rstrip("/"), HABITS[org.crm]
        self._wake = threading.Condition()
        self._events: list[Event] = []
        self._due: list[tuple[float, int, int, Delivery]] = []
        self._order = itertools.count()
        self._worded = 0
        self._attempts: deque[Attempt] = deque(maxlen=KEPT)
        self._on, self._closed = bool(webhook_base), False
        self._under_way = 0
        self._session = requests.Session()
        self._session.trust_env = False
        self._thread = threading.Thread(target=self._run, name=f"webhooks-{org.crm}", daemon=True)
        self._thread.start()
        org.store.on_event(self._note)

    @property
    def on(self) -> bool:
        """Whether events are told; always False without a `webhook_base`."""
        return self._on

    def switch(self, *, on: bool) -> None:
        """Tell events from now on, or stop; what is waiting to be sent is dropped when it stops."""
        if on and not self._base:
            raise ValueError("webhooks cannot be switched on: the sandbox has no --webhook-base")
        with self._wake:
            self._on = on
            if not on:
                self._events.clear()
                self._due.clear()
                self._worded = 0
            self._wake.notify()

    def attempts(self) -> list[Attempt]:
        """Return the last attempts, oldest first."""
        with self._wake:
            return list(self._attempts)

    def waiting(self) -> int:
        """Count the events and deliveries that are still to be sent, or are being sent now."""
        with self._wake:
            return len(self._events) + len(self._due) + self._under_way

    def close(self) -> None:
        """Stop at once; what is waiting is lost, as when a vendor gives up."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join(timeout=self._habit.timeout_seconds)
        self._session.close()

    def _note(self, event: Event) -> None:
        with self._wake:
            if self._on and not self._closed:
                self._events.append(event)
                self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._closed and not self._events and not self._is_due():
                    self._wake.wait(self._due[0][0] - time.monotonic() if self._due else None)
                if self._closed:
                    return
                fresh = bool(self._events)
                self._under_way = 1
            if fresh:
                time.sleep(GATHER_SECONDS)
                self._word()
            else:
                self._send_next()
            with self._wake:
                self._under_way = 0

    def _is_due(self) -> bool:
        return bool(self._due) and self._due[0][0] <= time.monotonic()

    def _word(self) -> None:
        """Turn the gathered events into deliveries; the org is asked without holding our lock."""
        with self._wake:
            events, self._events = self._events, []
        try:
            deliveries = self._org.deliveries(events, self._base) if events else []
        except Exception:  # noqa: BLE001 - logged; one bad event must not end all webhooks
            _log.exception(
                "%s: %d events could not be worded and are lost", self._org.crm, len(events)
            )
            return
        with self._wake:
            for delivery in deliveries if self._on else []:
                self._queue(delivery)

    def _queue(self, delivery: Delivery) -> None:
        """Have a delivery sent at once, or late, or twice, as the vendor's habit is."""
        self._worded += 1
        now, habit = time.monotonic(), self._habit
        late = habit.late_each and self._worded % habit.late_each == 0
        times = [now + LATE_SECONDS if late else now]
        if habit.twice_each and self._worded % habit.twice_each == 0:
            times.append(now + 2 * LATE_SECONDS)
        for due in times:
            heapq.heappush(self._due, (due, next(self._order), 1, delivery))

    def _send_next(self) -> None:
        with self._wake:
            if not self._is_due():
                return
            _, _, number, delivery = heapq.heappop(self._due)
        if delivery.again is not None and number > 1:
            delivery = delivery.again(number - 1)
        status, taken = self._post(delivery)
        with self._wake:
            self._attempts.append(Attempt(self._org.store.clock(), number, status, taken))
            waits, again_on = self._habit.waits_seconds, self._habit.again_on
            try_again = not taken and (again_on is None or status in again_on)
            if self._on and try_again and number <= len(waits):
                due = time.monotonic() + waits[number - 1]
                heapq.heappush(self._due, (due, next(self._order), number + 1, delivery))

    def _post(self, delivery: Delivery) -> tuple[int | None, bool]:
        try:
            answer = self._session.post(
                delivery.url,
                data=delivery.body,
                headers=dict(delivery.headers),
                timeout=self._habit.timeout_seconds,
                allow_redirects=False,
            )
        except requests.RequestException:
            return None, False
        return answer.status_code, answer.ok and delivery.expects in answer.content
