"""Leases in SQL: one drain per lane and connection at a time, with a fencing number.

For economy and order only: a holder that lost its lease does no harm, because every write to
the store compares the version it planned on.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from registration_core.errors import SyncError
from registration_core.store.database import Database, StoreUnavailable
from sync.ledger.tables import LeaseRow

#: How long a lease lasts without renewal; a killed holder blocks its lane for this long.
LEASE = timedelta(seconds=8)


@dataclass(frozen=True)
class Lease:
    """A held lease; `fence` is higher than that of every earlier holder."""

    name: str
    holder: str
    fence: int


class LeaseLost(SyncError):
    """Another holder took the lease over; nothing more is written by this one."""

    code = "lease_lost"


@contextmanager
def held(database: Database, name: str) -> Iterator[Lease | None]:
    """Hold the lease `name`, or yield None when somebody else does.

    A thread renews it while it is held, so that a CRM call of any length keeps it.
    """
    lease = _take(database, name)
    if lease is None:
        yield None
        return
    done = threading.Event()
    renewer = threading.Thread(target=_keep, args=(database, lease, done), daemon=True)
    renewer.start()
    try:
        yield lease
    finally:
        done.set()
        renewer.join()
        _release(database, lease)


def require(database: Database, lease: Lease) -> None:
    """Raise `LeaseLost` unless the lease is still held: asked right before a write is sent."""
    if not renew(database, lease):
        raise LeaseLost(f"The lease {lease.name} was taken over.")


def _keep(database: Database, lease: Lease, done: threading.Event) -> None:
    while not done.wait(LEASE.total_seconds() / 3):
        try:
            if not renew(database, lease):
                return
        except StoreUnavailable:
            continue  # the store is away: the lease runs out, and `require` will tell


def renew(database: Database, lease: Lease) -> bool:
    """Prolong a lease; False when it was lost meanwhile, and the drain should end."""
    with database.begin() as unit:
        row = unit.session.get(LeaseRow, lease.name, with_for_update=True)
        if row is None or row.fence != lease.fence:
            return False
        row.expires_at = unit.now + LEASE
        return True


def _take(database: Database, name: str) -> Lease | None:
    holder = f"{socket.gethostname()}:{os.getpid()}:{threading.get_ident()}"
    try:
        with database.begin() as unit:
            row = unit.session.get(LeaseRow, name, with_for_update=True)
            if row is None:
                row = LeaseRow(name=name, holder="", fence=0, expires_at=unit.now)
                unit.session.add(row)
            elif row.holder and row.expires_at > unit.now and not _is_dead(row.holder):
                return None
            row.holder, row.fence, row.expires_at = holder, row.fence + 1, unit.now + LEASE
            return Lease(name, holder, row.fence)
    except IntegrityError:  # two first holders at once: the other one has it
        return None


def _is_dead(holder: str) -> bool:
    """Whether a holder on this machine is known to have died: its lane need not wait."""
    host, pid, _ = holder.rsplit(":", 2)
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:  # it lives and is not ours
        return False
    return False


def _release(database: Database, lease: Lease) -> None:
    with database.begin() as unit:
        unit.session.execute(
            update(LeaseRow)
            .where(LeaseRow.name == lease.name, LeaseRow.fence == lease.fence)
            .values(holder="", expires_at=unit.now)
        )
