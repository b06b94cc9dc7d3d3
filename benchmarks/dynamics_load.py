"""An initial load of 100,000 records through the Dynamics 365 connector: calls, time and memory.

Records are created by key, in batches as large as the connector says, and read back by the change
feed. The stand-in runs in a process of its own, so that the memory told is the connector's. Usage:

    python -m benchmarks.dynamics_load [RECORDS]
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

from connectors.dynamics365.connector import DynamicsConnector
from connectors.port import CreateItem, Written
from registration_core.contracts import Fields
from sandbox.serving import now, start
from tests.contract.peers import settings_of

_TABLE, _KEY = "dr_dealregistration", "dr_dealregid"
_RECORDS = 100_000
#: Fields the read back asks for; their values are compared in number, not one by one.
_READ = (_KEY, "dr_name", "dr_amount")


def _stand_in(told: Connection) -> None:
    """Serve, in a process of its own, until told to count the requests and stop."""
    running = start(None)
    told.send(settings_of(running, "dynamics365"))
    while told.recv() == "count":
        told.send(running.crms["dynamics365"].journal.total)
    running.stop()


def _items(count: int) -> Iterator[CreateItem]:
    for number in range(count):
        key = str(uuid.uuid5(uuid.NAMESPACE_URL, str(number)))
        fields: Fields = {
            _KEY: key,
            "dr_name": f"R-{number:06}",
            "dr_number": f"R-{number:06}",
            "dr_dealname": f"Deal {number} of a partner",
            "dr_state": "approved",
            "dr_partner": "Northwind Partners",
            "dr_amount": Decimal(number % 9000) + Decimal("1000.50"),
            "transactioncurrencyid": "EUR",
            "dr_closedate": date(2027, 1 + number % 12, 15),
        }
        yield CreateItem(key, fields)


def _memory_mb() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def main(count: int) -> None:
    """Load, read back, and print one line of JSON."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_stand_in, args=(theirs,))
    server.start()
    connector = DynamicsConnector(ours.recv(), now)
    connector.describe(_TABLE)
    before_mb, started, batches, largest, written = _memory_mb(), time.monotonic(), 0, 0, 0
    calls_before = _calls(ours)
    items = _items(count)
    while batch := list(islice(items, connector.capabilities.write_batch)):
        outcomes = connector.create(_TABLE, _KEY, batch)
        written += sum(isinstance(outcome, Written) for outcome in outcomes)
        batches, largest = batches + 1, max(largest, len(batch))
        if batches % 20 == 0:
            print(f"{written} written", file=sys.stderr)
    write_seconds, write_calls = time.monotonic() - started, _calls(ours) - calls_before
    started, calls_before, read, cursor, more = time.monotonic(), _calls(ours), 0, None, True
    while more:
        page = connector.changes(_TABLE, _READ, cursor)
        read, cursor, more = read + len(page.records), page.cursor, page.more
    result = {
        "records": count,
        "written": written,
        "write_calls": write_calls,
        "largest_batch": largest,
        "write_seconds": round(write_seconds, 1),
        "records_a_second": round(written / write_seconds),
        "read_back": read,
        "read_calls": _calls(ours) - calls_before,
        "read_seconds": round(time.monotonic() - started, 1),
        "rss_mb_before": before_mb,
        "rss_mb_most": _memory_mb(),
    }
    ours.send("stop")
    server.join()
    print(json.dumps(result))
    if written != count or read != count:
        sys.exit(1)


def _calls(stand_in: Connection) -> int:
    """Count the requests the stand-in has answered, signing in included."""
    stand_in.send("count")
    return int(stand_in.recv())


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else _RECORDS)
