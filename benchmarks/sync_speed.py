"""Speed, latency and recovery of the processes that the Procfile names, on a test stand."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import select

from benchmarks import processes
from benchmarks.stand import CONNECTIONS, PLACES, REP, Stand, wait_until
from sync.ledger.tables import LeaseRow
from sync.process.linger import WINDOW
from tests import servers

#: Changes a second when latency is measured.
RATE = 5
#: Changes that a worker makes before it is measured: it reads schemas first.
WARM_UP = 100
#: Longest that anything is waited for, in seconds.
PATIENCE = 900.0
_WORKER = (
    sys.executable, "-m", "dramatiq", "sync.worker:broker", "--processes", "1", "--threads", "4",
)  # fmt: skip


class Worker:
    """One worker process with its dramatiq master, killed together."""

    def __init__(self, stand: Stand) -> None:
        self._master = subprocess.Popen(
            _WORKER,
            env=stand.stage.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pids(self) -> list[int]:
        """The processes: the master, then what it started."""
        return [self._master.pid, *processes.children(self._master.pid)]

    def memory_mb(self) -> float:
        """Memory of the process that works."""
        return max(processes.memory_mb(pid) for pid in self.pids[1:])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all of them at once."""
        os.killpg(self._master.pid, number)

    def end(self) -> None:
        """Kill what still runs."""
        if self._master.poll() is None:
            self.signal(signal.SIGKILL)
            self._master.wait()


@contextmanager
def working(stand: Stand, count: int) -> Iterator[list[Worker]]:
    """Run workers; web and clock run already."""
    workers = [Worker(stand) for _ in range(count)]
    try:
        wait_until(lambda: all(len(w.pids) > 1 for w in workers), "workers start", 60)
        time.sleep(2)
        yield workers
    finally:
        for worker in workers:
            worker.end()


def speed(stand: Stand, ids: Sequence[str], trickle: int) -> dict[str, Any]:
    """Measure one worker under load, latencies of a trickle, and recovery from bad luck.

    The registrations are linked, agreed and seen everywhere.
    """
    stand.stage.open()
    with working(stand, 1) as (worker,):
        stand.change(ids[:WARM_UP], Decimal(200_000))
        wait_until(lambda: not stand.due(), "the worker knows the CRMs", PATIENCE)
        _quiet(stand)
        figures = _throughput(stand, worker, ids)
        figures["worker_rss_mb"] = round(worker.memory_mb(), 1)
        some = ids[:trickle]
        figures |= _percentiles("push", _push_latencies(stand, some))
        stand.webhooks(on=True)
        figures |= _percentiles("pull", _pull_latencies(stand, some))
        stand.webhooks(on=False)
        figures["recovery_redis_s"] = round(_lost_nudges(stand, worker, ids[:3]), 2)
    with working(stand, 2) as workers:
        figures["recovery_kill_s"] = round(_killed(stand, workers, ids), 2)
    stand.require_clean()
    order = ("changes_per_second_per_worker", "p50_push_s", "p95_push_s", "p50_pull_s",
             "p95_pull_s", "worker_rss_mb", "recovery_kill_s", "recovery_redis_s")  # fmt: skip
    return {name: figures[name] for name in order}


def _quiet(stand: Stand) -> None:
    """Poll, and wait until our own writes are seen again."""
    with stand.runtime.database.begin() as unit:
        unit.nudges |= {f"poll:{name}" for name in CONNECTIONS}
    time.sleep(3)
    wait_until(lambda: not stand.due() and not stand.noticed(), "all is quiet", PATIENCE)


def _throughput(stand: Stand, worker: Worker, ids: Sequence[str]) -> dict[str, Any]:
    cpu = {"worker": processes.cpu_seconds(worker.pids[0]), "sandbox": _sandbox_cpu(stand)}
    stand.change(ids, Decimal(200_001))
    took = wait_until(lambda: not stand.due(), "every change is written", PATIENCE, look=0.2)
    used = {
        "worker": processes.cpu_seconds(worker.pids[0]) - cpu["worker"],
        "sandbox": _sandbox_cpu(stand) - cpu["sandbox"],
    }
    writes = len(ids) * len(CONNECTIONS)
    shares = ", ".join(f"{name} {seconds / took:.0%}" for name, seconds in used.items())
    print(
        f"{writes} confirmed writes in {took:.1f} s; share of one core: {shares}; "
        f"{writes / used['worker']:.0f} writes per second of the worker's own CPU"
    )
    return {"changes_per_second_per_worker": round(writes / took, 1)}


def _sandbox_cpu(stand: Stand) -> float:
    return processes.cpu_seconds(stand.sandbox_pid)


def _push_latencies(stand: Stand, ids: Sequence[str]) -> list[float]:
    """Change registrations one by one; return seconds from each commit to the value in each CRM."""
    committed = {}
    before = {crm: stand.calls(crm) for crm in CONNECTIONS.values()}
    began = time.monotonic()
    for place, each in enumerate(ids):
        time.sleep(max(0.0, began + place / RATE - time.monotonic()))
        stand.change([each], Decimal(300_000 + place))
        committed[each] = time.time()
    wait_until(lambda: not stand.due(), "the trickle is written", 60)
    windows = int((time.monotonic() - began) / WINDOW.total_seconds())
    used = {crm: stand.calls(crm) - calls for crm, calls in before.items()}
    print(f"{len(ids)} changes, {RATE} a second, in {windows} linger windows: calls {used}")
    seconds = []
    for crm in CONNECTIONS.values():
        object_name = PLACES[crm][0]
        for registration_id, record in stand.records(crm).items():
            if registration_id in committed:
                path = f"/crms/{crm}/objects/{object_name}/{record['id']}"
                history = stand.control("GET", path)["history"]
                amount = str(300_000 + list(ids).index(registration_id))
                at = next(h["at"] for h in reversed(history) if str(h["new"]).startswith(amount))
                seconds.append(datetime.fromisoformat(at).timestamp() - committed[registration_id])
    return seconds


def _pull_latencies(stand: Stand, ids: Sequence[str]) -> list[float]:
    """Let users change records one by one; return seconds until the store has each change.

    The store is looked at every 20 ms, which is how exact the figures are.
    """
    records = {crm: stand.records(crm) for crm in CONNECTIONS.values()}
    waiting: dict[str, tuple[str, float]] = {}
    seconds: list[float] = []
    began = time.monotonic()
    edits = iter(enumerate(ids))
    following = next(edits, None)
    while following is not None or waiting:
        if following is not None and time.monotonic() >= began + following[0] / RATE:
            place, each = following
            crm = list(CONNECTIONS.values())[place % len(CONNECTIONS)]
            object_name, _, field = PLACES[crm]
            name = f"Renamed {place}"
            path = f"/crms/{crm}/objects/{object_name}/{records[crm][each]['id']}"
            stand.control("PATCH", path, {"fields": {field: name}, "user": REP})
            waiting[each] = (name, time.monotonic())
            following = next(edits, None)
        names = stand.deal_names(list(waiting))
        now = time.monotonic()
        taken = [e for e, (name, _) in waiting.items() if names.get(e) == name]
        seconds += [now - waiting.pop(each)[1] for each in taken]
        if waiting and now - min(since for _, since in waiting.values()) > 60:
            print(f"{len(waiting)} changes were not taken within 60 s: {waiting}")
            return seconds + [60.0] * len(waiting)
        time.sleep(0.02)
    wait_until(lambda: not stand.due(), "the mirrors have it", 60)
    return seconds


def _percentiles(name: str, seconds: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100)
    return {f"p50_{name}_s": round(cuts[49], 3), f"p95_{name}_s": round(cuts[94], 3)}


def _lost_nudges(stand: Stand, worker: Worker, ids: Sequence[str]) -> float:
    """Flush Redis while a nudge waits there; return seconds until the change is written anyway."""
    worker.signal(signal.SIGSTOP)
    stand.change(ids, Decimal(400_001))
    servers.empty_redis(stand.redis_url)
    worker.signal(signal.SIGCONT)
    return wait_until(lambda: not stand.due(), "the change is written", 120)


def _killed(stand: Stand, workers: Sequence[Worker], ids: Sequence[str]) -> float:
    """Kill the worker that pushes to Salesforce; return seconds until another goes on there."""
    name = "salesforce"
    stand.change(ids, Decimal(500_001))
    wait_until(lambda: 0 < stand.due(name) < len(ids), "the push is under way", 60, look=0.01)
    with stand.runtime.database.read() as session:
        holder = session.scalar(select(LeaseRow.holder).where(LeaseRow.name == f"push:{name}"))
    pid = int(str(holder).split(":")[1]) if holder else 0
    victim = next((w for w in workers if pid in w.pids), workers[0])
    victim.signal(signal.SIGKILL)
    time.sleep(0.2)
    left = stand.due(name)
    return 0.2 + wait_until(lambda: stand.due(name) < left, "another goes on", 120, look=0.02)
