"""What operators see: health, readiness, metrics; and what nobody sees, secrets in a log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text, update

from sandbox.serving import Running
from sync.ledger.tables import ConnectionStateRow, CursorRow, DeadLetterRow
from tests.integration.web.conftest import Crm, Door, crm_at, numbers

READY = {"dynamics": "ready", "hubspot": "ready", "salesforce": "ready"}


@contextmanager
def away(door: Door) -> Iterator[None]:
    """Take the store away from a running server, and give it back."""
    engine = door.runtime.database.engine
    engine.dispose()
    if engine.dialect.name == "sqlite":
        file = Path(engine.url.database or "")
        kept = file.rename(file.with_name("away"))
        file.mkdir()
        yield
        file.rmdir()
        kept.rename(file)
        return
    server = engine.url.set(drivername="postgresql", database="postgres")
    name = sql.Identifier(engine.url.database or "")
    with psycopg.connect(server.render_as_string(hide_password=False), autocommit=True) as boss:
        command = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        boss.execute(command.format(name, sql.SQL("false")))
        boss.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            [engine.url.database],
        )
        yield
        boss.execute(command.format(name, sql.SQL("true")))


def test_without_its_store_the_door_says_so_and_crms_send_again(
    running: Running, door: Door
) -> None:
    crm = crm_at(running, "dynamics365", door.url)
    record_id, delivery = crm.delivery()
    with away(door):
        answer = door.post(delivery)
        assert (answer.status_code, answer.content) == (503, b"not taken, send it again")
        assert door.get("/healthz").status_code == 200
        ready = door.get("/readyz")
        assert ready.status_code == 503
        assert ready.json() == {
            "ready": False,
            "store": "away",
            "tables": "unknown",
            "connections": dict.fromkeys(READY, "unknown"),
        }
        assert numbers(door)["dealreg_store_up", ""] == 0
    assert door.inbox(crm) == {}
    assert door.post(delivery).ok
    assert set(door.inbox(crm)) == {record_id}
    assert door.get("/readyz").json()["ready"]


def test_a_process_with_store_and_tables_is_alive_and_ready(door: Door) -> None:
    assert (door.get("/healthz").status_code, door.get("/healthz").json()) == (
        200,
        {"status": "alive"},
    )
    answer = door.get("/readyz")
    assert answer.status_code == 200
    expected = {"ready": True, "store": "answers", "tables": "current", "connections": READY}
    assert answer.json() == expected


@pytest.mark.parametrize(
    "change", ["DROP TABLE alembic_version", "UPDATE alembic_version SET version_num = '0030'"]
)
def test_tables_of_an_earlier_version_make_the_process_unready(door: Door, change: str) -> None:
    with door.runtime.database.begin() as unit:
        unit.session.execute(text(change))
    answer = door.get("/readyz")
    assert (answer.status_code, answer.json()["tables"]) == (503, "outdated")


def test_a_process_goes_on_taking_webhooks_while_a_later_version_takes_over(door: Door) -> None:
    with door.runtime.database.begin() as unit:
        unit.session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    answer = door.get("/readyz")
    assert (answer.status_code, answer.json()["tables"]) == (200, "newer")


def test_a_paused_connection_is_told_and_does_not_make_the_process_unready(
    running: Running, door: Door
) -> None:
    crm = crm_at(running, "hubspot", door.url)
    door.pin(crm, crm.org.org_id)
    with door.runtime.database.begin() as unit:
        pause = unit.now + timedelta(minutes=5)
        unit.session.execute(update(ConnectionStateRow).values(paused_until=pause))
    answer = door.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["connections"] == {**READY, "hubspot": "paused"}
    assert numbers(door)["dealreg_connection_paused", "hubspot"] == 1


def test_metrics_tell_how_the_store_stands_at_the_scrape(crm: Crm, door: Door) -> None:
    before = numbers(door)
    assert before["dealreg_store_up", ""] == 1
    assert before["dealreg_inbox_due", crm.connection] == 0
    assert before["dealreg_dead_letters", ""] == 0
    assert ("dealreg_accounts_age_seconds", crm.connection) not in before
    record_id, delivery = crm.delivery()
    door.post(delivery)
    with door.runtime.database.begin() as unit:
        unit.session.add(
            CursorRow(
                connection=crm.connection, object=crm.table, cursor="secret-cursor",
                as_of=unit.now - timedelta(seconds=90), version=1,
            )
        )  # fmt: skip
        unit.session.add(
            DeadLetterRow(
                id=unit.ids.new(), kind="pull", connection=crm.connection, registration_id=None,
                object=crm.table, record_id=record_id, payload={}, code="x",
                reason="Curlew Robotics Inc. is odd", hint="", state="open", created_at=unit.now,
                settled_at=None,
            )
        )  # fmt: skip
    after = numbers(door)
    assert after["dealreg_inbox_due", crm.connection] == 1
    assert after["dealreg_dead_letters", ""] == 1
    assert 90 <= after["dealreg_accounts_age_seconds", crm.connection] < 120
    assert after["dealreg_webhook_deliveries_total", crm.connection] == 1
    told = door.get("/metrics").text + door.get("/readyz").text
    assert not [word for word in (record_id, "Curlew", "secret", crm.org.org_id) if word in told]
