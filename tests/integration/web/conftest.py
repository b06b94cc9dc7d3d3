"""A real server on a real store, and the three stand-ins that word deliveries to it."""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
import structlog
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import func, select

from cli.processes import bind, web_server
from config.logging import configure_logging
from config.settings import SHIPPED_CONFIG_DIR, LogFormat, LogLevel, Settings, load_settings
from registration_core.contracts import ConnectionName
from sandbox.org import Delivery, Org
from sandbox.records import Event, Json
from sandbox.serving import Running, start
from sync import wiring
from sync.ledger.tables import InboxRow, QuarantineRow
from sync.process.runtime import Runtime
from sync.traffic import connection_state
from web import app

#: Connection, object and name field of each kind.
CRMS = {
    "salesforce": ("salesforce", "Account", "Name"),
    "dynamics365": ("dynamics", "account", "name"),
    "hubspot": ("hubspot", "companies", "name"),
}
USER = "Sales Rep East"


class Timepiece:
    """The clock of stand-ins and store: the real time, moved by what a test skips."""

    def __init__(self) -> None:
        self.skipped = timedelta(0)

    def __call__(self) -> datetime:
        """Tell the time."""
        return datetime.now(UTC) + self.skipped


@pytest.fixture(scope="package")
def timepiece() -> Timepiece:
    return Timepiece()


@pytest.fixture(autouse=True)
def log() -> Iterator[io.StringIO]:
    """What is logged, all of it, in the form that production logs it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging(LogFormat.JSON, LogLevel.DEBUG, stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def _no_time_skipped(timepiece: Timepiece) -> Iterator[None]:
    yield
    timepiece.skipped = timedelta(0)


@pytest.fixture(scope="package")
def running(timepiece: Timepiece) -> Iterator[Running]:
    """The three stand-ins; they send nothing by themselves."""
    sandbox = start(None, clock=timepiece)
    yield sandbox
    sandbox.stop()


@dataclass
class Crm:
    """One CRM whose users change accounts, and the deliveries that tell of it."""

    kind: str
    org: Org
    base: str
    secret: str

    @property
    def connection(self) -> ConnectionName:
        return ConnectionName(CRMS[self.kind][0])

    @property
    def table(self) -> str:
        return CRMS[self.kind][1]

    def add(self, name: str = "Curlew Robotics Inc.") -> str:
        """Add an account as a person would."""
        fields: dict[str, Json] = {CRMS[self.kind][2]: name}
        return self.org.add(self.table, fields, USER).id

    def deliveries(self, change: Callable[[], object]) -> list[Delivery]:
        """Return what the CRM sends of a change."""
        events: list[Event] = []
        self.org.store.on_event(events.append)
        change()
        # Nobody can stop listening, so what others change later lands in a list that is forgotten.
        return self.org.deliveries(list(events), self.base)

    def delivery(self) -> tuple[str, Delivery]:
        """Add an account; return its id and what the CRM sends of it."""
        made: list[str] = []
        sent = self.deliveries(lambda: made.append(self.add()))
        assert len(sent) == 1
        return made[0], sent[0]


@dataclass
class Door:
    """A running web server and what a test may look at behind it."""

    url: str
    runtime: Runtime
    session: requests.Session

    def post(self, delivery: Delivery) -> requests.Response:
        """Send a delivery as its CRM would."""
        return self.session.post(
            delivery.url, data=delivery.body, headers=dict(delivery.headers), timeout=20
        )

    def get(self, path: str) -> requests.Response:
        """Ask."""
        return self.session.get(self.url + path, timeout=20, allow_redirects=False)

    def inbox(self, crm: Crm) -> dict[str, int]:
        """Return how often each record of a connection was noticed, as committed."""
        with self.runtime.database.read() as session:
            rows = session.scalars(
                select(InboxRow).where(InboxRow.connection == crm.connection)
            ).all()
        assert {row.object for row in rows} <= {crm.table}
        return {row.record_id: row.noticed for row in rows}

    def quarantined(self) -> int:
        """Count deliveries that were put aside."""
        with self.runtime.database.read() as session:
            return session.scalar(select(func.count()).select_from(QuarantineRow)) or 0

    def pin(self, crm: Crm, org_id: str) -> None:
        """Let the connection have been pinned to an org by its first call."""
        with self.runtime.database.begin() as unit:
            connection_state.held(unit, crm.connection).org_id = org_id


@pytest.fixture
def settings(tmp_path: Path, running: Running, migrated_url: str) -> Settings:
    """The settings of a process on a migrated store, once for each kind of store."""
    return load_settings(
        {
            "DEALREG_HOME": str(tmp_path),
            "DEALREG_DATABASE_URL": migrated_url,
            **running.environment(),
        }
    )


@pytest.fixture
def switched_off(tmp_path: Path) -> Callable[[str], Path]:
    """Make a copy of the shipped configuration, one connection in it switched off."""

    def edit(off: str) -> Path:
        folder = tmp_path / "config"
        shutil.copytree(SHIPPED_CONFIG_DIR, folder)
        file = folder / "connections.yaml"
        before, name, after = file.read_text().partition(f"  {off}:\n")
        file.write_text(
            before + name + after.replace("registrations: push", "registrations: off", 1)
        )
        return folder

    return edit


@contextlib.contextmanager
def serving(settings: Settings, clock: Timepiece) -> Iterator[Door]:
    """Serve on a free port until the block ends, as `dealreg serve` does."""
    runtime = wiring.build(settings, clock=clock)
    with (
        contextlib.closing(runtime),
        bind(settings.web_host, 0) as listener,
        web_server(app.build(runtime, settings.public_url), listener),
        requests.Session() as session,
    ):
        session.trust_env = False
        yield Door(f"http://127.0.0.1:{listener.getsockname()[1]}", runtime, session)


@pytest.fixture
def door(settings: Settings, timepiece: Timepiece) -> Iterator[Door]:
    """A server that the CRMs call directly."""
    with serving(settings, timepiece) as made:
        yield made


def crm_at(running: Running, kind: str, base: str) -> Crm:
    """Return a CRM that sends to an address."""
    stand_in = running.crms[kind]
    return Crm(kind, stand_in.org, base, stand_in.credentials["webhook_secret"])


@pytest.fixture(params=list(CRMS))
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of CRM in turn."""
    return str(request.param)


@pytest.fixture
def crm(kind: str, running: Running, door: Door) -> Crm:
    """Each CRM in turn, sending to `door`."""
    return crm_at(running, kind, door.url)


def numbers(door: Door) -> dict[tuple[str, str], float]:
    """Scrape; returns each number by its name and its first label, mostly the connection."""
    answer = door.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def signed_again(crm: Crm, delivery: Delivery, body: bytes) -> Delivery:
    """Give a delivery another body, as somebody who knows the CRM's secret could."""
    if crm.kind != "hubspot":
        return replace(delivery, body=body)
    from sandbox.hubspot.webhooks import signature_v3

    stamp = delivery.headers["X-HubSpot-Request-Timestamp"]
    signature = signature_v3(crm.secret, "POST", delivery.url, body, stamp)
    headers = {**delivery.headers, "X-HubSpot-Signature-v3": signature}
    return replace(delivery, headers=headers, body=body)
