"""The door itself: where it listens, what every answer carries, and what no log line holds."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cli.processes import bind
from config.settings import Settings, load_settings
from sandbox.serving import Running
from tests.integration.web.conftest import Crm, Door, Timepiece, crm_at, numbers, serving

#: What is asked, and the status of the answer.
ANSWERS = (
    ("GET", "/webhooks/salesforce/secret", 405),
    ("PUT", "/webhooks/salesforce", 405),
    ("POST", "/healthz", 405),
    ("DELETE", "/readyz", 405),
    ("POST", "/metrics", 405),
    ("GET", "/", 404),
    ("GET", "/healthz/", 404),
    ("POST", "/webhooks", 404),
    ("POST", "/webhooks/salesforce/secret/more", 404),
    ("POST", "/webhooks/nobody", 404),
    ("POST", "/webhooks/hubspot", 401),
    ("GET", "/healthz", 200),
    ("HEAD", "/readyz", 200),
    ("GET", "/metrics", 200),
)


@pytest.fixture
def migrated_url(migrated_sqlite_url: str) -> str:
    """One store is enough: none of this is about it."""
    return migrated_sqlite_url


def test_a_connection_that_is_off_or_unusable_is_told(
    settings: Settings, switched_off: Callable[[str], Path], timepiece: Timepiece
) -> None:
    variables = dict(settings.variables)
    del variables["DEALREG_SANDBOX_HUBSPOT_URL"]
    config = switched_off("dynamics")
    with serving(replace(settings, variables=variables, config_dir=config), timepiece) as door:
        answer = door.get("/readyz")
        assert answer.status_code == 200
        states = {"dynamics": "off", "hubspot": "unusable", "salesforce": "ready"}
        assert answer.json()["connections"] == states
        assert numbers(door)["dealreg_connection_usable", "hubspot"] == 0
        assert numbers(door)["dealreg_connection_usable", "salesforce"] == 1


def test_a_store_without_tables_is_not_ready(
    tmp_path: Path, running: Running, sqlite_url: str, timepiece: Timepiece
) -> None:
    given = {"DEALREG_HOME": str(tmp_path), "DEALREG_DATABASE_URL": sqlite_url}
    with serving(load_settings(given | running.environment()), timepiece) as door:
        assert door.get("/readyz").json()["tables"] == "outdated"


def test_made_up_connections_do_not_become_a_metric_each(door: Door) -> None:
    for name in ("one", "two"):
        door.session.post(f"{door.url}/webhooks/{name}", timeout=20)
    scraped = numbers(door)
    counted = {label for name, label in scraped if name == "dealreg_webhook_deliveries_total"}
    assert counted == {"unknown"}
    assert scraped["dealreg_webhook_deliveries_total", "unknown"] == 2


def test_every_answer_carries_the_security_headers_and_no_banner(door: Door) -> None:
    for method, path, status in ANSWERS:
        answer = door.session.request(method, door.url + path, timeout=20, allow_redirects=False)
        assert (method, path, answer.status_code) == (method, path, status)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert "server" not in answer.headers


def test_the_door_listens_where_it_was_told_and_nowhere_else(door: Door) -> None:
    port = urlsplit(door.url).port or 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), 5)


def test_an_answer_leaves_at_once_though_its_head_is_not_confirmed() -> None:
    with bind("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_hubspot_signs_the_public_address_of_the_door(
    running: Running, settings: Settings, timepiece: Timepiece
) -> None:
    public = "https://deals.acme.example/dealreg"
    crm = crm_at(running, "hubspot", public)
    record_id, delivery = crm.delivery()
    with serving(settings, timepiece) as door:
        here = replace(delivery, url=delivery.url.replace(public, door.url))
        assert door.post(here).status_code == 401
    with serving(replace(settings, public_url=public), timepiece) as door:
        here = replace(delivery, url=delivery.url.replace(public, door.url))
        assert door.post(here).ok
        assert set(door.inbox(crm)) == {record_id}


def test_no_log_line_holds_a_webhook_secret_or_what_a_webhook_says(
    crm: Crm,
    door: Door,
    log: io.StringIO,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Taken, refused, broken or put aside in vain: all of it leaves its trace, without these."""
    record_id, delivery = crm.delivery()
    doors = [f"{door.url}/webhooks/{crm.connection}/{crm.secret}?code={crm.secret}"]
    doors += [f"{door.url}/nowhere/{crm.secret}", f"{doors[0]}\x00", delivery.url]
    for address in doors:
        door.post(replace(delivery, url=address))
        door.post(replace(delivery, url=address, body=b"<"))
        door.session.get(address, timeout=20)
    with socket.create_connection(("127.0.0.1", urlsplit(door.url).port or 0), 20) as raw:
        raw.sendall(f"POST /{crm.secret} with nonsense\r\n\r\n".encode())
        raw.recv(4096)
    monkeypatch.setattr(door.runtime.database.ids, "new", lambda: "the same id")
    door.pin(crm, "another org")
    assert [door.post(delivery).status_code // 100 for _ in range(2)] == [2, 5]
    logged = log.getvalue() + "".join(capfd.readouterr())
    assert "webhook rejected" in logged
    assert "request failed" in logged
    assert not [word for word in (crm.secret, record_id, "Curlew") if word in logged]
