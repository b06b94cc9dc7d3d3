"""An initial load of 100,000 deals through the HubSpot connector: calls, time and memory.

Deals are created by key, each with its primary company, in batches as large as the connector
says, and read back by the change feed, companies included. The stand-in runs in a process of its
own, so that the memory told is the connector's. Usage:

    python -m benchmarks.hubspot_load [RECORDS]
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from itertools import islice
from multiprocessing.connection import Connection

from connectors.hubspot.connector import HubSpotConnector
from connectors.port import CreateItem, Written
from registration_core.contracts import Fields
from sandbox.serving import now, start
from tests.contract.peers import settings_of

_OBJECT, _KEY, _COMPANY = "deals", "dealreg_id", "associations.companies"
_RECORDS = 100_000
#: Fields the read back asks for; their values are compared in number, not one by one.
_READ = (_KEY, "dealname", "amount", _COMPANY)


def _stand_in(told: Connection) -> None:
    """Serve, in a process of its own, until told to count the requests and stop."""
    running = start(None)
    stand_in = running.crms["hubspot"]
    told.send(settings_of(running, "hubspot"))
    told.send([row.id for row in stand_in.org.store.rows("companies")])
    while told.recv() == "count":
        told.send(stand_in.journal.total)
    running.stop()


def _items(count: int, companies: list[str]) -> Iterator[CreateItem]:
    for number in range(count):
        key = str(uuid.uuid5(uuid.NAMESPACE_URL, str(number)))
        fields: Fields = {
            _KEY: key,
            "dealname": f"Deal {number} of a partner",
            "pipeline": "partner_mirror",
            "dealstage": "pm_qualifying",
            "dealreg_number": f"R-{number:06}",
            "dealreg_state": "approved",
            "dealreg_partner": "Northwind Partners",
            "amount": Decimal(number % 9000) + Decimal("1000.50"),
            "deal_currency_code": "EUR",
            "dealreg_protected_until": date(2027, 1 + number % 12, 15),
            _COMPANY: companies[number % len(companies)],
        }
        yield CreateItem(key, fields)


def _memory_mb() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def main(count: int) -> None:
    """Load, read back, and print one line of JSON."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_stand_in, args=(theirs,))
    server.start()
    connector, companies = HubSpotConnector(ours.recv(), now), ours.recv()
    connector.describe(_OBJECT)
    before_mb, started, written = _memory_mb(), time.monotonic(), 0
    calls_before = _calls(ours)
    items = _items(count, companies)
    while batch := list(islice(items, connector.capabilities.write_batch)):
        outcomes = connector.create(_OBJECT, _KEY, batch)
        written += sum(isinstance(outcome, Written) for outcome in outcomes)
        if written % 10_000 == 0:
            print(f"{written} written", file=sys.stderr)
    write_seconds, write_calls = time.monotonic() - started, _calls(ours) - calls_before
    started, read, linked = time.monotonic(), 0, 0
    page = connector.changes(_OBJECT, _READ, None)
    while True:
        read += sum(record.fields[_KEY] is not None for record in page.records)
        linked += sum(record.fields[_COMPANY] is not None for record in page.records)
        if not page.more:
            break
        page = connector.changes(_OBJECT, _READ, page.cursor)
    result = {
        "records": count,
        "written": written,
        "write_calls": write_calls,
        "write_seconds": round(write_seconds, 1),
        "records_a_second": round(written / write_seconds),
        "read_back": read,
        "with_company": linked,
        "read_calls": _calls(ours) - calls_before - write_calls,
        "read_seconds": round(time.monotonic() - started, 1),
        "rss_mb_before": before_mb,
        "rss_mb_most": _memory_mb(),
    }
    ours.send("stop")
    server.join()
    print(json.dumps(result))
    if (written, read, linked) != (count, count, count):
        sys.exit(1)


def _calls(stand_in: Connection) -> int:
    """Count the requests the stand-in has answered."""
    stand_in.send("count")
    return int(stand_in.recv())


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else _RECORDS)
