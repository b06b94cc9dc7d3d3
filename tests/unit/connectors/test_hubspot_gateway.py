"""How the gateway reads odd answers and keeps its connection, against a server of canned answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from connectors.errors import CrmUnavailable
from connectors.hubspot.connector import HubSpotConnector
from connectors.hubspot.pacing import Pace
from connectors.port import ConnectionSettings, UpdateItem
from registration_core.contracts import ConnectionName

#: Told with every answer: nothing is left of the ten-second window.
USED_UP = {
    "X-HubSpot-RateLimit-Max": "100",
    "X-HubSpot-RateLimit-Remaining": "0",
    "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
}

#: A definition of a property and a record at once, so that it answers every call.
ROW = {"id": "512", "name": "dealname", "type": "string", "updatedAt": "2026-11-24T09:00:00Z"}


class Server(ThreadingHTTPServer):
    """Answers every call alike, and counts the connections that were made to it."""

    daemon_threads = True
    connections = 0
    body = json.dumps({"results": [ROW], "total": 1}).encode()

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    """One connection to the server."""

    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        self.server.connections += 1
        super().setup()

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        for name, value in {**self.server.headers, "Content-Length": len(self.server.body)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(self.server.body)

    do_POST = do_GET  # noqa: N815 - the same

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with closing(Server()) as started:
        yield started


@pytest.fixture
def waits() -> list[float]:
    """The pauses that were made."""
    return []


@pytest.fixture
def hubspot(server: Server, waits: list[float]) -> HubSpotConnector:
    settings = ConnectionSettings(
        name=ConnectionName("hubspot"),
        environment="sandbox",
        base_url=f"http://127.0.0.1:{server.server_port}",
        credentials={"access_token": "a-token"},
    )
    pace = Pace(clock=lambda: sum(waits), pause=waits.append)
    return HubSpotConnector(settings, lambda: datetime(2026, 11, 24, tzinfo=UTC), pace=pace)


def test_html_in_place_of_an_answer_to_a_write_may_have_happened_and_to_a_read_has_not(
    server: Server, hubspot: HubSpotConnector
) -> None:
    hubspot.describe("deals")
    server.body = b"<html>Please sign in to the network.</html>"
    with pytest.raises(CrmUnavailable, match="200 with something that is not JSON") as caught:
        hubspot.update("deals", [UpdateItem("512", {"dealname": "After"})])
    assert caught.value.may_have_happened
    with pytest.raises(CrmUnavailable) as caught:
        hubspot.describe("companies")
    assert not caught.value.may_have_happened


def test_every_kind_of_call_goes_through_one_connection(
    server: Server, hubspot: HubSpotConnector
) -> None:
    for _ in range(3):
        hubspot.describe("deals", fresh=True)
        hubspot.read("deals", ["512"], ())
        hubspot.count("deals", ())
        hubspot.changes("deals", (), None)
        hubspot.update("deals", [UpdateItem("512", {"dealname": "After"})])
    assert server.connections == 1


def test_a_record_without_an_id_is_no_record(server: Server, hubspot: HubSpotConnector) -> None:
    hubspot.describe("deals")
    server.body = b'{"results": []}'
    with pytest.raises(CrmUnavailable, match="not in the documented shape"):
        hubspot.read("deals", ["512"], ())


def test_calls_are_spaced_by_what_the_answer_before_said_is_left(
    server: Server, hubspot: HubSpotConnector, waits: list[float]
) -> None:
    hubspot.describe("deals", fresh=True)
    hubspot.describe("deals", fresh=True)
    assert waits == []
    server.headers = USED_UP
    hubspot.describe("deals", fresh=True)
    hubspot.describe("deals", fresh=True)
    assert len(waits) > 1
