"""Accounts that a CRM puts on a list have an entry of their own, as those from files do"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

from registration_core.store.types import Json, UtcDateTime

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None

_FILE = "list file"
_ACCOUNT = sa.table(
    "account",
    *(sa.column(n) for n in ("connection", "record_id", "name", "country", "city", "domain",
                             "tax_id", "duns")),
    sa.column("lists", Json()),
)  # fmt: skip
#: So many accounts are read at once.
_PAGE = 1000


def _entries(*, optional: bool) -> sa.Table:
    """Return the table of entries, with what an entry of a CRM leaves open or without."""
    return sa.Table(
        "account_list_entry",
        sa.MetaData(naming_convention={"pk": "pk_%(table_name)s"}),
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("kind", sa.String(24), nullable=False),
        sa.Column("customer", Json(), nullable=False),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=optional),
        sa.Column("valid_until", sa.Date(), nullable=True),
        sa.Column("notice_days", sa.Integer(), nullable=optional),
        sa.Column("source", sa.String(255), nullable=False),
        sa.Column("added_at", UtcDateTime(), nullable=False),
        sa.Column("added_by", sa.String(255), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("ended_by", sa.String(255), nullable=False),
        sa.Index("ix_account_list_entry_kind", "kind"),
        sa.Index("ix_account_list_entry_ended_at", "ended_at"),
    )


def _leave_open(*, optional: bool) -> None:
    with op.batch_alter_table(
        "account_list_entry", copy_from=_entries(optional=not optional)
    ) as batch:
        batch.alter_column("valid_from", existing_type=sa.Date(), nullable=optional)
        batch.alter_column("notice_days", existing_type=sa.Integer(), nullable=optional)


def upgrade() -> None:
    op.add_column("account", sa.Column("list_words", Json(), nullable=False, server_default="[]"))
    op.add_column("cursor", sa.Column("lists_read", Json(), nullable=False, server_default="[]"))
    _leave_open(optional=True)
    for name, usual in (("connection", _FILE), ("record_id", "")):
        column = sa.Column(name, sa.String(64), nullable=False, server_default=usual)
        op.add_column("account_list_entry", column)
    entry = sa.table("account_list_entry", sa.column("id"), sa.column("record_id"))
    op.execute(sa.update(entry).values(record_id=entry.c.id))
    op.create_index(
        "ix_account_list_entry_place", "account_list_entry", ["connection", "record_id"]
    )
    op.create_index("ix_account_merge_merged_into", "account_merge", ["connection", "merged_into"])
    _note_who_is_listed()


def _note_who_is_listed() -> None:
    """Give every account that is on a list of a CRM its entry; since when, nobody knows."""
    store = op.get_bind()
    into = _entries(optional=True)
    for name in ("connection", "record_id"):
        into.append_column(sa.Column(name, sa.String(64)))
    listed = sa.select(_ACCOUNT).where(
        _ACCOUNT.c.connection != _FILE, sa.cast(_ACCOUNT.c.lists, sa.Text) != "[]"
    )
    now = datetime.now(UTC)
    for page in store.execute(listed).partitions(_PAGE):
        rows = [_row(account, kind, now) for account in page for kind in account.lists]
        store.execute(sa.insert(into), rows)


def _row(account: Any, kind: str, now: datetime) -> dict[str, Any]:
    customer = {
        "name": account.name, "country": account.country, "website": account.domain,
        "email_domain": "", "city": account.city, "tax_id": account.tax_id, "duns": account.duns,
    }  # fmt: skip
    return {
        "id": str(uuid.uuid4()), "kind": kind, "customer": customer, "owner": "", "reason": "",
        "valid_from": None, "valid_until": None, "notice_days": None,
        "connection": account.connection, "record_id": account.record_id, "source": "",
        "added_at": now, "added_by": "dealreg", "ended_at": None, "ended_by": "",
    }  # fmt: skip


def downgrade() -> None:
    op.drop_index("ix_account_merge_merged_into", "account_merge")
    op.drop_index("ix_account_list_entry_place", "account_list_entry")
    entry = sa.table("account_list_entry", sa.column("connection"))
    op.execute(sa.delete(entry).where(entry.c.connection != _FILE))
    for name in ("record_id", "connection"):
        op.drop_column("account_list_entry", name)
    _leave_open(optional=False)
    op.drop_column("cursor", "lists_read")
    op.drop_column("account", "list_words")
