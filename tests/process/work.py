"""The product's processes at work on a stand, and what users of the store and the CRMs do meanwhile."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from benchmarks.stand import CRMS, PLACES, REP, Stand
from cli.demo.stage import DEALREG
from registration_core.store.database import StoreUnavailable
from registration_core.store.tables import RegistrationRow

#: Registrations when the load begins, and how many come each second.
BEFORE, EACH_SECOND = 60, 2
#: The script and not `-m dramatiq`, which finds itself again on SIGHUP by PATH alone.
_WORKER = (
    str(Path(sys.executable).with_name("dramatiq")),
    "sync.worker:broker",
    "--processes",
    "1",
)
COMMANDS: Mapping[str, Sequence[str]] = {
    "web": (*DEALREG, "serve", "--only", "web"),
    "clock": (*DEALREG, "clock"),
    "worker-1": (*_WORKER, "--threads", "4"),
    "worker-2": (*_WORKER, "--threads", "4"),
}
T = TypeVar("T")

AMOUNTS = {"salesforce": "Amount", "dynamics365": "dr_amount", "hubspot": "amount"}


class Processes:
    """The product's processes, each in a group of its own, so that all of it dies at once."""

    def __init__(self, stand: Stand) -> None:
        self._environ = stand.stage.environ
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.kills = 0

    def start(self, name: str) -> None:
        """Start a process; it is not waited for."""
        self._running[name] = subprocess.Popen(
            COMMANDS[name],
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def tell(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a process alone."""
        self._running[name].send_signal(number)

    def ended(self, name: str, within_seconds: float) -> int:
        """Wait until a process has ended; returns its exit code."""
        return self._running[name].wait(within_seconds)

    def kill(self, name: str) -> None:
        """Kill a process and what it started, as a power cut would."""
        with suppress(ProcessLookupError):
            os.killpg(self._running[name].pid, signal.SIGKILL)
        self._running[name].wait()
        self.kills += 1

    def end(self) -> None:
        """Kill everything."""
        for name in self._running:
            self.kill(name)


class Load:
    """What the store's and the CRMs' users do, and what they did last to each registration."""

    def __init__(self, stand: Stand, rng: random.Random) -> None:
        self._stand, self._rng = stand, rng
        self.ids = stand.seed(BEFORE)
        self.amounts: dict[str, Decimal] = {}
        self.names: dict[str, str] = {}
        self.changes = self.edits = 0

    def step(self) -> None:
        """Change one registration here, one record there; now and then one more registration."""
        self.changes += 1
        each = self._rng.choice(self.ids)
        amount = Decimal(100_000 + self.changes)
        patiently(lambda: self._stand.change([each], amount))
        self.amounts[each] = amount
        self._edit()
        if self.changes % 5 == 0:
            self.ids += patiently(lambda: self._stand.seed(EACH_SECOND, start=len(self.ids)))

    def _edit(self) -> None:
        """Rename a deal in a CRM; a registration is always renamed in the same one."""
        place = self._rng.randrange(BEFORE)
        each, crm = self.ids[place], CRMS[place % len(CRMS)]
        record = self._stand.records(crm).get(each)
        if record is None:
            return  # not made there yet
        self.edits += 1
        object_name, _, field = PLACES[crm]
        name = f"Renamed {self.edits}"
        path = f"/crms/{crm}/objects/{object_name}/{record['id']}"
        self._stand.control("PATCH", path, {"fields": {field: name}, "user": REP})
        self.names[each] = name


def patiently(act: Callable[[], T]) -> T:
    """Do something in the store, again if the store was away; acts here may be done twice."""
    for _ in range(100):
        try:
            return act()
        except (StoreUnavailable, DBAPIError):
            time.sleep(0.2)
    raise AssertionError("the store did not come back")


@contextmanager
def running(stand: Stand, names: Iterable[str] = tuple(COMMANDS)) -> Iterator[Processes]:
    """Start processes, and kill all that run at the end."""
    processes = Processes(stand)
    try:
        for name in names:
            processes.start(name)
        yield processes
    finally:
        processes.end()


def differences(stand: Stand, load: Load) -> list[str]:
    """Say where the CRMs and the store do not hold what was last done to each registration."""
    with stand.runtime.database.read() as session:
        rows = {
            row.id: (row.amount, row.deal_name)
            for row in session.execute(
                select(RegistrationRow.id, RegistrationRow.amount, RegistrationRow.deal_name)
            )
        }
    found = []
    for crm in CRMS:
        records = stand.records(crm)  # raises if one is doubled
        for each in load.ids:
            amount, name = rows[each]
            fields = records[each]["fields"] if each in records else {}
            held = (Decimal(str(fields.get(AMOUNTS[crm], 0))), fields.get(PLACES[crm][2]))
            if held != (amount, name):
                found.append(f"{crm} holds {held} of {each}, the store {(amount, name)}")
    found += [f"{e}: {a} was lost" for e, a in load.amounts.items() if rows[e][0] != a]
    found += [f"{e}: {n} was lost" for e, n in load.names.items() if rows[e][1] != n]
    return found
