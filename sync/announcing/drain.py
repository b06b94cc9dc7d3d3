"""Deliver what is due, each announcement through every channel of its audience.

An announcement is settled in a commit of its own after each delivery, so that a crash repeats one
message at most; receivers know a repeat by its id. What a channel refuses for good, or for too
long, becomes a dead letter; a partner of whom no address is kept stays untold, with that reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import structlog
from sqlalchemy import select

from registration_core.announcing import Audience, Topic
from registration_core.contracts import ConnectionName
from registration_core.store import repository
from registration_core.store.announcements import AnnouncementRow
from registration_core.store.database import UnitOfWork
from sync import leases
from sync.announcing.port import Channel, Message, NoAddress, Undeliverable, Undelivered
from sync.announcing.wording import worded
from sync.carrying import dead_letter
from sync.runtime import Runtime

log = structlog.get_logger()

#: Most announcements of one drain; the next look goes on.
MOST = 200
#: After so many attempts, over about a day, an announcement becomes a dead letter.
ATTEMPTS_MAX = 12
#: The first and the longest wait between two attempts, in seconds; it doubles.
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 30, 4 * 3600


def drain(runtime: Runtime) -> int:
    """Deliver due announcements; returns how many were settled. Safe to run anywhere, any time."""
    with leases.held(runtime.database, "announce") as lease:
        if lease is None:
            return 0
        return sum(_deliver(runtime, row_id) for row_id in _due(runtime))


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


def _deliver(runtime: Runtime, row_id: str) -> bool:
    with runtime.database.read() as session:
        row = session.get_one(AnnouncementRow, row_id)
        to = _address(runtime, row)
    subject, text = worded(Topic(row.topic), Audience(row.audience), row.facts)
    message = Message(row.id, row.topic, subject, text, row.facts, to, row.created_at)
    channels = [each for each in runtime.channels if each.audience == row.audience]
    for channel in channels:
        if channel.name in row.delivered:
            continue
        failure = _send(channel, message)
        with runtime.database.begin() as unit:
            now = unit.session.get_one(AnnouncementRow, row_id, with_for_update=True)
            if isinstance(failure, NoAddress):
                now.reason = failure.message
            elif failure is not None:
                _note_failure(unit, now, channel, failure)
                return False
            else:
                now.delivered = [*now.delivered, channel.name]
    with runtime.database.begin() as unit:
        now = unit.session.get_one(AnnouncementRow, row_id, with_for_update=True)
        now.state, now.settled_at = "done" if now.delivered else "untold", unit.now
    return True


def _address(runtime: Runtime, row: AnnouncementRow) -> str:
    if row.audience != Audience.PARTNER or row.registration_id is None:
        return ""
    with runtime.database.read() as session:
        registration = repository.registration(session, row.registration_id)
        return repository.partner_by_id(session, registration.partner_id).email


def _send(channel: Channel, message: Message) -> Undelivered | None:
    try:
        channel.deliver(message)
    except Undelivered as failure:
        log.warning("not delivered", channel=channel.name, announcement=message.id,
                    reason=failure.message)  # fmt: skip
        return failure
    return None


def _note_failure(
    unit: UnitOfWork, row: AnnouncementRow, channel: Channel, failure: Undelivered
) -> None:
    """Try again later, or end as a dead letter that says what to type."""
    row.attempts, row.reason = row.attempts + 1, failure.message
    wait = min(FIRST_WAIT_SECONDS * 2 ** (row.attempts - 1), LONGEST_WAIT_SECONDS)
    row.due_at = unit.now + timedelta(seconds=wait)
    if isinstance(failure, Undeliverable) or row.attempts >= ATTEMPTS_MAX:
        row.state = "dead"
        unit.session.add(
            dead_letter(
                unit, "announce", ConnectionName(channel.name), row.registration_id, "announcement",
                row.id, payload=row.facts, code=failure.code, reason=failure.message,
            )
        )  # fmt: skip
