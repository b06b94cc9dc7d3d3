"""`python -m sandbox` as a person runs it: settings file, restart, violent death, taken ports."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
import requests

from sandbox.faults import Fault, FaultKind
from sandbox.serving import PortInUseError, start
from sandbox.state import StateFolder

ROOT = Path(__file__).parents[3]
PREFIX = "DEALREG_SANDBOX_"
EXPECTED = {
    *("CA_FILE", "CONTROL_URL", "CONTROL_TOKEN"),
    *("SALESFORCE_URL", "SALESFORCE_CLIENT_ID", "SALESFORCE_CLIENT_SECRET"),
    *("SALESFORCE_WEBHOOK_SECRET", "DYNAMICS_URL", "DYNAMICS_AUTHORITY", "DYNAMICS_TENANT_ID"),
    *("DYNAMICS_CLIENT_ID", "DYNAMICS_CLIENT_SECRET", "DYNAMICS_WEBHOOK_SECRET"),
    *("HUBSPOT_URL", "HUBSPOT_ACCESS_TOKEN", "HUBSPOT_APP_ID", "HUBSPOT_WEBHOOK_SECRET"),
}


class Process:
    """A sandbox in a process of its own."""

    def __init__(self, folder: Path, base_port: int = 0) -> None:
        self.env_file = folder / "env"
        self.env_file.unlink(missing_ok=True)
        options = ["--state", str(folder / "state"), "--base-port", str(base_port)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sandbox", *options, "--env-file", str(self.env_file)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def settings(self) -> dict[str, str]:
        """Wait for the settings file and read it."""
        deadline = time.monotonic() + 30
        while not self.env_file.exists():
            assert self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() < deadline, "the sandbox wrote no settings"
            time.sleep(0.02)
        lines = self.env_file.read_text().splitlines()
        pairs = (line.partition("=") for line in lines)
        return {name.removeprefix(PREFIX): value for name, _, value in pairs}

    def end(self, number: int) -> tuple[int, str, str]:
        """Send a signal and return exit code and what was printed."""
        os.kill(self.process.pid, number)
        printed, complaints = self.process.communicate(timeout=20)
        return self.process.returncode, printed, complaints


def control(settings: dict[str, str], method: str, path: str, **rest: object) -> dict[str, object]:
    """Call the control door of a sandbox."""
    headers = {"Authorization": f"Bearer {settings['CONTROL_TOKEN']}"}
    with requests.Session() as session:
        session.trust_env = False
        url = settings["CONTROL_URL"] + path
        answer = session.request(method, url, headers=headers, timeout=10, **rest)  # type: ignore[arg-type]
        answer.raise_for_status()
        return dict(answer.json())


def test_records_credentials_and_trust_survive_a_violent_death(tmp_path: Path) -> None:
    first = Process(tmp_path)
    before = first.settings()
    assert set(before) == EXPECTED
    accounts = "/crms/salesforce/objects/Account"
    body = {"fields": {"Name": "Kept Ltd"}, "user": "Sales Rep East"}
    made = control(before, "POST", accounts, json=body)
    authority = Path(before["CA_FILE"]).read_bytes()
    assert first.end(signal.SIGKILL)[0] == -signal.SIGKILL

    second = Process(tmp_path)
    after = second.settings()
    moved = {name for name in before if name.endswith("URL")} | {"DYNAMICS_AUTHORITY"}
    assert {n: v for n, v in after.items() if n not in moved} == {
        n: v for n, v in before.items() if n not in moved
    }
    assert Path(after["CA_FILE"]).read_bytes() == authority
    shown = control(after, "GET", f"{accounts}/{made['id']}")
    assert shown["fields"] == made["fields"]
    assert shown["version"] == made["version"]
    code, printed, complaints = second.end(signal.SIGTERM)
    assert (code, complaints) == (0, "")
    assert [line.split()[0] for line in printed.splitlines()[:4]] == [
        "salesforce",
        "dynamics365",
        "hubspot",
        "control",
    ]
    secrets = [v for n, v in after.items() if n.endswith(("SECRET", "TOKEN"))]
    assert [secret for secret in secrets if secret in printed] == []


def test_a_port_that_is_taken_ends_with_a_clear_message(tmp_path: Path) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = Process(tmp_path, base_port=min(port, 65532))
        _, complaints = process.process.communicate(timeout=30)
    assert process.process.returncode == 1
    assert f"port {port}" in complaints
    assert "--base-port" in complaints
    assert "Traceback" not in complaints


def test_a_state_folder_in_use_ends_with_a_clear_message(tmp_path: Path) -> None:
    with closing(StateFolder(tmp_path / "state")):
        process = Process(tmp_path)
        _, complaints = process.process.communicate(timeout=30)
    assert process.process.returncode == 1
    assert "--state" in complaints
    assert "Traceback" not in complaints


def test_when_one_port_is_taken_nothing_is_left_running(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(PortInUseError):
            start(tmp_path, base_port=taken.getsockname()[1] - 2)
    assert set(threading.enumerate()) <= before
    StateFolder(tmp_path).close()


def test_stopping_twice_is_harmless_and_frees_the_ports(tmp_path: Path) -> None:
    running = start(tmp_path)
    port = int(running.control_url.rpartition(":")[2])
    running.stop()
    running.stop()
    with closing(socket.socket()) as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", port))


def test_a_request_that_takes_long_does_not_hold_up_the_stop() -> None:
    running = start(None)
    hubspot = running.crms["hubspot"]
    hubspot.faults.add(Fault(FaultKind.SLOW, seconds=60))
    with pytest.raises(requests.Timeout):
        requests.get(hubspot.url, timeout=0.2, verify=str(running.ca_file))
    began = time.monotonic()
    running.stop()
    assert time.monotonic() - began < 8
    gc.collect()  # a connection left open would warn, and a warning is an error
