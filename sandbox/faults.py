"""Make a stand-in fail on demand: down, throttled, slow, or an answer lost on its way.

A `FaultPlan` is set from any thread (a test, the control door); `FaultMiddleware` around the app
asks it before each request. The first fault that fits a request applies, and only that one.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Name, in `scope["extensions"]`, of the function that cuts the connection (`sandbox/serving.py`).
CUT = "sandbox.cut"


class FaultKind(StrEnum):
    """How a stand-in can fail."""

    #: 503 to every request, or the connection is cut before anything happens.
    DOWN = "down"
    #: The vendor's own refusal for too many calls; nothing happens.
    THROTTLED = "throttled"
    #: Everything works, after a wait.
    SLOW = "slow"
    #: The request is carried out, and the connection cut before a byte of the answer.
    DROP_ANSWER = "drop_answer"


@dataclass(frozen=True)
class Fault:
    """One fault and the requests it meets."""

    kind: FaultKind
    #: Regular expression the whole method must match; empty = any.
    method: str = ""
    #: Regular expression found anywhere in the decoded path (without query); empty = any.
    path: str = ""
    #: Requests it will still meet; None = until cleared.
    remaining: int | None = None
    #: `slow`: how long to wait; `throttled`: how long the caller is told to wait.
    seconds: float = 1.0
    #: `down`: cut the connection instead of answering 503.
    cut: bool = False

    def fits(self, method: str, path: str) -> bool:
        """Tell whether a request is met by this fault."""
        return bool(
            re.fullmatch(self.method or ".*", method, re.IGNORECASE)
            and re.search(self.path, path)
            and self.remaining != 0
        )


@dataclass(frozen=True)
class ThrottleAnswer:
    """What a vendor answers to too many calls."""

    status: int
    headers: Mapping[str, str]
    body: bytes


#: Words the answer for a number of seconds to wait (`sandbox/throttling.py`).
ThrottleWords = Callable[[float], ThrottleAnswer]


class FaultPlan:
    """The faults a stand-in is set to have, in the order they were added; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Add a fault behind those there are; raises `re.error` for a broken expression."""
        for expression in (fault.method, fault.path):
            re.compile(expression)
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Take every fault away."""
        with self._lock:
            self._faults.clear()

    def standing(self) -> list[Fault]:
        """Return the faults that will still meet a request."""
        with self._lock:
            return list(self._faults)

    def take(self, method: str, path: str) -> Fault | None:
        """Return the first fault that meets this request, and count it down."""
        with self._lock:
            for place, fault in enumerate(self._faults):
                if not fault.fits(method, path):
                    continue
                if fault.remaining == 1:
                    del self._faults[place]
                elif fault.remaining is not None:
                    self._faults[place] = replace(fault, remaining=fault.remaining - 1)
                return fault
            return None


class FaultMiddleware:
    """ASGI: lets a request through, or makes it fail as the plan says."""

    def __init__(self, app: ASGIApp, plan: FaultPlan, throttle_words: ThrottleWords) -> None:
        self._app, self._plan, self._throttle_words = app, plan, throttle_words

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault = self._plan.take(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if fault is None:
            await self._app(scope, receive, send)
            return
        match fault.kind:
            case FaultKind.SLOW:
                await asyncio.sleep(fault.seconds)
                await self._app(scope, receive, send)
            case FaultKind.DROP_ANSWER:
                await self._app(scope, receive, _discard)
                await _cut(scope, receive)
            case FaultKind.DOWN if fault.cut:
                await _cut(scope, receive)
            case FaultKind.DOWN:
                unavailable = JSONResponse({"error": "service unavailable"}, status_code=503)
                await _answer(unavailable, scope, receive, send)
            case FaultKind.THROTTLED:
                words = self._throttle_words(fault.seconds)
                refusal = Response(words.body, words.status, dict(words.headers))
                await _answer(refusal, scope, receive, send)


async def _answer(answer: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer after the body was read: a server that answers early resets the sender."""
    while (await receive()).get("more_body", False):
        pass
    await answer(scope, receive, send)


async def _discard(message: Message) -> None:
    """Take an answer that nobody will see."""


async def _cut(scope: Scope, receive: Receive) -> None:
    """Cut the connection and wait until it is gone, so that no answer follows."""
    scope["extensions"][CUT]()
    while (await receive())["type"] != "http.disconnect":
        pass
