"""Measures what the sync engine costs and how fast it is, on the sandbox.

Type: `python -m benchmarks.sync_economy` (10,000 changes), `--quick` (2,000, extrapolated).
The stand-ins answer after 20 ms and refuse nobody. Calls are counted at the stand-ins; speed and
recovery are measured on processes as the Procfile starts them. The last line of the output is one
JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select

from benchmarks import sync_speed
from benchmarks.stand import CONNECTIONS, PLACES, REP, Stand, opened
from connectors.port import CrmConnector, FieldChange
from registration_core.contracts import ConnectionName
from registration_core.store import repository
from sync import pull, push, runs
from sync.ledger.tables import IntentRow

FULL, QUICK = 10_000, 2_000
#: Changes whose latency is measured, each way.
TRICKLE, QUICK_TRICKLE = 60, 30
#: What conclusions are drawn for, whatever was measured.
PER = 10_000
#: Seconds between two scheduled polls, as shipped.
POLL_SECONDS = 30
#: Most records that a user changes in each CRM for the inbound figure.
EDITS_MAX = 300


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", choices=("postgresql", "sqlite"), default="postgresql")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} changes, extrapolated")
    options = parser.parse_args()
    changes = QUICK if options.quick else FULL
    load = os.getloadavg()[0]
    print(f"{changes} changes, {options.store}, {os.cpu_count()} cores, load {load:.1f} before")
    if options.quick:
        print(f"calls per {PER} are extrapolated from {changes} changes")
    began = time.monotonic()
    with opened(options.store) as stand:
        stand.webhooks(on=False)
        idle = {"idle_calls_per_day": idle_calls(stand)}
        ids = agreed(stand, changes)
        figures = economy(stand, ids) | idle
        figures |= sync_speed.speed(stand, ids, QUICK_TRICKLE if options.quick else TRICKLE)
    took = time.monotonic() - began
    print(f"took {took:.0f} s in all, load {os.getloadavg()[0]:.1f} after")
    print(json.dumps(figures))


def agreed(stand: Stand, count: int) -> list[str]:
    """Make registrations that are linked everywhere, agreed, and seen since; return their ids.

    The first goes alone: the others are made with what it was given by the CRMs, its owners.
    """
    ids = stand.seed(1)
    settle(stand)
    with stand.runtime.database.read() as session:
        owners = repository.registration(session, ids[0]).owners
    ids += stand.seed(count - 1, start=1, owners=owners)
    settle(stand)
    stand.require_clean()
    return ids


def economy(stand: Stand, ids: Sequence[str]) -> dict[str, Any]:
    """Count the calls for one change of each of these registrations, and for users' changes."""
    audits, changes = Audits(stand), len(ids)
    writes, before = writes_of(stand), calls(stand)
    stand.change(ids, Decimal(100_002))
    everywhere(stand, drain)
    sent = calls(stand) - before
    outbound = {name: (sent[name] - audits.calls[name]) * PER / changes for name in CONNECTIONS}
    audited = sum(audits.calls.values()) * PER / changes
    before = calls(stand)
    settle(stand)
    echo = {name: (calls(stand) - before)[name] * PER / changes for name in CONNECTIONS}
    stand.require_clean()
    amplification = (writes_of(stand) - writes) / (len(CONNECTIONS) * changes)
    return {
        "calls_per_10000_outbound": rounded(outbound),
        "calls_per_10000_outbound_all": round(sum(outbound.values()), 1),
        "audit_calls_per_10000": round(audited, 1),
        "polling_calls_per_10000": rounded(echo),
        "calls_per_10000_inbound": rounded(inbound(stand, ids)),
        "write_amplification": round(amplification, 4),
    }


def idle_calls(stand: Stand) -> dict[str, int]:
    """Poll when nothing has changed; return the calls of a day of such polls.

    A connection reads everything once before that, so this comes before anything is written.
    """
    for name in CONNECTIONS:
        runs.poll(stand.runtime, name)
    before = calls(stand)
    for name in CONNECTIONS:
        runs.poll(stand.runtime, name)
    return {name: n * 86_400 // POLL_SECONDS for name, n in (calls(stand) - before).items()}


def inbound(stand: Stand, ids: Sequence[str]) -> dict[str, float]:
    """Let users change some records of each CRM; return its calls per 10,000 to take them in."""
    edits = min(len(ids) // len(CONNECTIONS), EDITS_MAX)
    parts = {name: ids[n * edits : (n + 1) * edits] for n, name in enumerate(CONNECTIONS)}

    def edit(stand: Stand, name: ConnectionName) -> None:
        crm = CONNECTIONS[name]
        (object_name, _, deal_name), records = PLACES[crm], stand.records(crm)
        for each in parts[name]:
            body = {"fields": {deal_name: f"By {crm} {each}"}, "user": REP}
            path = f"/crms/{crm}/objects/{object_name}/{records[each]['id']}"
            stand.control("PATCH", path, body)

    everywhere(stand, edit)
    before = calls(stand)
    everywhere(stand, take)
    taken = calls(stand) - before
    settle(stand)
    return {name: taken[name] * PER / edits for name in CONNECTIONS}


class Audits:
    """Counts the requests that reading histories takes, by connection."""

    def __init__(self, stand: Stand) -> None:
        self.calls: Counter[str] = Counter()
        for name, door in stand.runtime.connectors.items():
            self._watch(stand, name, door)

    def _watch(self, stand: Stand, name: ConnectionName, door: CrmConnector) -> None:
        inner, crm = door.history, CONNECTIONS[name]

        def history(
            object_name: str, ids: Sequence[str], fields: Sequence[str], since: datetime
        ) -> tuple[FieldChange, ...]:
            before = stand.calls(crm)
            try:
                return inner(object_name, ids, fields, since)
            finally:
                self.calls[name] += stand.calls(crm) - before

        door.history = history  # type: ignore[method-assign, assignment]


def calls(stand: Stand) -> Counter[str]:
    """Return the requests that each connection's stand-in has answered so far."""
    return Counter({name: stand.calls(crm) for name, crm in CONNECTIONS.items()})


def drain(stand: Stand, name: str) -> None:
    """Push until nothing is due at a connection."""
    while stand.due(name):
        push.drain(stand.runtime, name)


def take(stand: Stand, name: str) -> None:
    """Poll one connection and read what it told of."""
    runs.poll(stand.runtime, name)
    while pull.drain(stand.runtime, name):
        continue


def everywhere(stand: Stand, work: Callable[[Stand, ConnectionName], None]) -> None:
    """Do a connection's work at all of them at once, as workers do."""
    with ThreadPoolExecutor(len(CONNECTIONS)) as pool:
        list(pool.map(lambda name: work(stand, name), CONNECTIONS))


def settle(stand: Stand) -> None:
    """Push, poll and pull everywhere, then push what that made due."""
    for work in (drain, take, drain):
        everywhere(stand, work)


def writes_of(stand: Stand) -> int:
    """Count the record writes that were confirmed so far."""
    done = select(func.count()).select_from(IntentRow).where(IntentRow.state == "done")
    with stand.runtime.database.read() as session:
        return int(session.scalar(done) or 0)


def rounded(values: dict[str, float]) -> dict[str, float]:
    """Round what is shown to a tenth."""
    return {name: round(value, 1) for name, value in values.items()}


if __name__ == "__main__":
    main()
