"""Load 100,000 records into Salesforce through the connector's public port, and read them back.

    .venv/bin/python -m benchmarks.salesforce_load [RECORDS]

Prints one JSON line: calls (as the stand-in counts them for `Sforce-Limit-Info`), seconds, and the
peak memory of this process, which holds the connector and one batch at a time. The stand-in runs
in a process of its own, so its memory does not count; its speed is not Salesforce's, so the
seconds say little about an org. Every record is checked: each is written once, each comes back
once, and a second load of the last batch finds every record there.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

from connectors.port import ConnectionSettings, CreateItem
from connectors.salesforce.connector import SalesforceConnector
from registration_core.contracts import ConnectionName

RECORDS = 100_000
KEY = "Dealreg_Id__c"
OBJECT = "Opportunity"
_STARTED_WITHIN_SECONDS = 60.0


def main(records: int) -> None:
    """Load, load the last batch again, read everything, print the figures."""
    with _stand_in() as variables:
        connector = SalesforceConnector(_settings(variables), lambda: datetime.now(UTC))
        batch = connector.capabilities.load_batch
        before, started = _calls(connector), time.monotonic()
        outcomes: Counter[str] = Counter()
        items: list[CreateItem] = []
        for first in range(0, records, batch):
            items = [_item(number) for number in range(first, min(first + batch, records))]
            outcomes.update(_kinds(connector, items))
        loaded, written = time.monotonic(), _calls(connector)
        again = Counter(_kinds(connector, items))
        read_from, reread = time.monotonic(), _calls(connector)
        keys = _read(connector)
        figures = {
            "records": records,
            "written": outcomes["Written"],
            "refused": records - outcomes["Written"],
            "found_there_when_loaded_again": again["AlreadyExists"],
            "read_back": len(keys),
            "calls_to_load": written - before - 1,
            "calls_to_read_back": _calls(connector) - reread - 1,
            "seconds_to_load": round(loaded - started, 1),
            "seconds_to_read_back": round(time.monotonic() - read_from, 1),
            "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000),
        }
    sys.stdout.write(json.dumps(figures) + "\n")


def _kinds(connector: SalesforceConnector, items: list[CreateItem]) -> Iterator[str]:
    return (type(outcome).__name__ for outcome in connector.create(OBJECT, KEY, items))


def _item(number: int) -> CreateItem:
    key = str(uuid.UUID(int=number, version=4))
    return CreateItem(
        key,
        {
            KEY: key,
            "Name": f"Deal {number}: cold chain for Nordhafen Logistik",
            "StageName": "Prospecting",
            "CloseDate": date(2027, 6, 30),
            "Amount": Decimal(1000 + number),
            "CurrencyIsoCode": "EUR",
            "Dealreg_Number__c": f"DR-{number:08}",
            "Dealreg_State__c": "approved",
            "Dealreg_Partner__c": "Acme Partners",
        },
    )


def _read(connector: SalesforceConnector) -> set[str]:
    keys: set[str] = set()
    cursor = None
    while True:
        page = connector.changes(OBJECT, [KEY, "Name", "Amount"], cursor)
        keys.update(str(r.fields[KEY]) for r in page.records if r.fields[KEY])
        cursor = page.cursor
        if not page.more:
            return keys


def _calls(connector: SalesforceConnector) -> int:
    connector.count("Organization", [])  # its answer tells the newest count; it is one itself
    budget = connector.api_budget()
    assert budget is not None
    return budget.used


def _settings(variables: dict[str, str]) -> ConnectionSettings:
    prefix = "DEALREG_SANDBOX_SALESFORCE"
    return ConnectionSettings(
        name=ConnectionName("salesforce"),
        environment="sandbox",
        base_url=variables[f"{prefix}_URL"],
        ca_file=variables["DEALREG_SANDBOX_CA_FILE"],
        credentials={
            "client_id": variables[f"{prefix}_CLIENT_ID"],
            "client_secret": variables[f"{prefix}_CLIENT_SECRET"],
        },
        read_timeout_seconds=300.0,
        bulk_from=2000,
    )


@contextmanager
def _stand_in() -> Iterator[dict[str, str]]:
    """Run the sandbox in a process of its own; yields the variables that lead to it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "env"
        command = [sys.executable, "-m", "sandbox", "--base-port", "0", "--until-stdin-closes"]
        process = subprocess.Popen(
            [*command, "--env-file", str(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=dict(os.environ),
        )
        try:
            deadline = time.monotonic() + _STARTED_WITHIN_SECONDS
            while not file.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("the sandbox did not start")
                time.sleep(0.1)
            lines = file.read_text().splitlines()
            yield dict(line.split("=", 1) for line in lines if "=" in line)
        finally:
            process.terminate()
            process.wait(30)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else RECORDS)
