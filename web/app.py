"""The HTTP door: webhooks of the CRMs in, health and metrics out; nothing for people or partners.

Paths of webhooks hold secrets, so no path is logged here. TLS, rate limits and who may reach
`/readyz` and `/metrics` are for whatever stands in front.
"""

from __future__ import annotations

import structlog
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sync.process.runtime import Runtime
from web.health import STORE_AWAY, readiness
from web.metrics import Metrics
from web.webhooks import WebhookDoor

log = structlog.get_logger()

#: On every answer: it is data for one caller, and never a page.
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def build(runtime: Runtime, public_url: str = "") -> Starlette:
    """Build the ASGI app on a runtime; several may stand side by side.

    Args:
        runtime: Stays the caller's to close, after the server has stopped.
        public_url: What the CRMs call instead of this server's own address, without a slash at
            the end: HubSpot signs the address it calls. Empty where they call it directly.
    """
    metrics = Metrics(runtime)
    webhooks = WebhookDoor(runtime, public_url, metrics.deliveries)

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def readyz(_: Request) -> Response:
        answer = await run_in_threadpool(readiness, runtime)
        return JSONResponse(answer.as_json(), 200 if answer.ready else 503)

    async def numbers(_: Request) -> Response:
        return Response(
            await run_in_threadpool(metrics.text), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    app = Starlette(
        routes=[
            Route("/webhooks/{connection}", webhooks.take, methods=["POST"]),
            Route("/webhooks/{connection}/{path_secret}", webhooks.take, methods=["POST"]),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", numbers),
        ],
        middleware=[Middleware(_Guard)],
    )
    # A redirect would name the address that was called, and no CRM follows one.
    app.router.redirect_slashes = False
    return app


class _Guard:
    """ASGI: puts our headers on every answer, and words whatever goes wrong without any detail."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        try:
            await self._app(scope, receive, guarded)
        except Exception as error:
            if started:
                raise  # too late for another answer: the server cuts the connection
            answer = _failure(error)
            await answer(scope, receive, guarded)


def _failure(error: Exception) -> Response:
    if isinstance(error, STORE_AWAY):
        log.error("request not taken: the store is away", reason=type(error).__name__)
        return PlainTextResponse("not taken, send it again", 503)
    log.error("request failed", exc_info=error)
    return PlainTextResponse("failed", 500)
