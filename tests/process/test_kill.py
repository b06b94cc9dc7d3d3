"""Processes that die at random under load, a flushed Redis, a crashed database: nothing is lost.

The processes of the Procfile, real servers and the sandbox over HTTPS. `KILL_SECONDS` sets how
long the load lasts. What is checked at the end is read from the CRMs' own records and the store.
"""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from datetime import datetime

import pytest
from sqlalchemy import func, select, text

from benchmarks.stand import CONNECTIONS, CRMS, Stand, opened, wait_until
from registration_core.store import audit
from sync.ledger.tables import DeadLetterRow, LinkRow, SyncConflictRow
from tests import servers
from tests.process.work import BEFORE, COMMANDS, Load, differences, patiently, running

SECONDS = float(os.environ.get("KILL_SECONDS", "20"))
#: Longest until everything agrees once the killing has stopped.
HEALED_WITHIN_SECONDS = 90.0


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
