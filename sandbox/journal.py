"""What was asked of a stand-in lately: the last requests and how each was answered."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import datetime

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.records import Clock

#: Requests kept for each stand-in.
KEPT = 1000


@dataclass(frozen=True)
class Entry:
    """One request; never its headers or body, which hold secrets."""

    at: datetime
    method: str
    #: Path and query as sent.
    path: str
    #: None when the connection was cut before an answer.
    status: int | None
    seconds: float


class Journal:
    """The last `KEPT` requests of one stand-in, thread-safe; `total` counts all there ever were."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: deque[Entry] = deque(maxlen=KEPT)
        self.total = 0

    def add(self, entry: Entry) -> None:
        """Note a request that was answered."""
        with self._lock:
            self._entries.append(entry)
            self.total += 1

    def last(self, count: int = KEPT) -> list[Entry]:
        """Return the last requests, oldest first."""
        with self._lock:
            return list(self._entries)[-count:] if count > 0 else []


class JournalMiddleware:
    """ASGI: notes each request before its caller has the whole answer, or when it came to nothing."""

    def __init__(self, app: ASGIApp, journal: Journal, clock: Clock) -> None:
        self._app, self._journal, self._clock = app, journal, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status: int | None = None
        noted = False
        at, began = self._clock(), time.monotonic()

        def note() -> None:
            nonlocal noted
            noted = True
            query = scope["query_string"].decode("latin-1")
            path = scope["path"] + (f"?{query}" if query else "")
            seconds = round(time.monotonic() - began, 4)
            self._journal.add(Entry(at, scope["method"], path, status, seconds))

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif not message.get("more_body", False):
                note()
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            if not noted:
                note()
