"""The door of the webhooks: a bounded body in bounded time, then `sync.receiving` decides."""

from __future__ import annotations

import asyncio

from prometheus_client import Counter
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from connectors.deliveries import WebhookRequest
from sync.process.runtime import Runtime
from sync.receiving import BODY_BYTES_MAX, receive

#: Longest time a sender gets for its body, in seconds; the CRMs wait five to sixty for an answer.
BODY_SECONDS = 10.0

#: What is read away of a body that is too large: an answer can be lost on a sender still sending.
READ_AWAY_BYTES = 4 * BODY_BYTES_MAX


class WebhookDoor:
    """Takes deliveries for every connection of a runtime."""

    def __init__(self, runtime: Runtime, public_url: str, deliveries: Counter) -> None:
        self._runtime, self._public_url, self._deliveries = runtime, public_url, deliveries

    async def take(self, request: Request) -> Response:
        """Answer one delivery; 2xx only once what it says is committed.

        413 above `BODY_BYTES_MAX`, whatever the sender says of its length; 408 after
        `BODY_SECONDS`. Anything that is raised goes up to the app.
        """
        connection = request.path_params["connection"]
        # Names that anybody may make up would become a time series each.
        label = connection if connection in self._runtime.connectors else "unknown"
        try:
            answer = await self._answer(request, connection)
        except Exception:
            self._deliveries.labels(label, "5xx").inc()
            raise
        self._deliveries.labels(label, f"{answer.status_code // 100}xx").inc()
        return answer

    async def _answer(self, request: Request, connection: str) -> Response:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _body(request)
        except TimeoutError:
            return _hang_up("the body took too long", 408)
        except ClientDisconnect:
            return _hang_up("the body is not whole", 400)  # nobody is there to read it
        if body is None:
            return _hang_up("the body is too large", 413)
        delivery = WebhookRequest(
            method=request.method,
            url=_called(request, self._public_url),
            headers=dict(request.headers),
            body=body,
            received_at=self._runtime.database.clock(),
            path_secret=request.path_params.get("path_secret", ""),
        )
        # It works on the store, and another thread may hold that up.
        reply = await run_in_threadpool(receive, self._runtime, connection, delivery)
        return Response(reply.body, reply.status, media_type=reply.media_type)


async def _body(request: Request) -> bytes | None:
    """Read the body, or None if it is too large, of which never more than the limit is kept."""
    said = request.headers.get("content-length", "0")
    if not said.isdecimal() or int(said) > READ_AWAY_BYTES:
        return None
    body, size = bytearray(), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= BODY_BYTES_MAX:
            body += chunk
        elif size > READ_AWAY_BYTES:
            break
    return bytes(body) if size <= BODY_BYTES_MAX else None


def _called(request: Request, public_url: str) -> str:
    """Return the address the sender called, escapes untouched: a signature covers it."""
    path = request.scope["raw_path"].decode("latin-1")
    query = request.scope["query_string"].decode("latin-1")
    base = public_url or f"{request.url.scheme}://{request.headers.get('host', '')}"
    return f"{base}{path}?{query}" if query else f"{base}{path}"


def _hang_up(why: str, status: int) -> Response:
    """Answer without having read to the end: the connection cannot be used again."""
    return PlainTextResponse(why, status, headers={"Connection": "close"})
