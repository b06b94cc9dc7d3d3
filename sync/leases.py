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

from registration_core.store.database import Database
from sync.ledger.tables import LeaseRow

#: How long a lease lasts without renewal; a killed holder blocks its lane for this long.
LEASE = timedelta(seconds=8)


@dataclass(frozen=True)
class Lease:
    """A held lease; `fence` is higher than that of every earlier holder."""

    name: str
    holder: str
    fence: int


@contextmanager
def held(database: Database, name: str) -> Iterator[Lease | None]:
    """Hold the lease `name`, or yield None when somebody else does."""
    lease = _take(database, name)
    try:
        yield lease
    finally:
        if lease is not None:
            _release(database, lease)


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
            elif row.holder and row.expires_at > unit.now:
                return None
            row.holder, row.fence, row.expires_at = holder, row.fence + 1, unit.now + LEASE
            return Lease(name, holder, row.fence)
    except IntegrityError:  # two first holders at once: the other one has it
        return None


def _release(database: Database, lease: Lease) -> None:
    with database.begin() as unit:
        unit.session.execute(
            update(LeaseRow)
            .where(LeaseRow.name == lease.name, LeaseRow.fence == lease.fence)
            .values(holder="", expires_at=unit.now)
        )
