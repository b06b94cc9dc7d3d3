"""`dealreg sandbox`: what it asks of the control door, and how it words the answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Dealreg, answer

RECORD = {
    "object": "Opportunity", "id": "006A", "fields": {"Name": "Lab", "Amount": 5000.0},
    "created_at": "2026-11-24T15:00:00+00:00", "modified_at": "2026-11-24T15:00:00+00:00",
    "created_by": "005A", "modified_by": "005A", "version": 1, "deleted": False,
    "history": [{"field": "Amount", "old": None, "new": 5000.0, "at": "2026-11-24", "by": "005A"}],
}  # fmt: skip


@dataclass
class Door:
    """A control door that gives prepared answers and remembers what it was asked."""

    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)


@pytest.fixture
def door(home: Path) -> Iterator[Door]:
    made = Door()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            made.asked.append((self.command, self.path, body))
            made.tokens.add(self.headers["authorization"])
            status, content = made.answers.get(self.command, (204, None))
            self.send_response(status)
            self.end_headers()
            if content is not None:
                text = content if isinstance(content, str) else json.dumps(content)
                self.wfile.write(text.encode())

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    (home / "env").write_text(
        f"DEALREG_SANDBOX_CONTROL_URL=http://127.0.0.1:{server.server_port}\n"
        "DEALREG_SANDBOX_CONTROL_TOKEN=sesame\n"
    )
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        (
            ("add", "salesforce", "Opportunity", "Name=A=B", "IsPartner=true", "Amount:=5"),
            (
                "POST",
                "/crms/salesforce/objects/Opportunity",
                {"fields": {"Name": "A=B", "IsPartner": True, "Amount": 5}, "user": "Rita"},
            ),
        ),
        (
            ("remove", "hubspot", "deals", "7"),
            ("DELETE", "/crms/hubspot/objects/deals/7?user=Rita", None),
        ),
        (
            ("merge", "dynamics365", "account", "a/1", "b"),
            (
                "POST",
                "/crms/dynamics365/objects/account/a%2F1/merge",
                {"into": "b", "user": "Rita"},
            ),
        ),
    ],
)
def test_a_person_in_the_crm_is_named_in_what_the_door_is_asked(
    dealreg: Dealreg, door: Door, line: tuple[str, ...], asked: tuple[str, str, Any]
) -> None:
    door.answers = {"POST": (201, RECORD)}
    assert dealreg("sandbox", *line, "--user", "Rita").exit_code == 0
    assert door.asked == [asked]
    assert door.tokens == {"Bearer sesame"}


def test_an_edit_keeps_numbers_where_the_field_holds_one_and_text_elsewhere(
    dealreg: Dealreg, door: Door
) -> None:
    door.answers = {"GET": (200, RECORD), "PATCH": (200, RECORD)}
    line = ("edit", "salesforce", "Opportunity", "006A", "Amount=7000", "Name=42", "Phone=007")
    assert dealreg("sandbox", *line).exit_code == 0
    assert door.asked[-1][2]["fields"] == {"Amount": 7000, "Name": "42", "Phone": "007"}


@pytest.mark.parametrize("wrong", ["Amount", "=5", "Amount:=five"])
def test_a_value_that_cannot_be_read_is_refused_before_anything_is_changed(
    dealreg: Dealreg, door: Door, wrong: str
) -> None:
    done = dealreg("sandbox", "add", "salesforce", "Opportunity", wrong)
    assert done.exit_code == 1
    assert door.asked == []


def test_records_are_filtered_by_the_door_and_listed_with_what_was_asked_for(
    dealreg: Dealreg, door: Door
) -> None:
    door.answers = {"GET": (200, {"count": 1, "records": [RECORD]})}
    line = ("sandbox", "records", "salesforce", "Opportunity", "--where", "Amount=5000.0")
    assert answer(dealreg(*line, "--json")) == [RECORD]
    assert door.asked[0][1] == "/crms/salesforce/objects/Opportunity?Amount=5000.0"
    assert dealreg(*line).stdout.splitlines()[1].split()[:3] == ["006A", "Lab", "5000.0"]


def test_one_record_is_shown_with_its_history(dealreg: Dealreg, door: Door) -> None:
    door.answers = {"GET": (200, RECORD)}
    shown = dealreg("sandbox", "records", "salesforce", "Opportunity", "006A").stdout
    assert "History" in shown
    assert "Amount  5000.0" in shown


def test_a_fault_is_worded_with_how_to_end_it(dealreg: Dealreg, door: Door) -> None:
    door.answers = {"POST": (201, {})}
    said = dealreg("sandbox", "fault", "hubspot", "slow", "--seconds", "2").stdout
    assert "dealreg sandbox clear hubspot" in said
    assert door.asked[0][2] == {
        "kind": "slow", "path": "", "method": "", "remaining": None, "seconds": 2.0,
    }  # fmt: skip
    assert dealreg("sandbox", "clear", "hubspot").exit_code == 0
    assert door.asked[1][:2] == ("DELETE", "/crms/hubspot/faults")


@pytest.mark.parametrize(("switch", "on"), [("on", True), ("off", False)])
def test_webhooks_are_switched(dealreg: Dealreg, door: Door, switch: str, *, on: bool) -> None:
    door.answers = {"PUT": (200, {"on": on})}
    assert answer(dealreg("sandbox", "webhooks", "hubspot", switch, "--json")) == {"on": on}
    assert door.asked == [("PUT", "/crms/hubspot/webhooks", {"on": on})]


def test_the_journal_is_a_table_of_requests(dealreg: Dealreg, door: Door) -> None:
    entry = {"at": "2026-11-24", "method": "GET", "path": "/x", "status": 200, "seconds": 0.1}
    door.answers = {"GET": (200, {"total": 1, "requests": [entry]})}
    assert answer(dealreg("sandbox", "journal", "hubspot", "--last", "5", "--json")) == [entry]
    assert door.asked == [("GET", "/crms/hubspot/requests?last=5", None)]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((404, {"error": "no CRM 'zoho'"}), "no CRM 'zoho'"),
        ((422, {"error": "bad value"}), "bad value"),
        ((500, "<html>"), "500"),
        ((200, "<html>"), "not in JSON"),
    ],
)
def test_a_refusal_of_the_door_is_told_in_its_own_words(
    dealreg: Dealreg, door: Door, given: tuple[int, Any], told: str
) -> None:
    door.answers = {"GET": given}
    done = dealreg("sandbox", "journal", "zoho")
    assert done.exit_code == 1
    assert told in done.stderr


def test_without_a_sandbox_it_is_said_how_to_start_one(dealreg: Dealreg, home: Path) -> None:
    assert "dealreg serve --sandbox" in dealreg("sandbox", "clear", "hubspot").stderr
    (home / "env").write_text("DEALREG_SANDBOX_CONTROL_URL=http://127.0.0.1:9\n")
    done = dealreg("sandbox", "clear", "hubspot")
    assert done.exit_code == 1
    assert "dealreg serve --sandbox" in done.stderr
