"""Slots of repeated jobs: claimed by compare-and-set, so that any number of clocks fire each once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from registration_core.store.database import UnitOfWork
from sync.ledger.tables import ScheduleRow
from sync.process.runtime import Runtime


def claim(
    runtime: Runtime,
    name: str,
    every_seconds: int,
    *,
    at_once: bool = True,
    begin: Callable[[UnitOfWork], object] | None = None,
) -> bool:
    """Claim a slot if it is due; one that was missed while nobody ran fires once.

    A slot that was never claimed is due `at_once`, or else after its first interval. What `begin`
    begins is in the commit of the claim: whoever dies in between leaves the slot due.
    """
    now = runtime.database.clock()
    with runtime.database.read() as session:
        row = session.get(ScheduleRow, name)
        seen = row.next_at if row else None
    if seen is not None and seen > now:
        return False
    with runtime.database.begin() as unit:
        following = now + timedelta(seconds=every_seconds)
        claimed = _moved(unit, name, seen, following) and (at_once or seen is not None)
        if claimed and begin is not None:
            begin(unit)
        return claimed


def _moved(unit: UnitOfWork, name: str, seen: datetime | None, following: datetime) -> bool:
    """Move a slot on, or make it; False if another clock was faster."""
    if seen is None:
        try:
            with unit.session.begin_nested():
                unit.session.add(ScheduleRow(name=name, next_at=following))
        except IntegrityError:
            return False
        return True
    moved = unit.session.execute(
        update(ScheduleRow)
        .where(ScheduleRow.name == name, ScheduleRow.next_at == seen)
        .values(next_at=following)
        .returning(ScheduleRow.name)
    ).first()
    return moved is not None
