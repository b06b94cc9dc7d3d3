"""The parts of `dealreg serve` that are processes and ports: the sandbox child, the web server."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from registration_core.errors import DealregError

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

PROJECT_DIR = Path(__file__).resolve().parents[1]

#: Variables that the sandbox writes begin so; a file with others is somebody's own.
SANDBOX_PREFIX = "DEALREG_SANDBOX_"

#: Seconds a part gets to start, and to end what it is doing.
STARTED_WITHIN_SECONDS, STOPPED_WITHIN_SECONDS = 60.0, 10.0
#: Seconds that those who are connected get to send their requests when the web server ends, and
#: in which it has taken up a connection that the system has accepted.
HEARD_OUT_WITHIN_SECONDS, _ACCEPTED_WITHIN_SECONDS = 1.0, 0.05


def bind(host: str, port: int) -> socket.socket:
    """Take the port of the web server before anything else is started."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise DealregError(
            f"Port {port} on {host} cannot be used ({os.strerror(error.errno or 0)}).",
            hint="Stop what is using it, or set DEALREG_WEB_PORT to another.",
        ) from error
    # Accepted connections inherit it: the body of an answer does not wait for its head's ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Two web servers listen here during a reload: none may wait for what the other has accepted.
    listener.setblocking(False)
    return listener


class SandboxProcess:
    """The three CRM stand-ins as a child that ends with this process, even when that is killed.

    The child reads a pipe whose other end only this process holds; the system closes it whatever
    way this process ends. It has a session of its own, so that Ctrl-C reaches it only after the
    workers that talk to it have stopped.
    """

    def __init__(self, home: Path, base_port: int, webhook_base: str) -> None:
        env_file = home / "env"
        _require_ours(env_file)
        self._child = subprocess.Popen(
            [
                sys.executable, "-m", "sandbox", "--state", str(home / "sandbox"),
                "--base-port", str(base_port), "--webhook-base", webhook_base,
                "--env-file", str(env_file), "--until-stdin-closes",
            ],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=PROJECT_DIR, text=True,
            start_new_session=True,
        )  # fmt: skip

    def wait_until_ready(self) -> list[str]:
        """Return what it says of itself once it serves; raise if it ends or takes too long."""
        late = threading.Timer(STARTED_WITHIN_SECONDS, self._child.kill)
        late.start()
        said: list[str] = []
        try:
            assert self._child.stdout is not None  # asked for above
            for line in self._child.stdout:
                said.append(line.rstrip())
                if line.startswith("settings in"):  # its last line
                    return said[:-1]
        finally:
            late.cancel()
        raise DealregError(
            "The sandbox did not start.",
            hint="Its own message stands above; it needs the four ports after DEALREG_WEB_PORT.",
        )

    @property
    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._child.poll() is not None

    def stop(self) -> None:
        """End it; what it keeps is in its files."""
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # it has ended already
                    pipe.close()
        try:
            self._child.wait(STOPPED_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


def _require_ours(env_file: Path) -> None:
    """Refuse to write over settings that a person keeps."""
    if not env_file.exists():
        return
    lines = env_file.read_text(encoding="utf-8", errors="replace").splitlines()
    own = [line for line in lines if line.strip() and not line.startswith((SANDBOX_PREFIX, "#"))]
    if own:
        raise DealregError(
            f"{env_file} holds settings of yours, and the sandbox writes that file.",
            hint="Set DEALREG_HOME to another folder, or set them in the environment instead.",
        )


@contextlib.contextmanager
def web_server(app: ASGIApp, listener: socket.socket) -> Iterator[Callable[[], bool]]:
    """Serve an app in a thread until the block ends; yields whether it still serves."""
    import uvicorn

    config = uvicorn.Config(
        app,
        log_config=None,  # ours is configured, and masks secrets
        access_log=False,  # paths of webhooks hold secrets
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=int(STOPPED_WITHIN_SECONDS),
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), name="web", daemon=True)
    thread.start()
    try:
        yield thread.is_alive
    finally:
        _hear_out(server)
        server.should_exit = True
        thread.join(STOPPED_WITHIN_SECONDS + 1)


def _hear_out(server: uvicorn.Server) -> None:
    """Take no more connections, and give those that were taken the time to say what they want.

    One that is closed before its request was read is reset, and a CRM may not send it again. Nor is
    the listening closed before all that was accepted is taken up, or asyncio drops that.
    """
    for each in getattr(server, "servers", ()):  # it has none before it has started
        loop = each.get_loop()
        for listening in each.sockets:
            loop.call_soon_threadsafe(loop.remove_reader, listening.fileno())
    deadline = time.monotonic() + HEARD_OUT_WITHIN_SECONDS
    time.sleep(_ACCEPTED_WITHIN_SECONDS)
    while server.server_state.connections and time.monotonic() < deadline:
        time.sleep(_ACCEPTED_WITHIN_SECONDS)


def require_env_file_is_read(environ: Mapping[str, str]) -> None:
    """Refuse where the settings that the sandbox writes would not be read."""
    if environ.get("DEALREG_ENV_FILE"):
        raise DealregError(
            "The sandbox writes its settings to the file env in DEALREG_HOME.",
            hint="Unset DEALREG_ENV_FILE for this command.",
        )
