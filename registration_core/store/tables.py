"""The core's tables: partners, customers, registrations, claims, directory, audit, outbox.

One metadata for the whole program: `sync/ledger/tables.py` adds its own tables to `Base`.
Migrations are in `migrations/`; a test proves that they and these classes agree.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, MetaData, String, Text, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from registration_core.contracts import Fields
from registration_core.model import Customer
from registration_core.store.types import CustomerJson, FieldsJson, Json, Money, UtcDateTime

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Root of every table class."""

    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map = {  # noqa: RUF012 - read by SQLAlchemy, never changed
        datetime: UtcDateTime,
        Decimal: Money,
        dict[str, Any]: Json,
        list[Any]: Json,
        Fields: FieldsJson,
        Customer: CustomerJson,
    }


class StoreLockRow(Base):
    """The one store-wide protection lock; its row also counts receipts (law 7)."""

    __tablename__ = "store_lock"
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    receipt_seq: Mapped[int]


class PartnerRow(Base):
    """A partner."""

    __tablename__ = "partner"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    code: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(255))
    tier: Mapped[str] = mapped_column(String(32))
    email: Mapped[str] = mapped_column(String(254))
    active: Mapped[bool]
    created_at: Mapped[datetime]


class CustomerRow(Base):
    """A resolved end customer."""

    __tablename__ = "customer"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime]


class CustomerKeyRow(Base):
    """One exact match key (tax id, DUNS, domain, folded name and country) of a customer.

    Several customers may have the same domain or name; a tax id or DUNS has one owner.
    """

    __tablename__ = "customer_key"
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    value: Mapped[str] = mapped_column(String(255), primary_key=True)
    customer_id: Mapped[str] = mapped_column(
        ForeignKey("customer.id"), primary_key=True, index=True
    )


class MatchDecisionRow(Base):
    """What a person said about a match of a customer; `store/match_decisions.py`."""

    __tablename__ = "match_decision"
    customer_id: Mapped[str] = mapped_column(ForeignKey("customer.id"), primary_key=True)
    #: `account:CONNECTION:RECORD` or `customer:ID`.
    other: Mapped[str] = mapped_column(String(160), primary_key=True, index=True)
    same: Mapped[bool]
    reason: Mapped[str] = mapped_column(Text)
    decided_by: Mapped[str] = mapped_column(String(255))
    decided_at: Mapped[datetime]


class RegistrationRow(Base):
    """A registration; `model.Registration` tells what each field means."""

    __tablename__ = "registration"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    number: Mapped[str] = mapped_column(String(32), unique=True)
    #: Idempotency token of the submit, unique per partner.
    token: Mapped[str] = mapped_column(String(128))
    program: Mapped[str] = mapped_column(String(64))
    partner_id: Mapped[str] = mapped_column(ForeignKey("partner.id"), index=True)
    submitted_by: Mapped[str] = mapped_column(String(255))
    customer: Mapped[Customer]
    customer_id: Mapped[str] = mapped_column(ForeignKey("customer.id"), index=True)
    deal_name: Mapped[str] = mapped_column(String(255))
    product_line: Mapped[str] = mapped_column(String(64))
    amount: Mapped[Decimal]
    currency: Mapped[str] = mapped_column(String(3))
    expected_close_on: Mapped[date]
    description: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(24), index=True)
    sales_stage: Mapped[str] = mapped_column(String(24))
    protection_state: Mapped[str] = mapped_column(String(24))
    dispute_state: Mapped[str] = mapped_column(String(24))
    submitted_at: Mapped[datetime]
    receipt_seq: Mapped[int] = mapped_column(unique=True)
    match_keys_changed_at: Mapped[datetime]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    version: Mapped[int]
    reason_code: Mapped[str | None] = mapped_column(String(32))
    partner_message: Mapped[str | None] = mapped_column(Text)
    decided_at: Mapped[datetime | None]
    protection_starts_on: Mapped[date | None]
    protection_ends_on: Mapped[date | None]
    converted_at: Mapped[datetime | None]
    actual_close_on: Mapped[date | None]
    won_amount: Mapped[Decimal | None]
    loss_reason: Mapped[str | None] = mapped_column(String(255))
    contact_name: Mapped[str] = mapped_column(String(255))
    contact_email: Mapped[str] = mapped_column(String(254))
    roles: Mapped[dict[str, Any]]
    accounts: Mapped[dict[str, Any]]
    owners: Mapped[dict[str, Any]]
    custom: Mapped[Fields]
    registered: Mapped[Fields] = mapped_column(server_default="{}")
    __table_args__ = (UniqueConstraint("partner_id", "token"),)


class CutOverRow(Base):
    """Who said that a file of another system's registrations is right; standing claims take two."""

    __tablename__ = "cut_over"
    #: Digest of the file and of the program's name.
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    #: Operating-system users.
    first_by: Mapped[str] = mapped_column(String(255))
    first_at: Mapped[datetime]
    second_by: Mapped[str] = mapped_column(String(255))
    second_at: Mapped[datetime | None]


class ClaimRow(Base):
    """A protection claim; the partial unique index is the backstop of the protection lock."""

    __tablename__ = "claim"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    registration_id: Mapped[str] = mapped_column(ForeignKey("registration.id"), index=True)
    customer_id: Mapped[str] = mapped_column(ForeignKey("customer.id"))
    product_line: Mapped[str] = mapped_column(String(64))
    slot: Mapped[int]
    state: Mapped[str] = mapped_column(String(16))
    starts_on: Mapped[date]
    ends_on: Mapped[date]
    __table_args__ = (
        Index(
            "uq_claim_standing",
            "customer_id",
            "product_line",
            "slot",
            unique=True,
            sqlite_where=text("state = 'standing'"),
            postgresql_where=text("state = 'standing'"),
        ),
    )


class DisputeRow(Base):
    """One dispute of a registration; `store/disputes.py`."""

    __tablename__ = "dispute"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    registration_id: Mapped[str] = mapped_column(ForeignKey("registration.id"), index=True)
    because: Mapped[str] = mapped_column(Text)
    opened_at: Mapped[datetime]
    decision: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    decided_by: Mapped[str] = mapped_column(String(255))
    decided_at: Mapped[datetime | None]


class CheckOverrideRow(Base):
    """Somebody's word that the stale evidence of a check may be decided on."""

    __tablename__ = "check_override"
    check_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    os_user: Mapped[str] = mapped_column(String(255), primary_key=True)
    actor: Mapped[str] = mapped_column(String(255))
    reason: Mapped[str] = mapped_column(Text)
    given_at: Mapped[datetime]


class AccountRow(Base):
    """An account of a CRM in the account directory."""

    __tablename__ = "account"
    connection: Mapped[str] = mapped_column(String(64), primary_key=True)
    record_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    object: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(255))
    country: Mapped[str] = mapped_column(String(64))
    city: Mapped[str] = mapped_column(String(255))
    domain: Mapped[str] = mapped_column(String(255))
    tax_id: Mapped[str] = mapped_column(String(64))
    duns: Mapped[str] = mapped_column(String(32))
    owner: Mapped[str] = mapped_column(String(64))
    lists: Mapped[list[Any]]
    read_at: Mapped[datetime]
    postcode: Mapped[str] = mapped_column(String(32), default="")
    phone: Mapped[str] = mapped_column(String(64), default="")
    parent: Mapped[str] = mapped_column(String(64), default="")
    aliases: Mapped[str] = mapped_column(Text, default="")
    other_domains: Mapped[str] = mapped_column(Text, default="")
    #: What the CRM says of its lists: list, owner, reason.
    list_words: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")
    #: Digest of connection and record id, by which the match keys know the account.
    ref: Mapped[int] = mapped_column(BigInteger, unique=True)
    __table_args__ = (Index("ix_account_parent", "connection", "parent"),)


class MatchKeyRow(Base):
    """A match key of an account, as a digest; kept in the transaction that writes the account."""

    __tablename__ = "match_key"
    key: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    account_ref: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    # Nothing but the key: SQLite then keeps the rows in the index itself.
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - read by SQLAlchemy


class RegistrationKeyRow(Base):
    """A match key of a live registration's customer, as a digest; kept like an account's."""

    __tablename__ = "registration_key"
    key: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    receipt_seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - read by SQLAlchemy


class MatchKeyCountRow(Base):
    """How many accounts have a frequent match key; counted anew from time to time."""

    __tablename__ = "match_key_count"
    key: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    accounts: Mapped[int]


class ListCountRow(Base):
    """How many accounts a list had when it was last read completely."""

    __tablename__ = "list_count"
    connection: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(24), primary_key=True)
    accounts: Mapped[int]
    counted_at: Mapped[datetime]
    #: The day of that count, and the last count of an earlier day.
    counted_on: Mapped[date | None]
    before: Mapped[int | None]
    before_on: Mapped[date | None]


class ConflictCheckRow(Base):
    """A conflict check; `model.ConflictCheck` tells what each field means."""

    __tablename__ = "conflict_check"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    registration_id: Mapped[str] = mapped_column(ForeignKey("registration.id"), index=True)
    began_at: Mapped[datetime]
    finished_at: Mapped[datetime]
    policy_version: Mapped[str] = mapped_column(String(64))
    matcher_version: Mapped[str] = mapped_column(String(32))
    lists_seen: Mapped[int | None]
    #: Whether every connection that the program requires was read completely.
    complete: Mapped[bool]
    readings: Mapped[list[Any]]
    findings: Mapped[list[Any]]
    accounts: Mapped[dict[str, Any]]
    customer: Mapped[Customer | None]
    keys: Mapped[list[Any]] = mapped_column(server_default="[]")


class CheckRequestRow(Base):
    """A registration that has to be checked (again), and when."""

    __tablename__ = "check_request"
    registration_id: Mapped[str] = mapped_column(ForeignKey("registration.id"), primary_key=True)
    reason: Mapped[str] = mapped_column(String(255))
    due_at: Mapped[datetime] = mapped_column(index=True)
    attempts: Mapped[int]
    #: Raised by each new request, so that one made during a check is not lost.
    version: Mapped[int]
    #: Until when somebody is at it (`sync/process/check_claims.py`).
    claimed_until: Mapped[datetime | None]


class AttributionRow(Base):
    """Credit for a won deal: one provisional row per win, reversed by a reopen."""

    __tablename__ = "attribution"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    registration_id: Mapped[str] = mapped_column(ForeignKey("registration.id"))
    #: How often the deal had been won when this was recorded, from 1.
    win: Mapped[int]
    partner_id: Mapped[str] = mapped_column(ForeignKey("partner.id"))
    kind: Mapped[str] = mapped_column(String(24))
    amount: Mapped[Decimal]
    currency: Mapped[str] = mapped_column(String(3))
    recorded_at: Mapped[datetime]
    reversed_at: Mapped[datetime | None]
    __table_args__ = (UniqueConstraint("registration_id", "win"),)


class AuditEventRow(Base):
    """One action, chained to the one before it on the same subject; never changed or deleted."""

    __tablename__ = "audit_event"
    subject: Mapped[str] = mapped_column(String(80), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    action: Mapped[str] = mapped_column(String(64))
    #: Exactly the text that was hashed, so that verification needs nothing else.
    body: Mapped[str] = mapped_column(Text)
    hash: Mapped[str] = mapped_column(String(64))


class AuditPersonalRow(Base):
    """A personal value of an audit event with the key that blinds its digest; may be erased."""

    __tablename__ = "audit_personal"
    subject: Mapped[str] = mapped_column(String(80), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(Text)
    key: Mapped[str] = mapped_column(String(64))


class AuditCheckpointRow(Base):
    """A digest over the newest hash of every subject, chained to the checkpoint before it."""

    __tablename__ = "audit_checkpoint"
    seq: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    heads: Mapped[list[Any]]
    hash: Mapped[str] = mapped_column(String(64))


class OutboxRow(Base):
    """The intent to bring one registration to one connection.

    One row per registration and connection: every change raises `wanted`; a push that read
    `wanted` before it read the registration raises `done` to that number once the CRM has
    confirmed. Due while `done < wanted`, so that no change can slip in between unseen.
    """

    __tablename__ = "outbox"
    registration_id: Mapped[str] = mapped_column(ForeignKey("registration.id"), primary_key=True)
    connection: Mapped[str] = mapped_column(String(64), primary_key=True)
    wanted: Mapped[int]
    done: Mapped[int]
    #: `open`, `waiting` (for a person, a mode or another connection) or `dead`.
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    due_at: Mapped[datetime]
    attempts: Mapped[int]
    changed_at: Mapped[datetime]
    __table_args__ = (Index("ix_outbox_due", "connection", "state", "due_at"),)
