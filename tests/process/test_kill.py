"""Processes that die at random under load, a flushed Redis, a crashed database: nothing is lost.

The processes of the Procfile, real servers and the sandbox over HTTPS. `KILL_SECONDS` sets how
long the load lasts. What is checked at the end is read from the CRMs' own records and the store.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from benchmarks.stand import CONNECTIONS, CRMS, PLACES, REP, Stand, opened, wait_until
from cli.demo.stage import DEALREG
from registration_core.store import audit
from registration_core.store.database import StoreUnavailable
from registration_core.store.tables import RegistrationRow
from sync.ledger.tables import DeadLetterRow, LinkRow, SyncConflictRow
from tests import servers

SECONDS = float(os.environ.get("KILL_SECONDS", "20"))
#: Registrations when the load begins, and how many come each second.
BEFORE, EACH_SECOND = 60, 2
#: Longest until everything agrees once the killing has stopped.
HEALED_WITHIN_SECONDS = 90.0
_WORKER = (sys.executable, "-m", "dramatiq", "sync.worker:broker", "--processes", "1")
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
def running(stand: Stand) -> Iterator[Processes]:
    processes = Processes(stand)
    try:
        for name in COMMANDS:
            processes.start(name)
        yield processes
    finally:
        processes.end()


def crash_the_database(stand: Stand) -> None:
    """Kill one of its processes: the server ends every connection and recovers from its log."""
    with stand.runtime.database.engine.connect() as connection:
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
        assert isinstance(pid, int)
        os.kill(pid, signal.SIGKILL)
        connection.invalidate()


def up_since(stand: Stand) -> datetime:
    """Return when the server's own processes were started, at first or after a crash."""
    with stand.runtime.database.engine.connect() as connection:
        started = connection.scalar(
            text("SELECT backend_start FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
        )
    assert isinstance(started, datetime)
    return started


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


@pytest.mark.timeout(SECONDS + 240)
def test_whatever_dies_nothing_is_lost_and_nothing_is_doubled() -> None:
    rng = random.Random(20)
    with opened("postgresql", {}, poll_seconds=5) as stand:
        with stand.runtime.database.engine.begin() as connection:
            # The test server confirms before it writes its log; a crash would lose that.
            connection.execute(text("ALTER DATABASE dealreg_stand SET synchronous_commit = on"))
        stand.runtime.database.engine.dispose()
        load, database_up_since = Load(stand, rng), up_since(stand)
        with running(stand) as processes:
            made = lambda: all(len(stand.records(crm)) >= BEFORE for crm in CRMS)  # noqa: E731
            wait_until(made, "the first records are made", 60, look=0.5)
            misfortunes = [(SECONDS / 3, "redis"), (SECONDS * 2 / 3, "database")]
            began, next_kill = time.monotonic(), 2.0
            while (passed := time.monotonic() - began) < SECONDS:
                load.step()
                if passed > next_kill:
                    victim = rng.choice(list(COMMANDS))
                    processes.kill(victim)
                    processes.start(victim)
                    next_kill = passed + rng.uniform(1.5, 4.0)
                if misfortunes and passed > misfortunes[0][0]:
                    _, what = misfortunes.pop(0)
                    if what == "redis":
                        servers.empty_redis(stand.redis_url)
                    else:
                        crash_the_database(stand)
                time.sleep(0.05)
            kills = processes.kills
            agreed = lambda: not patiently(lambda: differences(stand, load))  # noqa: E731
            with suppress(Exception):
                healed = wait_until(agreed, "everything agrees", HEALED_WITHIN_SECONDS, look=1.0)
        assert differences(stand, load) == []
        assert up_since(stand) > database_up_since  # it really was started anew
        with stand.runtime.database.read() as session:
            _, broken = audit.verify(session)
            letters = session.scalar(select(func.count()).select_from(DeadLetterRow))
            conflicts = session.scalar(
                select(func.count())
                .select_from(SyncConflictRow)
                .where(SyncConflictRow.state == "open")
            )
            links = session.scalar(select(func.count()).select_from(LinkRow))
        assert (broken, letters, conflicts) == ([], 0, 0)
        assert links == len(load.ids) * len(CONNECTIONS)
        print(  # noqa: T201 - shown with `pytest -s`
            f"{kills} kills in {SECONDS:.0f} s, Redis flushed, database crashed; "
            f"{load.changes} changes here, {load.edits} in CRMs, {len(load.ids)} registrations; "
            f"all agreed {healed:.0f} s after the last kill"
        )
