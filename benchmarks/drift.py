"""Measures a comparison of very many links with a CRM: time, calls, and the memory it needs.

Type: `python -m benchmarks.drift` (`LINKS=1000000` by itself). The store is a real SQLite file that
another process fills; the CRM makes its records up as they are read, one in a thousand with another
amount, and so needs no memory. Compared twice: for the first time, and with every page known. The
last line of the output is one JSON object.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from prometheus_client import CollectorRegistry
from sqlalchemy import select

from connectors.memory import ABLE, MemoryConnector
from connectors.port import Gone, RemoteRecord
from registration_core.contracts import Fields
from registration_core.store.database import Database
from registration_core.store.tables import RegistrationRow
from sync.repair import comparing, drift
from sync.traffic.guard import CallMetrics, GuardedConnector
from tests import crowd, servers, stores
from tests.world import HOME, START, World, build

LINKS = 1_000_000
#: One record in so many differs.
DRIFTED = 1_000
#: Links that are put into the store in one commit.
ROWS = 10_000
#: Most megabytes that a comparison of any number of links may take.
MEMORY_MB = 200


class MadeUp(MemoryConnector):
    """A CRM that makes up each record as it is read."""

    fields: Fields
    #: The field with the registration's id.
    key: str

    def read(
        self, object_name: str, record_ids: Sequence[str], fields: Sequence[str]
    ) -> Mapping[str, RemoteRecord | Gone]:
        self.calls["read"] += -(-len(record_ids) // self.capabilities.read_batch)
        return {record_id: self._record(object_name, record_id) for record_id in record_ids}

    def _record(self, object_name: str, record_id: str) -> RemoteRecord:
        number, _, registration_id = record_id.partition(":")
        odd = {"Amount": Decimal(9000)} if int(number) % DRIFTED == 0 else {}
        held = {**self.fields, self.key: registration_id, **odd}
        return RemoteRecord(object_name, record_id, held, None, None, START)


@dataclass(frozen=True)
class Pass:
    """One comparison of everything."""

    seconds: float
    calls: int
    drifted: int


def main() -> None:
    """Measure and print."""
    given = dict(argument.partition("=")[::2] for argument in sys.argv[1:])
    links = int(given.get("LINKS", LINKS))
    with TemporaryDirectory(dir=servers.fast_directory()) as folder:
        url = f"sqlite:///{Path(folder) / 'drift.db'}"
        stores.migrate(url)
        filling = get_context("spawn").Process(target=fill, args=(url, links))
        filling.start()
        filling.join()
        world = opened(url, f"sqlite:///{Path(folder) / 'empty.db'}")
        first, again = compare(world), compare(world)
        world.runtime.close()
    memory = peak_mb()
    print(f"{links:,} links, {first.drifted:,} of them drifted")
    print(f"first time  {first.seconds:8.1f} s, {first.calls:,} calls")
    print(f"again       {again.seconds:8.1f} s, {again.calls:,} calls")
    print(f"memory      {memory:8.0f} MB at most")
    print(
        json.dumps(
            {
                "links": links, "seconds": round(first.seconds, 1), "calls": first.calls,
                "rss_mb": round(memory), "drifted": first.drifted,
                "again_seconds": round(again.seconds, 1), "within": memory <= MEMORY_MB,
            }
        )
    )  # fmt: skip


def opened(url: str, empty: str) -> World:
    """Open a world and put the filled store, and the made-up CRM as its home, into it."""
    stores.migrate(empty)
    world = build(empty)
    filled = Database(url, lambda: world.now, random.Random(1))
    world.runtime = replace(world.runtime, database=filled, _close=filled.close)
    door = MadeUp(HOME, world.orgs[HOME], capabilities=replace(ABLE, precondition=False))
    with world.database.read() as session:
        row = session.scalars(select(RegistrationRow.id).limit(1)).one()
    door.fields = crowd.fields_of(world, row, HOME)
    door.key = world.runtime.mappings[HOME].objects["home"].key
    guarded = GuardedConnector(door, world.database, CallMetrics(CollectorRegistry()))
    world.runtime = replace(world.runtime, connectors={HOME: guarded})
    world.doors[HOME] = door
    return world


def fill(url: str, links: int) -> None:
    """Put so many registrations with a link each into the store."""
    world = build(url)
    crowd.add(world, world.approved(), links, {HOME: lambda number, key: f"{number}:{key}"})
    world.runtime.close()


def compare(world: World) -> Pass:
    """Compare every link once."""
    door = cast("MadeUp", world.doors[HOME])
    before, began = door.calls["read"], time.monotonic()
    drift.begin(world.runtime, HOME, drift.LINKS)
    run = comparing.advance(world.runtime, HOME)
    seconds = time.monotonic() - began
    drifted = sum(line.records for line in run.tally)
    return Pass(seconds, door.calls["read"] - before, drifted)


def peak_mb() -> float:
    """Return the most memory this process has had, in megabytes of 10^6 bytes. Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main()
