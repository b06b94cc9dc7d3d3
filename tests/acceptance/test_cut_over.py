"""A cut-over as operators live it: another system's file, an org with ten years of opportunities.

Observe, take over, link, a canary, and then everything, typed as commands against the Salesforce
stand-in. `CUT_OVER_ROWS=500` tells the story at its full size (`make soak`).
"""

from __future__ import annotations

import csv
import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from config.settings import load_settings
from registration_core.contracts import Mode
from registration_core.model import SYSTEM
from sandbox.org import Org
from sandbox.records import Json
from sandbox.serving import start
from sync import wiring
from sync.gates import ladder
from tests.acceptance.desk import typed
from tests.factories import add_partners

ROWS = int(os.environ.get("CUT_OVER_ROWS", "20"))
#: So many rows overlap with another partner's, so many have two records that fit alike.
OVERLAPS, AMBIGUOUS = min(6, ROWS // 5), max(ROWS * 40 // 500, 2)
USER = "Sales Rep East"
TODAY = datetime.now(UTC).date()


def company(number: int) -> str:
    """Return a name that is like no other one."""
    rng = random.Random(number)
    syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
    first, second = ("".join(rng.choices(syllables, k=4)).capitalize() for _ in range(2))
    return f"{first} {second} Inc."


@dataclass
class Desk:
    """Somebody at the command line, and the org that their CRM's users work in."""

    org: Org
    environ: dict[str, str]
    #: Ids of the opportunities that belong to rows, by reference; the others are look-alikes.
    right: dict[str, str] = field(default_factory=dict)

    def type(self, *args: str, user: str = "eva", code: int = 0) -> Any:
        """Type a command as an operating-system user; returns its JSON answer."""
        return typed(self.environ, *args, user=user, code=code)

    def opportunities(self) -> dict[str, dict[str, Json]]:
        """Return every opportunity of the org by id."""
        return {row.id: dict(row.fields) for row in self.org.store.rows("Opportunity")}

    def stamped(self) -> set[str]:
        """Return the opportunities that carry a registration's id."""
        return {i for i, fields in self.opportunities().items() if fields.get("Dealreg_Id__c")}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A store that observes the three stand-ins, with five partners."""
    sandbox = start(None)
    environ = {"DEALREG_HOME": str(tmp_path / "home"), **sandbox.environment()}
    made = Desk(sandbox.crms["salesforce"].org, environ)
    made.type("db", "upgrade")
    with closing(wiring.build(load_settings(environ))) as runtime:
        for name in runtime.connectors:
            ladder.demote(runtime, name, SYSTEM, to=Mode.OBSERVE)
        add_partners(runtime.database, *(f"p{number}" for number in range(5)))
    yield made
    sandbox.stop()


def seed(desk: Desk, number: int) -> tuple[str, str]:
    """Add a row's account and opportunity, and where it is ambiguous another one like it."""
    account = desk.org.add(
        "Account", {"Name": company(number), "BillingCountryCode": "US",
                    "Tax_Id__c": f"77-{number:07d}"}, USER,
    ).id  # fmt: skip
    like: dict[str, Json] = {
        "AccountId": account, "Name": f"Line {number}", "StageName": "Qualification",
        "CloseDate": str(TODAY + timedelta(days=60)), "CurrencyIsoCode": "USD",
    }  # fmt: skip
    deal = desk.org.add("Opportunity", like | {"Amount": 40_000 + number}, USER).id
    if number < AMBIGUOUS:
        desk.org.add("Opportunity", like | {"Amount": 1_000}, USER)
    return account, deal


def file(desk: Desk, path: Path) -> Path:
    """Write the other system's file: every second row names its record, six partners overlap."""
    columns = (
        "reference", "partner", "customer", "country", "tax_id", "deal", "product", "amount",
        "currency", "close", "state", "submitted", "protected_from", "protected_until",
        "salesforce_account", "salesforce_record",
    )  # fmt: skip
    with path.open("w", newline="") as out:
        rows = csv.DictWriter(out, columns)
        rows.writeheader()
        for number in range(ROWS - OVERLAPS):
            account, deal = seed(desk, number)
            named = number % 2 == 0 and number >= AMBIGUOUS
            reference = f"OLD-{number}"
            desk.right[reference] = deal
            row = {
                "reference": reference, "partner": f"p{number % 5}", "country": "US",
                "customer": company(number), "tax_id": f"77-{number:07d}",
                "deal": f"Line {number}", "product": "platform", "amount": 40_000 + number,
                "currency": "USD", "close": TODAY + timedelta(days=60), "state": "approved",
                "submitted": TODAY - timedelta(days=60), "protected_from": TODAY - timedelta(days=50),
                "protected_until": TODAY + timedelta(days=40),
                "salesforce_account": account if named else "",
                "salesforce_record": deal if named else "",
            }  # fmt: skip
            rows.writerow(row)
            if number >= ROWS - 2 * OVERLAPS:
                again = {"salesforce_account": "", "salesforce_record": ""}
                other = {"reference": f"TWICE-{number}", "partner": f"p{(number + 1) % 5}"}
                rows.writerow(row | again | other)
    return path


def write_everything_due(desk: Desk) -> None:
    """Push until nothing is due; what is over a cap is looked at and released by two people."""
    for _ in range(20):
        desk.type("sync", "push", "salesforce")
        held = desk.type("held", "list")
        if not held:
            return
        for item in held:
            desk.type("held", "release", item["id"])
    raise AssertionError("items are held again and again")


def decided(desk: Desk, path: Path, numbers: dict[str, str]) -> Path:
    """Export what is not sure, and write down which record is whose, as somebody who knows them."""
    right = {numbers[reference]: record for reference, record in desk.right.items()}
    desk.type("link", "export", "salesforce", str(path))
    with path.open(newline="") as exported:
        lines = list(csv.DictReader(exported))
    for line in lines:
        line["decision"] = "accept" if right.get(line["number"]) == line["record"] else "reject"
    with path.open("w", newline="") as out:
        rows = csv.DictWriter(out, lines[0].keys())
        rows.writeheader()
        rows.writerows(lines)
    return path


@pytest.mark.timeout(1200)
def test_another_systems_rows_go_from_observe_to_push_and_nothing_is_doubled(
    desk: Desk, tmp_path: Path
) -> None:
    old = file(desk, tmp_path / "old.csv")
    before = desk.opportunities()

    tried = desk.type("registration", "cut-over", str(old), "--dry-run")
    sums = Counter[str]()
    for partner in tried["partners"]:
        sums.update({k: partner[k] for k in ("rows", "landed", "contested", "bad")})
        assert partner["value"] == partner["value_here"]
    assert sums == {"rows": ROWS, "landed": ROWS - OVERLAPS, "contested": OVERLAPS, "bad": 0}

    desk.type("registration", "cut-over", str(old), code=3)
    landed = desk.type("registration", "cut-over", str(old), user="fay")["rows"]
    numbers = {each["reference"]: each["number"] for each in landed}
    desk.type("sync", "run", code=3)
    assert len(desk.type("dispute", "list")) == 2 * OVERLAPS
    assert desk.opportunities() == before  # observed, and nothing written

    desk.type("connection", "promote", "salesforce", "--to", "link", "--yes")
    found = desk.type("link", "propose", "salesforce")
    assert found["waiting"] - found["sure"] == 2 * (AMBIGUOUS + OVERLAPS)
    linked = desk.type("link", "accept", "--sure", "salesforce", "--yes")["accepted"]
    assert linked == ROWS - 2 * OVERLAPS - AMBIGUOUS
    desk.type("link", "import", str(decided(desk, tmp_path / "links.csv", numbers)))
    links = {each["number"]: each["record_id"] for each in desk.type("link", "list")["links"]}
    assert {numbers[reference]: deal for reference, deal in desk.right.items()} == links
    desk.type("sync", "pull", "salesforce")
    desk.type("sync", "push", "salesforce")
    assert desk.opportunities() == before  # linked, and nothing written

    first = numbers["OLD-0"]
    desk.type("connection", "promote", "salesforce", "--to", "canary", "--registration", first, "--yes")  # fmt: skip
    write_everything_due(desk)
    assert desk.stamped() == {desk.right["OLD-0"]}

    desk.type("connection", "promote", "salesforce", "--yes")
    write_everything_due(desk)
    after = desk.opportunities()
    assert desk.stamped() >= set(desk.right.values())
    assert len(after) == len(before) + OVERLAPS  # who had no record has one now
    kept = ("Name", "Amount", "StageName", "CloseDate")
    for record_id, fields in before.items():
        assert {name: after[record_id][name] for name in kept} == {
            name: fields[name] for name in kept
        }
    differences_are_found_and_mended(desk)


def differences_are_found_and_mended(desk: Desk) -> None:
    """Nothing differs after the cut-over; what users do then is told with its cause and mended."""
    desk.type("sync", "run", code=3)  # takes in what the CRM has filled in by itself
    assert desk.type("drift", "salesforce")["tally"] == []
    edited, removed = sorted(desk.right.values())[:2]
    desk.org.edit("Opportunity", edited, {"Amount": 1}, USER)
    desk.org.remove("Opportunity", removed, USER)
    found = desk.type("drift", "salesforce", "--repair", "--yes")
    causes = {(line["field"], line["cause"]) for line in found["tally"]}
    assert causes == {("amount", "remote edit not taken"), ("", "deleted")}
    desk.type("sync", "run", code=3)
    links = {each["record_id"]: each for each in desk.type("link", "list")["links"]}
    amounts = {each["number"]: each["amount"] for each in desk.type("registration", "list")}
    assert amounts[links[edited]["number"]] == "1"
    assert [i for i, each in links.items() if each["state"] == "orphaned"] == [removed]
    assert desk.type("audit", "verify")["ok"]
