"""What `dealreg serve` refuses before it starts anything, and how it ends."""

from __future__ import annotations

import os
import pty
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner
from starlette.types import Receive, Scope, Send

from cli import processes
from cli.demo.stage import DEALREG
from cli.main import root
from tests.unit.cli.conftest import Dealreg


@pytest.mark.parametrize(
    "line", [("clock",), ("serve", "--only", "clock"), ("serve", "--only", "worker")]
)
def test_a_part_of_its_own_needs_redis_to_reach_the_others(
    dealreg: Dealreg, line: tuple[str, ...]
) -> None:
    done = dealreg(*line)
    assert done.exit_code == 1
    assert "DEALREG_REDIS_URL" in done.stderr


def test_a_port_that_is_taken_is_told_with_the_setting_that_moves_it(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        environ = {"DEALREG_HOME": str(home), "DEALREG_WEB_PORT": port}
        done = CliRunner(env=environ).invoke(root, ["serve"])
    assert done.exit_code == 1
    assert f"Port {port} on 127.0.0.1 cannot be used" in done.stderr
    assert "DEALREG_WEB_PORT" in done.stderr


def test_a_store_that_is_not_set_up_is_not_served(tmp_path: Path) -> None:
    environ = {"DEALREG_HOME": str(tmp_path), "DEALREG_WEB_PORT": "0"}
    done = CliRunner(env=environ).invoke(root, ["serve"])
    assert done.exit_code == 1
    assert "dealreg db upgrade" in done.stderr


def test_the_sandbox_does_not_write_over_settings_of_a_person(home: Path) -> None:
    (home / "env").write_text("DEALREG_SANDBOX_CA_FILE=x\nACME_SALESFORCE_CLIENT_SECRET=precious\n")
    environ = {"DEALREG_HOME": str(home), "DEALREG_WEB_PORT": "0"}
    done = CliRunner(env=environ).invoke(root, ["serve", "--sandbox"])
    assert done.exit_code == 1
    assert "holds settings of yours" in done.stderr
    assert "precious" in (home / "env").read_text()
    assert not (home / "sandbox").exists()


def test_the_sandbox_needs_the_env_file_that_it_writes_to_be_read(home: Path) -> None:
    other = home / "other-env"
    other.write_text("")
    environ = {
        "DEALREG_HOME": str(home), "DEALREG_WEB_PORT": "0", "DEALREG_ENV_FILE": str(other),
    }  # fmt: skip
    done = CliRunner(env=environ).invoke(root, ["serve", "--sandbox"])
    assert done.exit_code == 1
    assert "DEALREG_ENV_FILE" in done.stderr


def test_a_closed_terminal_ends_what_runs_in_it(home: Path) -> None:
    environ = {"DEALREG_HOME": str(home), "DEALREG_WEB_PORT": "0"}
    assert CliRunner(env=environ).invoke(root, ["db", "upgrade"]).exit_code == 0
    process, terminal = pty.fork()
    if process == 0:
        os.execve(DEALREG[0], [*DEALREG, "serve"], os.environ | environ)  # noqa: S606 - it is this
    said = b""
    while b"Ctrl-C stops" not in said:
        said += os.read(terminal, 1000)
    os.close(terminal)
    deadline = time.monotonic() + 30
    while os.waitpid(process, os.WNOHANG) == (0, 0):
        assert time.monotonic() < deadline
        time.sleep(0.05)


async def _deaf(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 204, and know of nothing else."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})


def test_who_is_connected_when_the_web_server_ends_is_heard_out() -> None:
    with processes.bind("127.0.0.1", 0) as listener, ExitStack() as serving:
        serves = serving.enter_context(processes.web_server(_deaf, listener.dup()))
        with socket.create_connection(listener.getsockname()) as early:
            early.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            assert early.recv(1000).startswith(b"HTTP/1.1 204")  # it serves by now
        with socket.create_connection(listener.getsockname(), timeout=10) as late:
            time.sleep(0.2)
            ending = threading.Thread(target=serving.close)
            ending.start()
            time.sleep(0.3)
            late.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            assert late.recv(1000).startswith(b"HTTP/1.1 204")
        ending.join()
    assert not serves()
