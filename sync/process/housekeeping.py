"""What the store need not keep for ever is deleted, nightly and a little at a time.

Kept for good: registrations, claims, decisions and the complete checks they rest on, links, open
work of every kind, conflicts, what people declined, account lists, and the audit trail. That an end
was announced is kept until it has come, so that nobody is told twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, exists, select, tuple_
from sqlalchemy.orm import aliased

from registration_core.announcing import Topic
from registration_core.store import overrides
from registration_core.store.announcements import AnnouncementRow
from registration_core.store.database import Database
from registration_core.store.tables import Base, ConflictCheckRow, RegistrationRow
from sync.ledger.drift import DriftFindingRow, DriftRunRow
from sync.ledger.gates import HeldChangeRow, HeldRow, TallyRow
from sync.ledger.tables import DeadLetterRow, InboxRow, IntentRow, QuarantineRow, SyncRunRow

#: Settled writes with their payloads and before-images, runs, settled dead letters, released
#: changes, incomplete checks. After that a run can no longer be undone.
KEPT = timedelta(days=90)
#: Notices that were read, and the bodies of webhooks from unknown orgs.
RUMOURS_KEPT = timedelta(days=30)
#: Counts for the caps, whose longest window is an hour.
COUNTS_KEPT = timedelta(days=1)
#: Most rows of one commit, so that nobody waits long for the store.
ROWS_MAX = 1_000


def prune(database: Database) -> Mapping[str, int]:
    """Delete what is too old, in commits of `ROWS_MAX` rows; returns how many by table."""
    now = database.clock()
    return {
        table.__tablename__: sum(_chunks(database, table, where))
        for table, where in _too_old(now).items()
    }


def _too_old(now: datetime) -> Mapping[type[Base], ColumnElement[bool]]:
    old, newer = now - KEPT, aliased(ConflictCheckRow)
    # A check that could not read everything decided nothing; the newest says what is waited for.
    superseded = exists().where(
        newer.registration_id == ConflictCheckRow.registration_id,
        newer.began_at > ConflictCheckRow.began_at,
    )
    # An end that is still to come is foreseen every hour, and its notices say that it was told.
    to_come = exists().where(
        RegistrationRow.id == AnnouncementRow.registration_id,
        RegistrationRow.protection_ends_on >= now.date(),
    )
    foretold = (AnnouncementRow.topic == Topic.EXPIRING.value) & to_come
    released = select(HeldRow.id).where(HeldRow.state == "released", HeldRow.decided_at < old)
    return {
        TallyRow: TallyRow.minute < now - COUNTS_KEPT,
        InboxRow: (InboxRow.read >= InboxRow.noticed) & (InboxRow.noticed_at < now - RUMOURS_KEPT),
        QuarantineRow: QuarantineRow.received_at < now - RUMOURS_KEPT,
        IntentRow: (IntentRow.settled_at < old) & IntentRow.audit_since.is_(None),
        SyncRunRow: (SyncRunRow.started_at < old) & (SyncRunRow.state != "running"),
        DeadLetterRow: (DeadLetterRow.state != "open") & (DeadLetterRow.settled_at < old),
        HeldChangeRow: HeldChangeRow.held_id.in_(released),
        DriftRunRow: (DriftRunRow.finished_at < old)
        & DriftRunRow.id.not_in(select(DriftFindingRow.run_id)),
        AnnouncementRow: (AnnouncementRow.settled_at < old) & ~foretold,
        ConflictCheckRow: (ConflictCheckRow.finished_at < old)
        & superseded
        & ~ConflictCheckRow.complete
        & ~overrides.accepted(),
    }


def _chunks(database: Database, table: type[Base], where: ColumnElement[bool]) -> list[int]:
    deleted = [ROWS_MAX]
    key = table.__mapper__.primary_key
    while deleted[-1] == ROWS_MAX:
        few = select(*key).where(where).limit(ROWS_MAX)
        with database.begin() as unit:
            keys = [tuple(row) for row in unit.session.execute(few)]
            if keys:
                unit.session.execute(delete(table).where(tuple_(*key).in_(keys)))
        deleted.append(len(keys))
    return deleted[1:]
