"""Deliver what is due, each announcement through every channel of its audience.

Each delivery is noted in a commit of its own, so that a crash repeats one message at most; receivers
know a repeat by its id. No channel waits for another, and no announcement either: what one fails
with is its own. What a channel refuses for good, or for too long, becomes a dead letter; a partner
of whom no address is kept stays untold, with that reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from registration_core.announcing import Audience, Topic
from registration_core.contracts import ConnectionName
from registration_core.store import repository
from registration_core.store.announcements import AnnouncementRow
from registration_core.store.database import UnitOfWork
from sync.announcing.wording import worded
from sync.channels.port import (
    Channel,
    Message,
    NoAddress,
    Undeliverable,
    Undelivered,
    Unreachable,
)
from sync.plans.carrying import dead_letter
from sync.process import leases
from sync.process.runtime import Runtime

log = structlog.get_logger()

#: Most announcements of one drain; the next look goes on.
MOST = 200
#: After so many attempts, over about a day, an announcement becomes a dead letter.
ATTEMPTS_MAX = 12
#: The first and the longest wait between two attempts, in seconds; it doubles.
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 30, 4 * 3600


@dataclass(frozen=True)
class _Look:
    """One drain under one lease."""

    lease: leases.Lease
    #: Channels on which nobody answered, with their failure: they are waited for once.
    away: dict[str, Undelivered] = field(default_factory=dict)


def drain(runtime: Runtime) -> int:
    """Deliver due announcements; returns how many were settled. Safe to run anywhere, any time."""
    with leases.held(runtime.database, "announce") as lease:
        if lease is None:
            return 0
        look, settled = _Look(lease), 0
        try:
            for row_id in _due(runtime):
                settled += _deliver(runtime, look, row_id)
        except leases.LeaseLost as lost:
            log.warning("announcing stopped", code=lost.code, reason=lost.message)
        return settled


def any_due(runtime: Runtime) -> bool:
    """Whether an announcement is due."""
    return bool(_due(runtime, 1))


def _due(runtime: Runtime, most: int = MOST) -> Sequence[str]:
    with runtime.database.read() as session:
        return session.scalars(
            select(AnnouncementRow.id)
            .where(
                AnnouncementRow.state == "open",
                AnnouncementRow.due_at <= runtime.database.clock(),
            )
            .order_by(AnnouncementRow.due_at)
            .limit(most)
        ).all()


def _deliver(runtime: Runtime, look: _Look, row_id: str) -> bool:
    """Send one announcement through every channel that does not have it; whether it is settled."""
    with runtime.database.read() as session:
        row = session.get_one(AnnouncementRow, row_id)
        to = _address(session, row)
    failures: dict[str, Undelivered] = {}
    tried = False
    for channel in runtime.channels:
        if channel.audience != row.audience or channel.name in row.delivered:
            continue
        failure = look.away.get(channel.name)
        if failure is None:
            leases.require(runtime.database, look.lease)
            failure = _send(channel, row, to)
            tried = tried or failure is not None
        if isinstance(failure, Unreachable):
            look.away[channel.name] = failure
        if failure is not None:
            failures[channel.name] = failure
            continue
        with runtime.database.begin() as unit:
            now = unit.session.get_one(AnnouncementRow, row_id, with_for_update=True)
            now.delivered = [*now.delivered, channel.name]
    with runtime.database.begin() as unit:
        now = unit.session.get_one(AnnouncementRow, row_id, with_for_update=True)
        _settle(unit, now, failures, tried=tried)
        return now.state in ("done", "untold")


def _address(session: Session, row: AnnouncementRow) -> str:
    if row.audience != Audience.PARTNER or row.registration_id is None:
        return ""
    registration = repository.registration(session, row.registration_id)
    return repository.partner_by_id(session, registration.partner_id).email


def _send(channel: Channel, row: AnnouncementRow, to: str) -> Undelivered | None:
    try:
        subject, text = worded(Topic(row.topic), Audience(row.audience), row.facts)
        channel.deliver(Message(row.id, row.topic, subject, text, row.facts, to, row.created_at))
    except Undelivered as failure:
        log.warning("not delivered", channel=channel.name, announcement=row.id,
                    reason=failure.message)  # fmt: skip
        return failure
    except Exception as error:  # nobody foresaw it; the others are told all the same
        log.exception("not delivered", channel=channel.name, announcement=row.id)
        return Undelivered(f"{channel.name}: {type(error).__name__}, see the log")
    return None


def _settle(
    unit: UnitOfWork, row: AnnouncementRow, failures: Mapping[str, Undelivered], *, tried: bool
) -> None:
    """End an announcement, or try again what may still be taken later.

    It rests when no channel may take it later; then what was refused is one dead letter, which
    says what to type. What was not tried, because nobody answered another one, counts no attempt.
    """
    if row.state != "open":
        return  # another drain was faster
    row.reason = "; ".join(failure.message for failure in failures.values())
    failed = {n: each for n, each in failures.items() if not isinstance(each, NoAddress)}
    if not failed:
        row.state, row.settled_at = "done" if row.delivered else "untold", unit.now
        return
    row.attempts += tried
    doublings = row.attempts - 1 if tried else 0
    wait = min(FIRST_WAIT_SECONDS * 2**doublings, LONGEST_WAIT_SECONDS)
    row.due_at = unit.now + timedelta(seconds=wait)
    refused = all(isinstance(failure, Undeliverable) for failure in failed.values())
    if refused or row.attempts >= ATTEMPTS_MAX:
        row.state = "dead"
        name, failure = next(iter(failed.items()))
        unit.session.add(
            dead_letter(
                unit, "announce", ConnectionName(name), row.registration_id, "announcement",
                row.id, payload=row.facts, code=failure.code, reason=row.reason,
                remedy=failure.hint,
            )
        )  # fmt: skip
