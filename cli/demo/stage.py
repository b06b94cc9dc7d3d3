"""Where the story is played: the sandbox and the product as child processes, in their own home.

Nothing here knows the story. The caller's own `DEALREG_*` settings reach no child, so that the
demo never touches anybody's data; every port is a free one.
"""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from cli.processes import SandboxProcess
from registration_core.errors import DealregError

HOST = "127.0.0.1"
#: Seconds a child may take until it answers, and until it has ended.
READY_SECONDS = 30.0
STOP_SECONDS = 10.0
#: Seconds between two polls of a connection; short, because the story waits for one.
POLL_SECONDS = 3

#: How a child says `dealreg`, wherever the checkout and its environment are.
DEALREG = (sys.executable, "-c", "from cli.main import main; main()")
#: Everything in one process, as `dealreg serve` does without further options.
EMBEDDED: Mapping[str, Sequence[str]] = {"serve": (*DEALREG, "serve")}


class StageError(DealregError):
    """A process of the stage did not start, or ended by itself; says where its log is."""

    code = "demo_stage"


class Child:
    """One process and its log; `start` after `kill` begins anew."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name, self.log = name, log
        self._command = tuple(command)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, environ: Mapping[str, str]) -> None:
        """Start it; its output is added to the log."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=dict(environ), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    @property
    def running(self) -> bool:
        """Whether it runs now."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End it as a power cut would: no chance to tidy up."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """Ask it to end, and end it if it does not within `STOP_SECONDS`."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def last_words(self) -> str:
        """Return the end of its log."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-5:])


class Stage(AbstractContextManager["Stage"]):
    """A home with a running sandbox and the product's processes; leaving it ends them all.

    Args:
        home: An empty folder; the caller's to remove.
        processes: Command of each process of the product; one of them must answer HTTP.
        variables: Settings beside the stage's own, for example another store.
    """

    def __init__(
        self,
        home: Path,
        processes: Mapping[str, Sequence[str]] = EMBEDDED,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.home = home
        self.port = _free_port()
        self.environ = _without_settings(os.environ) | {
            "DEALREG_HOME": str(home),
            "DEALREG_WEB_HOST": HOST,
            "DEALREG_WEB_PORT": str(self.port),
            "DEALREG_POLL_SECONDS": str(POLL_SECONDS),
            "NO_PROXY": f"{HOST},localhost",
            "PYTHONUNBUFFERED": "1",
            **(variables or {}),
        }
        logs = home / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        self._children = {
            name: Child(name, command, logs / f"{name}.log") for name, command in processes.items()
        }
        self._lock = threading.Lock()
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        """Start the sandbox, which writes the settings that lead to it; the product not yet."""
        with ExitStack() as undo:
            sandbox = SandboxProcess(self.home, 0, f"http://{HOST}:{self.port}")
            undo.callback(sandbox.stop)
            sandbox.wait_until_ready()
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End every process, in the reverse order of their start."""
        self._undo.close()

    def open(self) -> None:
        """Start the product and wait until it answers; the store must be migrated."""
        for child in self._children.values():
            self._undo.callback(child.stop)
            child.start(self.environ)
        first = next(iter(self._children.values()))
        _wait_for(self.answers, first)

    def restart(self, name: str) -> None:
        """Kill one process of the product where it stands, and start it again at once."""
        with self._lock:
            child = self._children[name]
            child.kill()
            child.start(self.environ)

    def require_running(self) -> None:
        """Raise `StageError` if a process ended that should run."""
        with self._lock:
            for child in self._children.values():
                if not child.running:
                    raise _ended(child)

    def answers(self) -> bool:
        """Whether the product answers HTTP and is ready."""
        door = http.client.HTTPConnection(HOST, self.port, timeout=2)
        try:
            door.request("GET", "/readyz")
            return door.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            door.close()


def _wait_for(holds: Callable[[], bool], child: Child) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not holds():
        if not child.running:
            raise _ended(child)
        if time.monotonic() > deadline:
            raise StageError(
                f"{child.name} did not answer within {READY_SECONDS:.0f} s.\n{child.last_words()}",
                hint=f"Its log: {child.log}",
            )
        time.sleep(0.05)


def _ended(child: Child) -> StageError:
    return StageError(
        f"{child.name} ended by itself.\n{child.last_words()}", hint=f"Its log: {child.log}"
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _without_settings(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if not name.startswith("DEALREG_")}
