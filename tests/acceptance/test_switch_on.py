"""What goes wrong after the switch, at the command line and against CRMs that speak HTTP.

`DEALS` sets how many deals go wrong at once (`make soak`: 4,000, with the caps as shipped).
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from ruamel.yaml import YAML

from config.settings import SHIPPED_CONFIG_DIR, load_settings
from sandbox.salesforce.engine import SalesforceOrg
from sandbox.serving import Running, start
from sync import wiring
from tests.acceptance import crowd
from tests.acceptance.desk import typed
from tests.factories import add_partners

DEALS = int(os.environ.get("DEALS", "16"))
#: With 4,000 deals these are the caps as shipped.
CAPS = {"same_value_per_hour": DEALS // 8, "won_per_ten_minutes": min(50, DEALS // 8)}
USER = "Sales Rep East"
NAME, MAIL = "Josephine Sample", "jo.sample@customer.example"
GOOD = {
    "qualifying": "[Qualification, Prospecting]",
    "developing": "[Needs Analysis, Value Proposition]",
}

pytestmark = pytest.mark.timeout(3600)


@dataclass
class Desk:
    """Somebody at the command line, with one approved deal in both CRMs."""

    environ: dict[str, str]
    sandbox: Running
    config: Path
    store: Path
    number: str = ""

    @property
    def org(self) -> SalesforceOrg:
        org = self.sandbox.crms["salesforce"].org
        assert isinstance(org, SalesforceOrg)
        return org

    def type(self, *args: str, user: str = "eva", code: int = 0) -> Any:
        """Type a command as an operating-system user; returns its JSON answer."""
        return typed(self.environ, *args, user=user, code=code)

    def seen(self, field: str) -> Counter[object]:
        """Count the values of a field over the opportunities that are ours."""
        rows = self.org.store.rows("Opportunity")
        return Counter(r.fields.get(field) for r in rows if r.fields.get("Dealreg_Id__c"))

    def today(self) -> dict[str, int]:
        """Return the counts of the morning's lines that somebody has to act on."""
        lines = self.type("today", code=3)
        return {line["topic"]: line["count"] for line in lines if line["to_do"]}


@pytest.fixture
def sandbox() -> Iterator[Running]:
    running = start(None)
    yield running
    running.stop()


@pytest.fixture
def desk(tmp_path: Path, sandbox: Running) -> Desk:
    """Salesforce as everybody's home and HubSpot as its mirror; one deal is in both."""
    config = copytree(SHIPPED_CONFIG_DIR, tmp_path / "config")
    (config / "mappings" / "dynamics.yaml").unlink()
    rewrite(config / "connections.yaml", connections)
    rewrite(config / "programs" / "default.yaml", program)
    home = tmp_path / "home"
    environ = {
        "DEALREG_HOME": str(home), "DEALREG_CONFIG_DIR": str(config), **sandbox.environment()
    }  # fmt: skip
    made = Desk(environ, sandbox, config, home / "dealreg.db")
    made.type("db", "upgrade")
    with closing(wiring.build(load_settings(environ))) as runtime:
        add_partners(runtime.database, "p1")
    made.number = made.type(
        "registration", "submit", "--partner", "p1", "--customer", "Zuvalo Meridim Inc.",
        "--country", "US", "--tax-id", "77-1234567", "--deal", "Line 1", "--product", "platform",
        "--amount", "40000", "--currency", "USD", "--contact-name", NAME, "--contact-email", MAIL,
        "--close", f"{datetime.now(UTC) + timedelta(days=60):%Y-%m-%d}",
    )["number"]  # fmt: skip
    made.type("sync", "run")
    made.type("sync", "run")  # takes in what the CRMs have filled in by themselves
    return made


def rewrite(file: Path, change: Any) -> None:
    held = YAML().load(file.read_text())
    change(held)
    with file.open("w") as out:
        YAML().dump(held, out)


def connections(held: Any) -> None:
    del held["connections"]["dynamics"]
    held["connections"]["salesforce"]["limits"] = CAPS


def program(held: Any) -> None:
    held["connections"] = {"homes": [{"connection": "salesforce"}], "mirrors": ["hubspot"]}
    del held["checks"]["freshness_seconds"]["dynamics"]
    for found in held["lists"].values():
        del found["where"]["dynamics"]


def test_a_bad_stage_map_stops_at_its_cap_is_killed_and_undone(desk: Desk) -> None:
    crowd.copy(desk.environ, desk.org, desk.number, DEALS - 1)
    mapping = desk.config / "mappings" / "salesforce.yaml"
    text = mapping.read_text()
    swapped = dict(zip(GOOD, reversed(GOOD.values()), strict=True))
    for stage, theirs in swapped.items():
        text = text.replace(f"{stage}: {GOOD[stage]}", f"{stage}: {theirs}")
    mapping.write_text(text)
    assert desk.type("mapping", "apply", "salesforce", "--yes")["registrations"] == DEALS
    desk.type("sync", "push", "salesforce")
    most = CAPS["same_value_per_hour"]
    assert desk.seen("StageName") == {"Needs Analysis": most, "Qualification": DEALS - most}

    desk.type("stop", "--connection", "salesforce", "--writes", "--reason", "wrong stage map")
    desk.type("sync", "push", "salesforce")
    assert desk.seen("StageName")["Needs Analysis"] == most
    assert desk.today()["changes held"] == DEALS - most

    (item,) = desk.type("held", "list")
    assert (item["cap"], item["records"]) == ("same_value_per_hour", DEALS - most)
    desk.type("held", "discard", item["id"], "--reason", "wrong stage map")
    desk.type("mapping", "rollback", "salesforce", "--yes")
    run = next(r for r in desk.type("sync", "runs") if r["kind"] == "push")
    planned = desk.type("sync", "undo", run["id"], "--dry-run")
    assert [each["kept_because"] for each in planned] == [""] * most
    desk.type("sync", "undo", run["id"])
    desk.type("resume", "--connection", "salesforce", "--yes")
    desk.type("sync", "run")
    desk.type("sync", "run")  # takes note of its own writes
    assert desk.seen("StageName") == {"Qualification": DEALS}
    assert desk.type("held", "list") == []
    assert desk.type("drift", "salesforce")["tally"] == []


def test_a_loader_that_closes_every_deal_waits_in_one_held_item(desk: Desk) -> None:
    crowd.copy(desk.environ, desk.org, desk.number, DEALS - 1)
    desk.type("sync", "run")
    journal = desk.sandbox.crms["hubspot"].journal
    before = journal.total
    for row in desk.org.store.rows("Opportunity"):
        if row.fields.get("Dealreg_Id__c"):
            desk.org.edit("Opportunity", row.id, {"StageName": "Closed Won"}, USER)
    desk.type("sync", "run", code=3)
    (item,) = desk.type("held", "list")
    assert (item["direction"], item["cap"]) == ("pull", "won_per_ten_minutes")
    assert item["records"] == DEALS
    deals = desk.type("registration", "list")
    assert {(deal["state"], deal["stage"]) for deal in deals} == {("approved", "qualifying")}
    calls = journal.last(journal.total - before)
    assert [c for c in calls if c.method != "GET" and "update" in c.path] == []
    assert desk.today()["changes held"] == DEALS


def test_a_store_restored_from_yesterday_pushes_nothing_old(desk: Desk, tmp_path: Path) -> None:
    backup = tmp_path / "backup.db"
    with closing(sqlite3.connect(desk.store)) as live:
        live.execute("VACUUM INTO ?", [str(backup)])
    desk.type("registration", "update", desk.number, "--amount", "45000")
    desk.type("sync", "run")
    assert desk.seen("Amount") == {45000: 1}
    for name in ("dealreg.db", "dealreg.db-wal", "dealreg.db-shm"):
        (desk.store.parent / name).unlink(missing_ok=True)
    backup.rename(desk.store)

    held = desk.type("db", "rebaseline", code=3)
    assert {each["connection"]: each["held"] for each in held} == {"salesforce": 1, "hubspot": 1}
    desk.type("sync", "run", code=3)
    assert desk.seen("Amount") == {45000: 1}
    item = desk.type("held", "list")[0]
    (change,) = desk.type("held", "show", item["id"])["changes"]
    assert change["number"] == desk.number


def test_an_erased_contact_is_found_in_no_table(desk: Desk) -> None:
    assert holding(desk.store) != []
    desk.type("db", "erase", MAIL, NAME, "--yes")
    assert holding(desk.store) == []
    assert desk.type("audit", "verify")["ok"]


def holding(store: Path) -> list[str]:
    """Return the lines of a whole dump of the store that hold the contact."""
    with closing(sqlite3.connect(store)) as live:
        return [line for line in live.iterdump() if MAIL in line.lower() or NAME in line]
