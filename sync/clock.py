"""What runs when: the schedule, and the sweep that makes a lost nudge cost seconds.

Any number of clocks may run: a slot is claimed by compare-and-set, so it fires once.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog
from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from registration_core import protecting
from registration_core.contracts import ConnectionName, Mode
from registration_core.store import audit, match_upkeep
from registration_core.store.tables import CheckRequestRow, OutboxRow
from sync.gates import ladder
from sync.ledger.stamps import StampRow
from sync.ledger.tables import ConnectionStateRow, InboxRow, IntentRow
from sync.mappings import schema_watch
from sync.outcomes import stamps
from sync.process import check_claims, housekeeping, schedule
from sync.process.runtime import Runtime
from sync.traffic import switch

log = structlog.get_logger()

#: How often due work is looked for, in seconds.
SWEEP_SECONDS = 1.0


def tick(runtime: Runtime, nudge: Callable[[set[str]], None]) -> set[str]:
    """Do one round: nudge for due work, and fire the slots that are due; returns the nudges."""
    runtime.look_again()
    kinds = due_work(runtime)
    for name in readable(runtime):
        if schedule.claim(runtime, f"poll:{name}", runtime.poll_seconds):
            kinds.add(f"poll:{name}")
        if schema_watch.due(runtime, name):
            kinds.add(f"schema:{name}")
    if schedule.claim(runtime, "expire", 3600):
        expired = protecting.expire_all(runtime.database)
        if expired:
            log.info("protections moved", registrations=len(expired))
    if schedule.claim(runtime, "checkpoint", 3600):
        with runtime.database.begin() as unit:
            audit.checkpoint(unit)
    if schedule.claim(runtime, "match_keys", 86400):
        match_upkeep.recount(runtime.database)
    if schedule.claim(runtime, "prune", 86400):
        log.info("pruned", **housekeeping.prune(runtime.database))
    if kinds:
        nudge(kinds)
    return kinds


def readable(runtime: Runtime) -> list[ConnectionName]:
    """Return the connections that may be read now: not off, and not stopped by a person."""
    with runtime.database.read() as session:
        stops = switch.stops(session)
        stands = ladder.rungs(runtime, session, list(runtime.connectors))
    on = [name for name, rung in stands.items() if rung.mode is not Mode.OFF]
    return [n for n in on if not any(stop.covers(n, writing=False) for stop in stops)]


def due_work(runtime: Runtime) -> set[str]:
    """Return the kinds of work that the store says are due now; what is paused or stopped rests."""
    now = runtime.database.clock()
    with runtime.database.read() as session:
        paused = set(
            session.scalars(
                select(ConnectionStateRow.connection).where(ConnectionStateRow.paused_until > now)
            )
        )
        pushes = session.scalars(
            select(OutboxRow.connection)
            .where(
                OutboxRow.state == "open",
                OutboxRow.done < OutboxRow.wanted,
                OutboxRow.due_at <= now,
            )
            .distinct()
        ).all()
        audits = session.scalars(
            select(IntentRow.connection)
            .where(IntentRow.audit_since.is_not(None), IntentRow.state != "set_aside")
            .distinct()
        ).all()
        pulls = session.scalars(
            select(InboxRow.connection)
            .where(InboxRow.read < InboxRow.noticed, InboxRow.due_at <= now)
            .distinct()
        ).all()
        check = session.scalars(
            select(CheckRequestRow.registration_id).where(check_claims.due(now)).limit(1)
        ).first()
        pushes = [*pushes, *_stamped(runtime, session)]
        stops = switch.stops(session)

    def rests(name: str, *, writing: bool) -> bool:
        return name in paused or any(stop.covers(name, writing=writing) for stop in stops)

    kinds = {f"push:{name}" for name in pushes if not rests(name, writing=True)}
    kinds |= {f"push:{name}" for name in audits if not rests(name, writing=False)}
    kinds |= {f"pull:{name}" for name in pulls if not rests(name, writing=False)}
    return kinds | ({"check"} if check else set())


def _stamped(runtime: Runtime, session: Session) -> list[ConnectionName]:
    """Return the connections with stamps that are due; where they may not be written, none is."""
    now = runtime.database.clock()
    waiting = session.scalars(select(StampRow.connection).where(StampRow.state == "due").distinct())
    names = [name for each in waiting if (name := ConnectionName(each)) in runtime.connectors]
    stands = ladder.rungs(runtime, session, names) if names else {}
    return [n for n in names if session.scalar(select(exists().where(*stamps.due(stands[n], now))))]
