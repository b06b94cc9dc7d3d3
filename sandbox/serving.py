"""Run the three stand-ins and the control door in threads: for `python -m sandbox` and for tests."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import uvicorn
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

import sandbox.dynamics365.app
import sandbox.hubspot.app
import sandbox.salesforce.app
from sandbox import control, tls
from sandbox.dynamics365.engine import DynamicsOrg
from sandbox.faults import CUT, FaultMiddleware, FaultPlan
from sandbox.hubspot.engine import HubSpotOrg
from sandbox.journal import Journal, JournalMiddleware
from sandbox.org import Org
from sandbox.records import Clock
from sandbox.salesforce.engine import SalesforceOrg
from sandbox.stand_in import StandIn
from sandbox.state import StateFolder
from sandbox.throttling import THROTTLED
from sandbox.webhooks import WebhookSender

HOST = "127.0.0.1"
#: In the order of their ports, from the base port up; the control door comes last.
CRMS = ("salesforce", "dynamics365", "hubspot")
#: How long an idle connection is kept; shorter ones are closed under their clients' hands.
_IDLE_SECONDS = 300
#: Most bytes of an address and its headers that are read at all.
HEAD_READ_MAX = 128 * 1024
_STARTED_WITHIN_SECONDS = 20.0
_STOPPED_WITHIN_SECONDS = 5.0


class PortInUseError(Exception):
    """A port the sandbox was told to use is taken; nothing was started."""


@dataclass(frozen=True)
class Running:
    """A running sandbox. `stop` ends it and closes the records' files; it may be called twice."""

    crms: Mapping[str, StandIn]
    ca_file: Path
    control_url: str
    control_token: str
    _closing: contextlib.ExitStack

    def environment(self) -> dict[str, str]:
        """Return the settings that lead a connection to each stand-in, secrets included."""
        salesforce, dynamics, hubspot = (self.crms[crm] for crm in CRMS)
        values = {
            "CA_FILE": str(self.ca_file),
            "CONTROL_URL": self.control_url,
            "CONTROL_TOKEN": self.control_token,
            "SALESFORCE_URL": salesforce.url,
            "DYNAMICS_URL": dynamics.url,
            "DYNAMICS_AUTHORITY": f"{dynamics.url}/{dynamics.credentials['tenant_id']}",
            "HUBSPOT_URL": hubspot.url,
        }
        prefixes = {"SALESFORCE": salesforce, "DYNAMICS": dynamics, "HUBSPOT": hubspot}
        for prefix, stand_in in prefixes.items():
            for name, value in stand_in.credentials.items():
                values[f"{prefix}_{name.upper()}"] = value
        return {f"DEALREG_SANDBOX_{name}": value for name, value in values.items()}

    def stop(self) -> None:
        """Stop every server and sender; requests in progress get a moment to finish."""
        self._closing.close()


def now() -> datetime:
    """Tell the time, aware and in UTC."""
    return datetime.now(UTC)


def start(
    state_dir: Path | None, *, base_port: int = 0, webhook_base: str = "", clock: Clock = now
) -> Running:
    """Start the stand-ins, seeded, on `base_port` and the three ports above it.

    `state_dir` keeps records, credentials and the certificate authority; None keeps records in
    memory and the rest in a temporary folder. `base_port` 0 takes free ports. Without
    `webhook_base` no webhooks are sent. Raises `PortInUseError` and `StateBusyError`, having started nothing.
    """
    with contextlib.ExitStack() as undo:
        if state_dir is None:
            folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="sandbox-")))
        else:
            folder = state_dir
        state = undo.enter_context(contextlib.closing(StateFolder(folder)))
        sockets = _listen(base_port, undo)
        credentials = state.credentials()
        files = tls.prepare(folder)
        crms: dict[str, StandIn] = {}
        for crm, listener in zip(CRMS, sockets, strict=False):
            path = None if state_dir is None else folder / f"{crm}.sqlite3"
            org, app = _build(crm, clock, credentials[crm], path)
            undo.callback(org.store.close)
            org.seed()
            crms[crm] = _serve_crm(org, app, credentials[crm], listener, files, webhook_base, undo)
        token = credentials["control"]["token"]
        _serve(control.build_app(crms, token), sockets[-1], None, undo)
        return Running(
            crms=crms,
            ca_file=files.ca_file,
            control_url=_url("http", sockets[-1]),
            control_token=token,
            _closing=undo.pop_all(),
        )


def _build(
    crm: str, clock: Clock, credentials: Mapping[str, str], path: Path | None
) -> tuple[Org, ASGIApp]:
    if crm == "salesforce":
        salesforce = SalesforceOrg(clock, credentials, path)
        return salesforce, sandbox.salesforce.app.build_app(salesforce)
    if crm == "dynamics365":
        dynamics = DynamicsOrg(clock, credentials, path)
        return dynamics, sandbox.dynamics365.app.build_app(dynamics)
    hubspot = HubSpotOrg(clock, credentials, path)
    return hubspot, sandbox.hubspot.app.build_app(hubspot)


def _serve_crm(
    org: Org,
    app: ASGIApp,
    credentials: Mapping[str, str],
    listener: socket.socket,
    files: tls.TlsFiles,
    webhook_base: str,
    undo: contextlib.ExitStack,
) -> StandIn:
    plan, journal = FaultPlan(), Journal()
    words = THROTTLED[org.crm]
    clock = org.store.clock
    guarded = JournalMiddleware(_Dated(FaultMiddleware(app, plan, words), clock), journal, clock)
    sender = undo.enter_context(contextlib.closing(WebhookSender(org, webhook_base)))
    _serve(guarded, listener, files, undo)
    return StandIn(org.crm, _url("https", listener), org, credentials, plan, journal, sender)


def _listen(base_port: int, undo: contextlib.ExitStack) -> list[socket.socket]:
    """Take all the ports, or none."""
    sockets = []
    for offset in range(len(CRMS) + 1):
        listener = undo.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit it: a body does not wait 40 ms for its head to be confirmed.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        port = base_port + offset if base_port else 0
        try:
            listener.bind((HOST, port))
            listener.listen(128)
        except OSError as error:
            raise PortInUseError(
                f"port {port} on {HOST} cannot be used ({error.strerror}): "
                "stop what is using it, or choose other ports with --base-port"
            ) from error
        sockets.append(listener)
    return sockets


def _url(scheme: str, listener: socket.socket) -> str:
    return f"{scheme}://{HOST}:{listener.getsockname()[1]}"


class _Dated:
    """ASGI: dates answers that their app did not date, by the org's clock and not the machine's."""

    def __init__(self, app: ASGIApp, clock: Clock) -> None:
        self._app, self._clock = app, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("date", format_datetime(self._clock(), usegmt=True))
            await send(message)

        await self._app(scope, receive, dated)


class _CuttableProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, which also lets an application cut its connection (see `faults.CUT`)."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        app = self.app

        async def cuttable(scope: Scope, receive: Receive, send: Send) -> None:
            scope["extensions"] = {**scope.get("extensions", {}), CUT: transport.abort}
            await app(scope, receive, send)

        self.app = cuttable


class _Server(uvicorn.Server):
    """A server that ends every connection when it stops, and lets requests in progress finish first.

    A TLS connection closed politely stays until the client agrees, which an idle one never does.
    """

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._abort(lambda cycle: cycle is None or cycle.response_complete)
        await super().shutdown(sockets)
        self._abort(lambda _: True)
        await asyncio.sleep(0.01)

    def _abort(self, which: Callable[[RequestResponseCycle | None], bool]) -> None:
        for connection in list(self.server_state.connections):
            if isinstance(connection, H11Protocol) and which(connection.cycle):
                connection.transport.abort()


def _serve(
    app: ASGIApp, listener: socket.socket, files: tls.TlsFiles | None, undo: contextlib.ExitStack
) -> None:
    """Serve an app in its own thread until `undo` is closed."""
    config = uvicorn.Config(
        app,
        http=_CuttableProtocol,
        ws="none",
        # A stand-in answers for itself what its vendor thinks of a long address.
        h11_max_incomplete_event_size=HEAD_READ_MAX,
        lifespan="off",
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=files is None,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=_IDLE_SECONDS,
        ssl_certfile=files.server_file if files else None,
    )
    server = _Server(config)
    thread = threading.Thread(
        target=server.run,
        args=([listener],),
        name=f"serve-{listener.getsockname()[1]}",
        daemon=True,
    )
    thread.start()
    undo.callback(_stop, server, thread)
    _wait_until(lambda: server.started or not thread.is_alive(), _STARTED_WITHIN_SECONDS)
    if not server.started:
        raise RuntimeError(f"the server on port {listener.getsockname()[1]} did not start")


def _stop(server: uvicorn.Server, thread: threading.Thread) -> None:
    server.should_exit = True
    thread.join(_STOPPED_WITHIN_SECONDS)
    if thread.is_alive():
        server.force_exit = True
        thread.join(_STOPPED_WITHIN_SECONDS)


def _wait_until(holds: Callable[[], bool], limit_seconds: float) -> None:
    deadline = time.monotonic() + limit_seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
