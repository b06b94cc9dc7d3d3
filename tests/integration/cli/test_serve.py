"""`dealreg serve --sandbox` as people start it: one process, three stand-ins, and a clean end."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from cli.demo.stage import DEALREG
from cli.demo.terminal import Terminal
from config.settings import SHIPPED_CONFIG_DIR

PROJECT = Path(__file__).parents[3]
#: Seconds that something may take on a busy machine.
WITHIN_SECONDS = 60.0


class Served:
    """A running `dealreg serve --sandbox`, and commands on the same home."""

    def __init__(self, home: Path, config: Path = SHIPPED_CONFIG_DIR) -> None:
        # The scheduled poll comes once, at the start, so that it does not run into a test.
        own = {"DEALREG_HOME": str(home), "DEALREG_WEB_PORT": "0", "DEALREG_POLL_SECONDS": "86400"}
        own["DEALREG_CONFIG_DIR"] = str(config)
        self._environ = os.environ | own
        self._said, self._logged = home.parent / "said", home.parent / "logged"
        with self._said.open("w") as out, self._logged.open("w") as log:
            self.process = subprocess.Popen(
                [*DEALREG, "serve", "--sandbox"], stdout=out, stderr=log, env=self._environ,
                cwd=PROJECT,
            )  # fmt: skip
        self._terminal = Terminal(self._environ)
        until(lambda: "dealreg status" in self.said, self)

    @property
    def said(self) -> str:
        """What it printed so far."""
        return self._said.read_text()

    @property
    def logged(self) -> str:
        """What it logged so far."""
        return self._logged.read_text()

    @property
    def web(self) -> str:
        """Where the web server is."""
        return next(line.split()[1] for line in self.said.splitlines() if line.startswith("web"))

    @property
    def ports(self) -> list[int]:
        """The ports of the sandbox."""
        return [
            int(port)
            for port in re.findall(r"^(?!web).*127\.0\.0\.1:(\d+)", self.said, re.MULTILINE)
        ]

    def dealreg(self, *line: str) -> Any:
        """Type a command and read its JSON answer."""
        answer = self._terminal.type(shlex.join(line))
        assert answer.code in (0, 3), answer.error
        return answer.data

    def end(self, number: signal.Signals) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(WITHIN_SECONDS)


def until(holds: Callable[[], object], served: Served | None = None) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + WITHIN_SECONDS
    while not holds():
        log = served.logged if served else ""
        assert served is None or served.process.poll() is None, log
        assert time.monotonic() < deadline, f"It took too long.\n{log}"
        time.sleep(0.1)


def _listens(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def _status(address: str, path: str) -> int:
    caller = http.client.HTTPConnection(address.removeprefix("http://"), timeout=10)
    try:
        caller.request("GET", path)
        return caller.getresponse().status
    finally:
        caller.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def served(home: Path) -> Iterator[Served]:
    made = Served(home)
    yield made
    if made.process.poll() is None:
        made.end(signal.SIGTERM)


def _register(served: Served) -> str:
    served.dealreg("partner", "add", "acme", "--name", "Acme Resellers", "--tier", "gold")
    made = served.dealreg(
        "registration", "submit", "--partner", "acme", "--customer", "Avocet Biosciences Inc.",
        "--country", "US", "--tax-id", "84-1190277", "--deal", "Lab", "--product", "platform",
        "--amount", "50000", "--currency", "USD", "--close", f"{time.gmtime().tm_year + 1}-06-30",
    )  # fmt: skip
    return str(made["number"])


def _ended_runs(served: Served) -> set[tuple[str, str]]:
    runs = served.dealreg("sync", "runs")
    return {(run["connection"], run["kind"]) for run in runs if run["finished_at"]}


def _due(served: Served) -> int:
    connections = served.dealreg("status")["connections"]
    return sum(each["inbox_due"] + each["outbox_due"] for each in connections)


def test_a_deal_reaches_the_three_crms_and_is_there_after_a_restart(
    served: Served, home: Path
) -> None:
    assert _status(served.web, "/readyz") == 200
    number = _register(served)
    until(lambda: len(served.dealreg("registration", "show", number)["links"]) == 3, served)
    assert {check["result"] for check in served.dealreg("connection", "check")} <= {"ok", "warning"}
    ports = served.ports
    assert served.end(signal.SIGINT) == 0, served.logged
    assert "Stopping ..." in served.said
    assert not any(_listens(port) for port in ports)
    again = Served(home)
    try:
        shown = again.dealreg("registration", "show", number)
        (link,) = [one for one in shown["links"] if one["connection"] == "salesforce"]
        record = again.dealreg(
            "sandbox", "records", "salesforce", link["object"], link["record_id"]
        )
        assert record["fields"]["Dealreg_Number__c"] == number
    finally:
        assert again.end(signal.SIGTERM) == 0


@contextmanager
def _knocking(address: str) -> Iterator[list[object]]:
    """Ask again and again, on a new connection each time; yields what was no proper answer."""
    bad: list[object] = []
    over = threading.Event()

    def knock() -> None:
        while not over.wait(0.005):
            try:
                status = _status(address, "/healthz")
            except OSError as error:
                bad.append(error)
            else:
                bad.extend([status] if status != 200 else [])

    thread = threading.Thread(target=knock)
    thread.start()
    try:
        yield bad
    finally:
        over.set()
        thread.join()


def _hubspot(served: Served) -> str:
    answer = urllib.request.urlopen(f"{served.web}/readyz", timeout=10)  # noqa: S310 - our own
    return str(json.load(answer)["connections"]["hubspot"])


def test_files_are_read_again_on_sighup_and_nobody_is_refused_meanwhile(
    tmp_path: Path, home: Path
) -> None:
    config = copytree(SHIPPED_CONFIG_DIR, tmp_path / "config")
    connections, program = config / "connections.yaml", config / "programs" / "default.yaml"
    shipped, rules = connections.read_text(), program.read_text()
    last = shipped.rindex("registrations: push")
    served = Served(home, config)
    try:
        with _knocking(served.web) as refused:
            number = _register(served)
            connections.write_text(shipped[:last] + shipped[last:].replace("push", "off", 1))
            served.process.send_signal(signal.SIGHUP)
            until(lambda: _hubspot(served) == "off", served)
            program.write_text("roles: [")
            served.process.send_signal(signal.SIGHUP)
            until(lambda: "not reloaded" in served.logged, served)
            assert _hubspot(served) == "off"
            program.write_text(rules)
            connections.write_text(shipped)
            served.process.send_signal(signal.SIGHUP)
            until(lambda: _hubspot(served) == "ready", served)
            until(lambda: len(served.dealreg("registration", "show", number)["links"]) == 3, served)
        assert refused == []
    finally:
        assert served.end(signal.SIGTERM) == 0, served.logged


def test_a_plan_tells_what_a_push_and_a_pull_would_do_before_they_do_it(served: Served) -> None:
    until(lambda: ("salesforce", "poll") in _ended_runs(served), served)
    number = _register(served)
    until(lambda: len(served.dealreg("registration", "show", number)["links"]) == 3, served)
    plan = ("registration", "plan", number, "salesforce")
    # The webhook of our own create brings the owner; from then on the workers hear nothing more.
    until(lambda: served.dealreg(*plan)["take"] == {}, served)
    served.dealreg("sandbox", "webhooks", "salesforce", "off")
    until(lambda: _due(served) == 0, served)
    agreed = served.dealreg(*plan)
    assert (agreed["number"], agreed["write"], agreed["take"]) == (number, {}, {})
    record = (agreed["object"], agreed["record_id"])
    served.dealreg("sandbox", "edit", "salesforce", *record, "Dealreg_Partner__c=Somebody")
    planned = served.dealreg(*plan)
    assert planned["before"] == {"Dealreg_Partner__c": "Somebody"}
    assert planned["write"] == {"Dealreg_Partner__c": "Acme Resellers"}
    ran = served.dealreg("sync", "run", "salesforce")
    assert [(one["connection"], one["state"]) for one in ran["connections"]] in (
        [("salesforce", "done")],
        [("salesforce", "skipped")],  # the workers were polling it at that moment
    )
    for verb in ("pull", "push"):
        served.dealreg("sync", verb)
    until(
        lambda: (
            served.dealreg("sandbox", "records", "salesforce", *record)["fields"][
                "Dealreg_Partner__c"
            ]
            == "Acme Resellers"
        ),
        served,
    )
    assert served.dealreg("sync", "runs")


def test_a_second_start_on_one_home_is_refused_and_the_sandbox_ends_with_the_first(
    served: Served, home: Path
) -> None:
    environ = os.environ | {"DEALREG_HOME": str(home), "DEALREG_WEB_PORT": "0"}
    done = subprocess.run(
        [*DEALREG, "serve", "--sandbox"], capture_output=True, text=True, env=environ,
        cwd=PROJECT, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "another sandbox is running" in done.stderr
    assert "error: The sandbox did not start." in done.stderr
    ports = served.ports
    assert all(_listens(port) for port in ports)
    served.end(signal.SIGKILL)
    until(lambda: not any(_listens(port) for port in ports))
