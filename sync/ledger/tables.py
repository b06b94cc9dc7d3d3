"""Sync's tables; they share the core's metadata, so that one commit can hold both."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from registration_core.contracts import Fields
from registration_core.store.database import UnitOfWork
from registration_core.store.tables import Base


class LinkRow(Base):
    """A registration and the CRM record that mirrors it, with the base both sides agreed on.

    `version` rises with every change of the row; a write that planned on an older version is
    thrown away, so that a stolen lease costs work and never data.
    """

    __tablename__ = "link"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    registration_id: Mapped[str] = mapped_column(ForeignKey("registration.id"))
    connection: Mapped[str] = mapped_column(String(64))
    object: Mapped[str] = mapped_column(String(64))
    record_id: Mapped[str] = mapped_column(String(64))
    #: `primary`, `attach` or `influence`.
    role: Mapped[str] = mapped_column(String(16))
    #: `active`, or `orphaned` when the CRM lost the record; it is never made again by itself.
    state: Mapped[str] = mapped_column(String(16))
    #: Values both sides last agreed on, in our own terms; empty right after linking by hand.
    base: Mapped[Fields]
    #: Digest of the mapping that the base was last agreed under; empty before that.
    mapping_version: Mapped[str] = mapped_column(String(64))
    #: What the CRM's record held at `remote_version`, in the CRM's own names: what the next write
    #: is planned on without a read. Both None where it has to be read first.
    remote: Mapped[Fields | None]
    remote_version: Mapped[str | None] = mapped_column(String(255))
    #: Values to write back once, because a resolution or a run was undone, and what that had
    #: written there: where the record holds neither, somebody has changed it since.
    restore: Mapped[Fields | None]
    undone: Mapped[Fields | None]
    #: By field group: the values last written and how often in a row, for the breaker.
    repeats: Mapped[dict[str, Any]]
    version: Mapped[int]
    created_at: Mapped[datetime]
    changed_at: Mapped[datetime]
    #: When the record became one of `object` (a converted lead); the registration then stays on
    #: it, whatever the mapping would choose. None where the mapping chose.
    converted_at: Mapped[datetime | None]
    #: When somebody else last changed the record, by the CRM's clock, as far as a plan has seen;
    #: None where nobody has.
    contended_at: Mapped[datetime | None]
    reason: Mapped[str] = mapped_column(Text)
    __table_args__ = (
        UniqueConstraint("connection", "object", "record_id"),
        Index(
            "uq_link_primary",
            "registration_id",
            "connection",
            "object",
            unique=True,
            sqlite_where=text("role = 'primary'"),
            postgresql_where=text("role = 'primary'"),
        ),
    )

    @classmethod
    def fresh(
        cls,
        unit: UnitOfWork,
        registration_id: str,
        place: tuple[str, str, str],
        base: Fields,
        mapping_version: str = "",
    ) -> LinkRow:
        """Return a new primary link to the record at `place`: connection, object, record id."""
        connection, object_name, record_id = place
        return cls(
            id=unit.ids.new(), registration_id=registration_id, connection=connection,
            object=object_name, record_id=record_id, role="primary", state="active", base=base,
            mapping_version=mapping_version, remote=None, remote_version=None, restore=None,
            undone=None,
            repeats={}, version=1, created_at=unit.now, changed_at=unit.now, converted_at=None,
            contended_at=None, reason="",
        )  # fmt: skip


class CompanionRow(Base):
    """A record beside a registration's own that it refers to, or that refers to it."""

    __tablename__ = "companion"
    registration_id: Mapped[str] = mapped_column(ForeignKey("registration.id"), primary_key=True)
    connection: Mapped[str] = mapped_column(String(64), primary_key=True)
    #: `contact` or `line_item`; which account it is, the registration says.
    name: Mapped[str] = mapped_column(String(16), primary_key=True)
    object: Mapped[str] = mapped_column(String(64))
    #: None while it is owed: what it refers to is there, and it is not made yet.
    record_id: Mapped[str | None] = mapped_column(String(64))
    changed_at: Mapped[datetime]


class LinkProposalRow(Base):
    """An existing CRM record that may be the registration's, for a person to accept or reject."""

    __tablename__ = "link_proposal"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    registration_id: Mapped[str] = mapped_column(ForeignKey("registration.id"), index=True)
    connection: Mapped[str] = mapped_column(String(64))
    object: Mapped[str] = mapped_column(String(64))
    record_id: Mapped[str] = mapped_column(String(64))
    #: `strong` or `review`: how surely it is the registration's.
    band: Mapped[str] = mapped_column(String(16), server_default="review")
    evidence: Mapped[dict[str, Any]]
    #: `proposed`, `accepted`, `rejected`.
    state: Mapped[str] = mapped_column(String(16))
    proposed_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[str] = mapped_column(String(255))
    __table_args__ = (
        UniqueConstraint("registration_id", "connection", "object", "record_id"),
        Index("ix_link_proposal_record", "connection", "object", "record_id"),
    )


class LinkSearchRow(Base):
    """How far the records of a connection were searched for those that registrations have there."""

    __tablename__ = "link_search"
    connection: Mapped[str] = mapped_column(String(64), primary_key=True)
    object: Mapped[str] = mapped_column(String(64), primary_key=True)
    cursor: Mapped[str] = mapped_column(Text)
    records: Mapped[int]
    begun_at: Mapped[datetime]
    #: Only for registrations that have moved since; None for all.
    since: Mapped[datetime | None]
    #: None while it goes on, or was interrupted: the next search begins where this one stopped.
    finished_at: Mapped[datetime | None]


class IntentRow(Base):
    """A write that was decided, with its payload and before-image, committed before the call.

    A `pending` intent whose answer was lost is looked up before anything else touches the
    record; it is never simply sent again.
    """

    __tablename__ = "intent"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    registration_id: Mapped[str] = mapped_column(ForeignKey("registration.id"), index=True)
    connection: Mapped[str] = mapped_column(String(64))
    object: Mapped[str] = mapped_column(String(64))
    #: Digest of the mapping that it was translated by.
    mapping_version: Mapped[str] = mapped_column(String(64), server_default="")
    #: Which companion it makes; empty for the registration's own record.
    companion: Mapped[str] = mapped_column(String(16), server_default="")
    #: What a create is looked up by; empty before that was kept: the registration's id.
    key: Mapped[str] = mapped_column(String(64), server_default="")
    #: Companions that are owed once it is done, with the objects they are made in.
    owes: Mapped[list[Any]] = mapped_column(server_default="[]")
    #: `create` or `update`.
    operation: Mapped[str] = mapped_column(String(16))
    record_id: Mapped[str | None] = mapped_column(String(64))
    #: In the CRM's own names.
    payload: Mapped[Fields]
    before: Mapped[Fields]
    #: The link's base once the write is confirmed.
    base: Mapped[Fields]
    #: The outbox row's `wanted` that this write answers.
    wanted: Mapped[int]
    #: The link's version in the commit of an update's intent: who moves it after that may have
    #: undone something that this write knows nothing of.
    link_version: Mapped[int | None]
    #: `pending`, `done`, `not_done`, `set_aside` (not done when it was looked up, and audited),
    #: `refused` (an update that the CRM answered it will not do) or `observed` (would have been
    #: written, mode observe).
    state: Mapped[str] = mapped_column(String(16))
    outcome: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]
    #: Time of the CRM's clock from which its history has still to be audited for values that
    #: the write replaced unread; None where nothing is owed.
    audit_since: Mapped[datetime | None]
    #: The run that wrote it; a run can be undone.
    run_id: Mapped[str | None] = mapped_column(String(36), index=True)
    __table_args__ = (
        Index("ix_intent_open", "connection", "state"),
        Index(
            "ix_intent_audit",
            "connection",
            sqlite_where=text("audit_since IS NOT NULL"),
            postgresql_where=text("audit_since IS NOT NULL"),
        ),
    )


class InboxRow(Base):
    """A rumour that a CRM record changed, kept until the record was read.

    One row per record: a new notice raises `noticed`; a drain raises `read` to what it saw
    before it read. Due while `read < noticed`.
    """

    __tablename__ = "inbox"
    connection: Mapped[str] = mapped_column(String(64), primary_key=True)
    object: Mapped[str] = mapped_column(String(64), primary_key=True)
    record_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    noticed: Mapped[int]
    read: Mapped[int]
    #: `webhook`, `poll` or `command`: where the newest notice came from.
    source: Mapped[str] = mapped_column(String(16))
    noticed_at: Mapped[datetime]
    due_at: Mapped[datetime]
    attempts: Mapped[int]
    __table_args__ = (Index("ix_inbox_due", "connection", "due_at"),)


class QuarantineRow(Base):
    """An authentic webhook from an org that the connection is not pinned to."""

    __tablename__ = "quarantine"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    connection: Mapped[str] = mapped_column(String(64))
    org_id: Mapped[str] = mapped_column(String(64))
    body: Mapped[str] = mapped_column(Text)
    received_at: Mapped[datetime]


class CursorRow(Base):
    """How far a connection's change feed of one object was read; moves by compare-and-set."""

    __tablename__ = "cursor"
    connection: Mapped[str] = mapped_column(String(64), primary_key=True)
    object: Mapped[str] = mapped_column(String(64), primary_key=True)
    #: In the CRM's own terms; empty where everything has to be read from the beginning.
    cursor: Mapped[str] = mapped_column(Text)
    #: The CRM's clock up to which everything was handed out.
    as_of: Mapped[datetime]
    version: Mapped[int]
    #: Digest of how the accounts behind the cursor were read; None for other objects, and where
    #: nobody noted it.
    read_as: Mapped[str | None] = mapped_column(String(64))
    #: The lists that all accounts behind the cursor were read for at least once.
    lists_read: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")


class SyncRunRow(Base):
    """One poll of one connection, or one drain that wrote to it, for people to look at."""

    __tablename__ = "sync_run"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    connection: Mapped[str] = mapped_column(String(64))
    #: `poll` or `push`.
    kind: Mapped[str] = mapped_column(String(8))
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    #: `running`, `done`, `failed`.
    state: Mapped[str] = mapped_column(String(16))
    records: Mapped[int]
    notices: Mapped[int]
    message: Mapped[str] = mapped_column(Text)
    __table_args__ = (Index("ix_sync_run_started", "connection", "started_at"),)


class SyncConflictRow(Base):
    """Two sides wanted different values of one field group; at most one is open per link and group."""

    __tablename__ = "sync_conflict"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    link_id: Mapped[str] = mapped_column(ForeignKey("link.id"))
    registration_id: Mapped[str] = mapped_column(ForeignKey("registration.id"), index=True)
    connection: Mapped[str] = mapped_column(String(64))
    field_group: Mapped[str] = mapped_column(String(32))
    #: `open`, `auto_settled` or `resolved`.
    state: Mapped[str] = mapped_column(String(16))
    base: Mapped[Fields | None]
    store: Mapped[Fields]
    remote: Mapped[Fields]
    #: `store` or `remote`: who won by rule; None while open or after a person decided.
    settled: Mapped[str | None] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    opened_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]
    resolved_by: Mapped[str] = mapped_column(String(255))
    #: The values a person chose, and the link's base before that, for undo.
    chosen: Mapped[Fields | None]
    base_before: Mapped[Fields | None]
    __table_args__ = (
        Index(
            "uq_sync_conflict_open",
            "link_id",
            "field_group",
            unique=True,
            sqlite_where=text("state = 'open'"),
            postgresql_where=text("state = 'open'"),
        ),
    )


class DeadLetterRow(Base):
    """Something that will not work however often it is tried: payload, reason, next command."""

    __tablename__ = "dead_letter"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    #: `push`, `pull`, `mapping` or `announce` (its connection is then a channel).
    kind: Mapped[str] = mapped_column(String(16))
    connection: Mapped[str] = mapped_column(String(64))
    registration_id: Mapped[str | None] = mapped_column(ForeignKey("registration.id"))
    object: Mapped[str] = mapped_column(String(64))
    record_id: Mapped[str | None] = mapped_column(String(64))
    payload: Mapped[Fields]
    code: Mapped[str] = mapped_column(String(128))
    reason: Mapped[str] = mapped_column(Text)
    hint: Mapped[str] = mapped_column(Text)
    #: `open`, `retried` or `discarded`.
    state: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]


class LeaseRow(Base):
    """Who drains a lane of a connection; `fence` rises with every new holder."""

    __tablename__ = "lease"
    name: Mapped[str] = mapped_column(String(96), primary_key=True)
    holder: Mapped[str] = mapped_column(String(96))
    fence: Mapped[int]
    expires_at: Mapped[datetime]


class ScheduleRow(Base):
    """When a repeated job is next due; claimed by compare-and-set, so two clocks fire once."""

    __tablename__ = "schedule"
    name: Mapped[str] = mapped_column(String(96), primary_key=True)
    next_at: Mapped[datetime]


class ConnectionStateRow(Base):
    """What all workers share of a connection: its pinned org, its pause, its failures."""

    __tablename__ = "connection_state"
    connection: Mapped[str] = mapped_column(String(64), primary_key=True)
    org_id: Mapped[str | None] = mapped_column(String(64))
    paused_until: Mapped[datetime | None]
    failures: Mapped[int]
    reason: Mapped[str] = mapped_column(Text)
    seen_at: Mapped[datetime | None]
    #: Until then a person vouches that vanished records were deleted on purpose.
    deletes_accepted_until: Mapped[datetime | None]
    #: Accounts that it said are gone, merged ones apart, in the hour that began then.
    accounts_gone_since: Mapped[datetime | None]
    accounts_gone: Mapped[int] = mapped_column(server_default="0")
    #: When linked records were last gone and not believed to be, and the most there were at once.
    links_gone_at: Mapped[datetime | None]
    links_gone: Mapped[int] = mapped_column(server_default="0")
    #: Calls of the CRM's quota, as it last said to any worker; None if it never did.
    calls_used: Mapped[int | None]
    calls_allowed: Mapped[int | None]
    calls_told_at: Mapped[datetime | None]
    #: Until when the CRM last asked to be left alone; calls begin slowly after it.
    quiet_until: Mapped[datetime | None]
    #: The second of which calls were last given away in such a slow start, and how many.
    slice_second: Mapped[datetime | None]
    slice_taken: Mapped[int] = mapped_column(server_default="0")
    #: When the next search may go out, of CRMs that count searches apart.
    search_at: Mapped[datetime | None]
    #: When a webhook delivery was last taken, to a minute.
    webhook_at: Mapped[datetime | None]

    @classmethod
    def fresh(cls, connection: str) -> ConnectionStateRow:
        """Return the row of a connection that nothing is known of yet."""
        return cls(
            connection=connection, org_id=None, paused_until=None, failures=0, reason="",
            seen_at=None, deletes_accepted_until=None, accounts_gone_since=None, accounts_gone=0,
            calls_used=None, calls_allowed=None, calls_told_at=None, quiet_until=None,
            slice_second=None, slice_taken=0, search_at=None, webhook_at=None,
            links_gone_at=None, links_gone=0,
        )  # fmt: skip


class ConnectionTokenRow(Base):
    """The token that all workers of a connection share; encrypted, see `sync/traffic/tokens.py`."""

    __tablename__ = "connection_token"
    connection: Mapped[str] = mapped_column(String(64), primary_key=True)
    access_token: Mapped[str] = mapped_column(Text)
    #: Empty where the way to sign in has none.
    refresh_token: Mapped[str] = mapped_column(Text)
    expires_at: Mapped[datetime | None]
    #: What came with it and is no secret.
    details: Mapped[dict[str, Any]]
    #: Digest of the credentials it was got with.
    made_with: Mapped[str] = mapped_column(String(64))
    changed_at: Mapped[datetime]
