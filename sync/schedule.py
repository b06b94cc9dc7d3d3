"""Slots of repeated jobs: claimed by compare-and-set, so that any number of clocks fire each once."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from sync.ledger.tables import ScheduleRow
from sync.runtime import Runtime


def claim(runtime: Runtime, name: str, every_seconds: int, *, at_once: bool = True) -> bool:
    """Claim a slot if it is due; one that was missed while nobody ran fires once.

    A slot that was never claimed is due `at_once`, or else after its first interval.
    """
    now = runtime.database.clock()
    with runtime.database.read() as session:
        row = session.get(ScheduleRow, name)
        seen = row.next_at if row else None
    if seen is not None and seen > now:
        return False
    following = now + timedelta(seconds=every_seconds)
    try:
        with runtime.database.begin() as unit:
            if seen is None:
                unit.session.add(ScheduleRow(name=name, next_at=following))
                unit.session.flush()
                return at_once
            moved = unit.session.execute(
                update(ScheduleRow)
                .where(ScheduleRow.name == name, ScheduleRow.next_at == seen)
                .values(next_at=following)
                .returning(ScheduleRow.name)
            ).first()
            return moved is not None
    except IntegrityError:  # another clock made the row first
        return False
