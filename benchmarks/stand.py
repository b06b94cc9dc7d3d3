"""The test stand of the sync measurements: servers, sandbox, product processes, made-up deals.

Everything is real but the deals: PostgreSQL or SQLite, Redis, the stand-ins over HTTPS, the
worker, web and clock processes of the Procfile. Changes are written straight into the store, so
that only their way to the CRMs is measured and not the commands that make them.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ruamel.yaml import YAML
from sqlalchemy import func, insert, select, update

from benchmarks.processes import children as processes_below
from benchmarks.processes import command_of
from cli.demo.stage import DEALREG, Stage
from config import connections
from config.settings import SHIPPED_CONFIG_DIR, load_settings
from registration_core import use_cases
from registration_core.contracts import ConnectionName
from registration_core.fields import SalesStage
from registration_core.limits import Limits
from registration_core.model import (
    Customer,
    DisputeState,
    ProtectionState,
    Registration,
    RegistrationState,
)
from registration_core.store import repository
from registration_core.store.tables import CustomerRow, OutboxRow, RegistrationRow
from sync import wiring
from sync.ledger.tables import InboxRow
from sync.process.runtime import Runtime
from tests import servers, stores

SALESFORCE, DYNAMICS, HUBSPOT = "salesforce", "dynamics365", "hubspot"
CRMS = (SALESFORCE, DYNAMICS, HUBSPOT)
#: Name of the connection to each stand-in, as shipped.
CONNECTIONS = {"salesforce": SALESFORCE, "dynamics": DYNAMICS, "hubspot": HUBSPOT}
#: Where a registration of the stand is in each CRM: object, key field, deal name.
PLACES = {
    SALESFORCE: ("Opportunity", "Dealreg_Id__c", "Name"),
    DYNAMICS: ("dr_dealregistration", "dr_dealregid", "dr_dealname"),
    HUBSPOT: ("deals", "dealreg_id", "dealname"),
}
PROCESSES: Mapping[str, Sequence[str]] = {
    "web": (*DEALREG, "serve", "--only", "web"),
    "clock": (*DEALREG, "clock"),
}
#: A user that every stand-in knows.
REP = "Sales Rep East"
#: How long each stand-in takes to answer.
ANSWER_SECONDS = 0.02
#: No scheduled poll falls into a measurement of something else.
NEVER_POLL = 86_400


class Overdue(Exception):
    """Something that a measurement waits for did not happen."""


@dataclass(frozen=True)
class Stand:
    """Everything that runs, and this process's own runtime on the same store."""

    stage: Stage
    runtime: Runtime
    redis_url: str
    sandbox_pid: int

    def control(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Ask the sandbox's control door."""
        variables = load_settings(self.stage.environ).variables
        request = urllib.request.Request(  # noqa: S310 - the sandbox's own address
            variables["DEALREG_SANDBOX_CONTROL_URL"] + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {variables['DEALREG_SANDBOX_CONTROL_TOKEN']}"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def calls(self, crm: str) -> int:
        """Return how many requests a stand-in has answered so far."""
        return int(self.control("GET", f"/crms/{crm}/requests?last=1")["total"])

    def records(self, crm: str) -> dict[str, Any]:
        """Return the stand's records of a CRM by registration id; `Overdue` if one is doubled."""
        object_name, key, _ = PLACES[crm]
        found: dict[str, Any] = {}
        for record in self.control("GET", f"/crms/{crm}/objects/{object_name}")["records"]:
            registration_id = record["fields"].get(key)
            if registration_id in found:
                raise Overdue(f"{crm} holds {registration_id} twice")
            if registration_id:
                found[registration_id] = record
        return found

    def webhooks(self, *, on: bool) -> None:
        """Let the stand-ins tell of changes, or not."""
        for crm in CRMS:
            self.control("PUT", f"/crms/{crm}/webhooks", {"on": on})

    def seed(
        self, count: int, start: int = 0, owners: Mapping[ConnectionName, str] | None = None
    ) -> list[str]:
        """Make approved, converted registrations that no CRM holds yet; returns their ids.

        They are numbered from `start` on, and have these owners in the CRMs.
        """
        numbers = range(start, start + count)
        made = [replace(_registration(self.runtime, n), owners=owners or {}) for n in numbers]
        with self.runtime.database.begin() as unit:
            known = {p.code: p for p in repository.partners(unit.session)}
            partner = known.get("stand") or use_cases.add_partner(
                unit, code="stand", name="Stand Partners", tier="gold", email=""
            )
            customers = [
                {"id": r.customer_id, "name": r.customer.name, "created_at": unit.now} for r in made
            ]
            unit.session.execute(insert(CustomerRow), customers)
            for each in made:
                values = repository._columns(each)  # noqa: SLF001 - rows as the core writes them
                values |= {"partner_id": partner.id, "token": each.id}
                unit.session.execute(insert(RegistrationRow).values(**values))
            unit.session.execute(insert(OutboxRow), list(_outbox(made, unit.now)))
            unit.nudges |= {f"push:{name}" for name in CONNECTIONS}
        return [each.id for each in made]

    def change(self, ids: Sequence[str], amount: Decimal) -> None:
        """Give registrations another amount and make them due at every CRM, in one commit."""
        ordered = sorted(ids)  # held in the order in which workers hold them
        with self.runtime.database.begin() as unit:
            for start in range(0, len(ordered), 500):
                few = ordered[start : start + 500]
                unit.lock_all(RegistrationRow, few)
                unit.session.execute(
                    update(RegistrationRow)
                    .where(RegistrationRow.id.in_(few))
                    .values(amount=amount, version=RegistrationRow.version + 1)
                    .execution_options(synchronize_session=False)
                )
                unit.session.execute(
                    update(OutboxRow)
                    .where(OutboxRow.registration_id.in_(few))
                    .values(wanted=OutboxRow.wanted + 1, due_at=unit.now)
                    .execution_options(synchronize_session=False)
                )
            unit.nudges |= {f"push:{name}" for name in CONNECTIONS}

    def nudge(self) -> None:
        """Tell the workers of what is due."""
        self.runtime.database.on_work({f"push:{name}" for name in CONNECTIONS})

    def noticed(self) -> int:
        """Return how many records the CRMs told of that were not read yet."""
        unread = select(func.count()).select_from(InboxRow).where(InboxRow.read < InboxRow.noticed)
        with self.runtime.database.read() as session:
            return int(session.scalar(unread) or 0)

    def deal_names(self, ids: Sequence[str]) -> dict[str, str]:
        """Return the names of registrations by id."""
        named = select(RegistrationRow.id, RegistrationRow.deal_name)
        with self.runtime.database.read() as session:
            rows = session.execute(named.where(RegistrationRow.id.in_(ids)))
            return {row.id: row.deal_name for row in rows}

    def due(self, connection: str | None = None) -> int:
        """Return how many outbox rows are not done."""
        open_rows = (
            select(func.count()).select_from(OutboxRow).where(OutboxRow.done < OutboxRow.wanted)
        )
        if connection:
            open_rows = open_rows.where(OutboxRow.connection == connection)
        with self.runtime.database.read() as session:
            return int(session.scalar(open_rows) or 0)

    def require_clean(self) -> None:
        """Raise `Overdue` if any row died or waits for a person: the figures would be wrong."""
        with self.runtime.database.read() as session:
            stuck = session.execute(
                select(OutboxRow.connection, OutboxRow.state, OutboxRow.reason)
                .where(OutboxRow.state != "open")
                .limit(1)
            ).first()
        if stuck is not None:
            raise Overdue(f"a row of {stuck.connection} is {stuck.state}: {stuck.reason}")


def wait_until(holds: Callable[[], bool], what: str, seconds: float, look: float = 0.05) -> float:
    """Wait until something holds; returns how long it took, `Overdue` if too long."""
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > seconds:
            raise Overdue(f"{what}: not within {seconds:.0f} s")
        time.sleep(look)
    return time.monotonic() - began


@contextmanager
def opened(
    store: str, processes: Mapping[str, Sequence[str]] = PROCESSES, poll_seconds: int = NEVER_POLL
) -> Iterator[Stand]:
    """Start servers and sandbox, migrate the store; the product's processes are not started yet."""
    with ExitStack() as undo:
        home = Path(undo.enter_context(TemporaryDirectory(dir=servers.fast_directory())))
        redis_url = undo.enter_context(servers.redis_server({}))
        variables = {
            "DEALREG_CONFIG_DIR": str(_without_limits(home / "config")),
            "DEALREG_REDIS_URL": redis_url,
            "DEALREG_POLL_SECONDS": str(poll_seconds),
            "DEALREG_LOG_LEVEL": "warning",
        }
        if store == "postgresql":
            server = undo.enter_context(servers.postgres_server({}))
            variables["DEALREG_DATABASE_URL"] = undo.enter_context(
                servers.postgres_database(server, "dealreg_stand")
            )
        stage = undo.enter_context(Stage(home, processes, variables))
        settings = load_settings(stage.environ)
        stores.migrate(settings.database_url)
        runtime = wiring.build(settings)
        undo.callback(runtime.close)
        sandbox = next(p for p in processes_below(os.getpid()) if "sandbox" in command_of(p))
        stand = Stand(stage, runtime, redis_url, sandbox)
        for crm in CRMS:
            slow = {"kind": "slow", "seconds": ANSWER_SECONDS}
            stand.control("POST", f"/crms/{crm}/faults", slow)
        yield stand


def _without_limits(folder: Path) -> Path:
    """Copy the shipped configuration, with every cap lifted: here much moves on purpose.

    No bulk job takes a backlog together either: what is measured is the work of every day.
    """
    shutil.copytree(
        SHIPPED_CONFIG_DIR, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__")
    )
    yaml, file = YAML(), folder / connections.FILE_NAME
    described = yaml.load(file)
    for connection in described["connections"].values():
        connection |= {"limits": {cap.name: 0 for cap in fields(Limits)}, "bulk_from": 0}
    yaml.dump(described, file)
    return folder


def _registration(runtime: Runtime, number: int) -> Registration:
    now = datetime.now(UTC)
    rng = random.Random(number)
    return Registration(
        id=runtime.database.ids.new(), number=f"DR-{number:08d}", program="default",
        partner_id="", submitted_by="stand",
        customer=Customer(f"Customer {number} Ltd", "US"), customer_id=runtime.database.ids.new(),
        deal_name=f"Deal {number}", product_line="platform",
        amount=Decimal(rng.randrange(5_000, 90_000)), currency="USD",
        expected_close_on=date(2031, 1 + number % 12, 15), description="",
        state=RegistrationState.APPROVED, sales_stage=SalesStage.QUALIFYING,
        protection_state=ProtectionState.ACTIVE, dispute_state=DisputeState.NONE,
        submitted_at=now, receipt_seq=1_000_000 + number, match_keys_changed_at=now,
        created_at=now, updated_at=now, version=1, protection_starts_on=now.date(),
        protection_ends_on=date(2031, 12, 31), converted_at=now,
        roles=runtime.program("default").roles_for("US"),
    )  # fmt: skip


def _outbox(made: Sequence[Registration], now: datetime) -> Iterator[dict[str, Any]]:
    for each in made:
        for name in CONNECTIONS:
            yield {
                "registration_id": each.id, "connection": ConnectionName(name), "wanted": 1,
                "done": 0, "reason": "", "state": "open", "attempts": 0, "due_at": now,
                "changed_at": now,
            }  # fmt: skip
