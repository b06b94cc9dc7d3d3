"""`dealreg serve`: web, workers and clock in one process, and the sandbox CRMs if asked."""

from __future__ import annotations

import os
import signal
import socket
import threading
from contextlib import AbstractContextManager, ExitStack
from types import FrameType
from typing import TYPE_CHECKING

import click

from cli.frame import Command, Frame, pass_frame
from registration_core.errors import DealregError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.processes import SandboxProcess
    from config.settings import Settings
    from sync.process.runtime import Runtime

#: The parts of the program, each of which can be a process of its own.
PARTS = ("web", "worker", "clock")

#: How often it is looked whether a part has ended by itself, in seconds.
_LOOK_SECONDS = 0.5

_NEXT = """Type in another terminal:
  dealreg connection check
  dealreg partner add acme --name "Acme Resellers" --tier gold
  dealreg registration submit --help
  dealreg status"""


_LOOPBACK, _EVERYWHERE = "127.0.0.1", ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound


@click.command(cls=Command)
@click.option("--sandbox", "with_sandbox", is_flag=True, help="Start the three CRM stand-ins too.")
@click.option("--only", type=click.Choice(PARTS), help="One part alone; the others run elsewhere.")
@pass_frame
def serve(frame: Frame, *, with_sandbox: bool, only: str | None) -> None:
    """Run web, workers and clock in one process until Ctrl-C or SIGTERM.

    On SIGHUP settings and files are read again, and nothing is refused meanwhile. With --sandbox,
    three CRM stand-ins are started beside them, the store is set up, and everything is kept in
    DEALREG_HOME for the next start.
    """
    run(frame, (only,) if only else PARTS, with_sandbox=with_sandbox)


def run(frame: Frame, parts: tuple[str, ...], *, with_sandbox: bool = False) -> None:
    """Run parts of the program until told to stop, and stop them in reverse order.

    On SIGHUP settings and files are read again.
    """
    if with_sandbox and parts != PARTS:
        raise click.UsageError("--sandbox runs everything in one process: leave --only out.")
    stop, reload = threading.Event(), threading.Event()
    with ExitStack() as undo:
        _listen_to_signals(stop, reload, undo)
        settings, listener, child = _prepare(frame, parts, undo, with_sandbox=with_sandbox)
        running = undo.enter_context(_Running(parts, listener))
        running.start(settings)
        _announce(frame, settings, parts, listener)
        while not stop.wait(_LOOK_SECONDS):
            if child is not None and child.ended:
                raise _ended("the sandbox")
            running.require_alive()
            if reload.is_set():
                reload.clear()
                _reload(frame, running)
        frame.out.say("Stopping ...")


def _ended(part: str) -> DealregError:
    return DealregError(f"{part[0].upper()}{part[1:]} has ended.", hint="See the log above.")


def _reload(frame: Frame, running: _Running) -> None:
    """Go on with what settings and files say now; where they cannot be used, as before."""
    import structlog

    log = structlog.get_logger()
    try:
        running.start(frame.reload_settings())
    except DealregError as error:
        log.warning("not reloaded, as before it goes on", reason=str(error))
    else:
        log.info("reloaded")


def _listen_to_signals(stop: threading.Event, reload: threading.Event, undo: ExitStack) -> None:
    """Stop cleanly on the first signal; a second one ends the process at once."""

    def first(number: int, _: FrameType | None) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    def hang_up(_: int, __: FrameType | None) -> None:
        (stop if terminal and not _has_terminal() else reload).set()

    terminal = _has_terminal()
    for number, handler in (
        (signal.SIGINT, first), (signal.SIGTERM, first), (signal.SIGHUP, hang_up)
    ):  # fmt: skip
        undo.callback(signal.signal, number, signal.signal(number, handler))


def _has_terminal() -> bool:
    """Whether there is a terminal that this process would end with."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


class _Running(AbstractContextManager["_Running"]):
    """Parts of the program at work in this process, by one reading of its settings."""

    def __init__(self, parts: tuple[str, ...], listener: socket.socket | None) -> None:
        self._parts, self._listener = parts, listener
        self._undo = ExitStack()
        self._watched: list[tuple[str, Callable[[], bool]]] = []

    def start(self, settings: Settings) -> None:
        """Start the parts; then let those that ran before finish what they do, and end."""
        with ExitStack() as undo:
            watched = _start(settings, self._parts, self._listener, undo)
            fresh = undo.pop_all()
        before, self._undo, self._watched = self._undo, fresh, watched
        before.close()

    def require_alive(self) -> None:
        """Raise if a part has ended by itself."""
        for name, alive in self._watched:
            if not alive():
                raise _ended(name)

    def __exit__(self, *_: object) -> None:
        """End the parts, in the reverse order of their start."""
        self._undo.close()


def _prepare(
    frame: Frame, parts: tuple[str, ...], undo: ExitStack, *, with_sandbox: bool
) -> tuple[Settings, socket.socket | None, SandboxProcess | None]:
    """Take the port, start the sandbox, and see that the store is set up."""
    from cli import db, processes

    settings = frame.settings
    if settings.redis_url is None and "web" not in parts:
        raise DealregError(
            f"{parts[0].capitalize()} alone needs DEALREG_REDIS_URL to reach the other parts.",
            hint="Set it, or run everything in one process: dealreg serve",
        )
    listener = None
    if "web" in parts:
        listener = undo.enter_context(processes.bind(settings.web_host, settings.web_port))
    child = None
    if with_sandbox and listener is not None:
        child = _start_sandbox(frame, settings, listener, undo)
        settings = frame.reload_settings()
        db.upgrade_store(settings)
    return settings, listener, child


def _start_sandbox(
    frame: Frame, settings: Settings, listener: socket.socket, undo: ExitStack
) -> SandboxProcess:
    from cli.processes import SandboxProcess, require_env_file_is_read

    require_env_file_is_read(frame.environ)
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    host, port = listener.getsockname()[:2]
    host = _LOOPBACK if host in _EVERYWHERE else host
    base_port = settings.web_port + 1 if settings.web_port else 0
    child = SandboxProcess(settings.home, base_port, f"http://{_in_url(host)}:{port}")
    undo.callback(child.stop)
    for line in child.wait_until_ready():
        frame.out.say(line)
    return child


def _start(
    settings: Settings, parts: tuple[str, ...], listener: socket.socket | None, undo: ExitStack
) -> list[tuple[str, Callable[[], bool]]]:
    """Start the parts; returns what has to stay alive, and how to see that it does."""
    from cli import db
    from config.logging import configure_logging
    from sync import running, wiring

    db.require_current(settings)
    configure_logging(settings.log_format, settings.log_level)
    runtime: Runtime = wiring.build(settings)
    undo.callback(runtime.close)
    watched: list[tuple[str, Callable[[], bool]]] = []
    if "worker" in parts:
        undo.callback(running.start_workers(runtime, settings.worker_threads).stop)
    if "clock" in parts:
        undo.callback(running.start_clock(runtime).stop)
    if listener is not None:
        from cli.processes import web_server
        from web.app import build

        # The web server closes what it listens to; the next one listens at the same place.
        app = build(runtime, settings.public_url)
        serves = undo.enter_context(web_server(app, listener.dup()))
        watched.append(("the web server", serves))
    return watched


def _announce(
    frame: Frame, settings: Settings, parts: tuple[str, ...], listener: socket.socket | None
) -> None:
    from sqlalchemy.engine import make_url

    store = make_url(settings.database_url).render_as_string(hide_password=True)
    if listener is not None:
        host, port = listener.getsockname()[:2]
        where = f"http://{_in_url(host)}:{port}"
        frame.out.say(f"{'web':<12} {where}  (/healthz, /readyz, /metrics, /webhooks)")
    frame.out.say(f"{'store':<12} {store}")
    frame.out.say(f"{'running':<12} {', '.join(parts)}. Ctrl-C stops.")
    if parts == PARTS:
        frame.out.say(_NEXT)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
