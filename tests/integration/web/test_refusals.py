"""Webhooks that are not taken: each is answered so that its sender does the right thing next."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import event

from config.settings import Settings
from sandbox.org import Delivery
from sandbox.serving import Running
from sync.receiving import BODY_BYTES_MAX
from tests.integration.web.conftest import Crm, Door, Timepiece, crm_at, serving, signed_again
from web import webhooks

ACK = b"<Ack>true</Ack>"
MALFORMED = (
    b"",
    b"{}",
    b"[]",
    b"<a/>",
    b"[" * 100_000,
    b"\x00\xff",
    b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
    b'[{"portalId": 1}]',
    b'{"OrganizationId": 7}',
)


@pytest.fixture
def migrated_url(migrated_sqlite_url: str) -> str:
    """One store is enough: what is refused does not reach it."""
    return migrated_sqlite_url


def forged(crm: Crm, delivery: Delivery) -> Delivery:
    """Send what the CRM would, without knowing its secret."""
    if crm.kind == "salesforce":
        return replace(delivery, url=delivery.url.replace(crm.secret, "guessed"))
    if crm.kind == "dynamics365":
        return replace(delivery, headers={**delivery.headers, "x-dealreg-secret": "guessed"})
    return replace(delivery, body=delivery.body.replace(b"creation", b"deletion"))


def test_a_forged_delivery_is_refused(crm: Crm, door: Door) -> None:
    _, delivery = crm.delivery()
    answer = door.post(forged(crm, delivery))
    assert (answer.status_code, answer.content) == (401, b"rejected")
    assert door.inbox(crm) == {}


def test_a_delivery_without_any_proof_is_refused(crm: Crm, door: Door) -> None:
    _, delivery = crm.delivery()
    bare = Delivery(f"{door.url}/webhooks/{crm.connection}", {}, delivery.body)
    assert door.post(bare).status_code == 401
    assert door.inbox(crm) == {}


def test_one_crm_cannot_speak_for_another(crm: Crm, door: Door, running: Running) -> None:
    kinds = list(running.crms)
    other = crm_at(running, kinds[kinds.index(crm.kind) - 1], door.url)
    _, delivery = crm.delivery()
    misled = delivery.url.replace(f"/{crm.connection}", f"/{other.connection}", 1)
    assert 400 <= door.post(replace(delivery, url=misled)).status_code < 500
    assert door.inbox(other) == {}


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_hubspot_delivery_signed_at_another_time_is_refused(
    running: Running, door: Door, timepiece: Timepiece, minutes: int
) -> None:
    hubspot = crm_at(running, "hubspot", door.url)
    _, delivery = hubspot.delivery()
    timepiece.skipped = timedelta(minutes=minutes)
    assert door.post(delivery).status_code == 401
    assert door.inbox(hubspot) == {}
    timepiece.skipped = timedelta(0)
    assert door.post(delivery).ok


def test_a_malformed_body_is_refused_whoever_sends_it(crm: Crm, door: Door) -> None:
    _, delivery = crm.delivery()
    for body in MALFORMED:
        answer = door.post(signed_again(crm, delivery, body))
        assert (answer.status_code, body[:40]) == (400, body[:40])
    assert door.inbox(crm) == {}
    assert door.quarantined() == 0


def test_a_delivery_to_a_connection_that_does_not_exist_is_refused(crm: Crm, door: Door) -> None:
    _, delivery = crm.delivery()
    away = delivery.url.replace(f"/{crm.connection}", "/nobody", 1)
    answer = door.post(replace(delivery, url=away))
    assert (answer.status_code, answer.content) == (404, b"unknown connection")


def test_a_connection_that_is_off_acknowledges_and_keeps_nothing(
    running: Running,
    settings: Settings,
    switched_off: Callable[[str], Path],
    timepiece: Timepiece,
) -> None:
    with serving(replace(settings, config_dir=switched_off("salesforce")), timepiece) as door:
        crm = crm_at(running, "salesforce", door.url)
        _, delivery = crm.delivery()
        assert ACK in door.post(delivery).content
        assert door.inbox(crm) == {}


def test_a_locked_store_makes_the_crm_send_again(running: Running, door: Door) -> None:
    crm = crm_at(running, "dynamics365", door.url)
    _, delivery = crm.delivery()
    engine = door.runtime.database.engine
    event.listen(engine, "connect", lambda c, _: c.execute("PRAGMA busy_timeout=50"))
    engine.dispose()
    other = sqlite3.connect(engine.url.database or "", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    answer = door.post(delivery)
    other.close()
    assert (answer.status_code, answer.content) == (503, b"not taken, send it again")
    assert door.inbox(crm) == {}
    assert door.post(delivery).ok


def test_a_body_of_the_largest_size_is_read_and_one_byte_more_is_not(crm: Crm, door: Door) -> None:
    _, delivery = crm.delivery()
    padding = b" " * (BODY_BYTES_MAX - len(delivery.body))
    for extra, taken in ((b"", True), (b" ", False)):
        answer = door.post(signed_again(crm, delivery, delivery.body + padding + extra))
        assert answer.status_code == (200 if taken else 413)


@pytest.fixture
def raw(door: Door) -> Iterator[socket.socket]:
    """A connection on which anything can be sent."""
    with socket.create_connection(("127.0.0.1", urlsplit(door.url).port or 0), 20) as connection:
        yield connection


def _head(*lines: str) -> bytes:
    return "\r\n".join(("POST /webhooks/hubspot HTTP/1.1", "Host: a", *lines, "", "")).encode()


def _status(raw: socket.socket) -> bytes:
    """Read to the end of the connection, which the server has to end; return the status."""
    answer = b"".join(iter(lambda: raw.recv(4096), b""))
    return answer.split(b" ")[1]


def test_a_body_that_says_it_is_too_large_is_not_waited_for(raw: socket.socket) -> None:
    raw.sendall(_head(f"Content-Length: {webhooks.READ_AWAY_BYTES + 1}"))
    assert _status(raw) == b"413"


def test_a_body_in_pieces_without_a_length_is_cut_off(raw: socket.socket, door: Door) -> None:
    piece = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    raw.sendall(_head("Transfer-Encoding: chunked"))
    # What is still under way when the server hangs up can take the answer with it.
    with contextlib.suppress(ConnectionError):
        for _ in range(webhooks.READ_AWAY_BYTES // 0x8000 + 100):
            raw.sendall(piece)
        _status(raw)
    counted = 'dealreg_webhook_deliveries_total{connection="hubspot",status="4xx"} 1.0'
    assert counted in door.get("/metrics").text


def test_a_body_that_does_not_come_is_not_waited_for_long(
    raw: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "BODY_SECONDS", 0.2)
    raw.sendall(_head("Content-Length: 10") + b"four")
    assert _status(raw) == b"408"


def test_a_sender_that_hangs_up_does_no_harm(raw: socket.socket, crm: Crm, door: Door) -> None:
    raw.sendall(_head("Content-Length: 10") + b"four")
    raw.close()
    _, delivery = crm.delivery()
    assert door.post(delivery).ok
