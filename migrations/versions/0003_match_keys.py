"""Match keys of accounts as digests, with postcode, phone and parent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from registration_core.store.types import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TEXTS = (
    ("connection", 64), ("record_id", 64), ("object", 64), ("name", 255), ("country", 64),
    ("city", 255), ("domain", 255), ("tax_id", 64), ("duns", 32), ("owner", 64),
)  # fmt: skip


def upgrade() -> None:
    # The directory is a copy of the CRMs: it is read anew, from the beginning.
    op.drop_index("ix_account_key_record", table_name="account_key")
    op.drop_table("account_key")
    op.drop_table("account")
    op.execute("DELETE FROM cursor")
    op.create_table(
        "account",
        *(sa.Column(name, sa.String(length=length), nullable=False) for name, length in _TEXTS),
        sa.Column("lists", sa.Text(), nullable=False),
        sa.Column("read_at", UtcDateTime(), nullable=False),
        sa.Column("postcode", sa.String(length=32), nullable=False),
        sa.Column("phone", sa.String(length=64), nullable=False),
        sa.Column("parent", sa.String(length=64), nullable=False),
        sa.Column("ref", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("connection", "record_id", name=op.f("pk_account")),
        sa.UniqueConstraint("ref", name=op.f("uq_account_ref")),
    )
    op.create_index("ix_account_parent", "account", ["connection", "parent"], unique=False)
    op.create_table(
        "match_key",
        sa.Column("key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("account_ref", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("key", "account_ref", name=op.f("pk_match_key")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "match_key_count",
        sa.Column("key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("accounts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_match_key_count")),
    )


def downgrade() -> None:
    op.drop_table("match_key_count")
    op.drop_table("match_key")
    op.drop_index("ix_account_parent", table_name="account")
    op.drop_table("account")
    op.execute("DELETE FROM cursor")
    op.create_table(
        "account",
        *(sa.Column(name, sa.String(length=length), nullable=False) for name, length in _TEXTS),
        sa.Column("lists", sa.Text(), nullable=False),
        sa.Column("read_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("connection", "record_id", name=op.f("pk_account")),
    )
    op.create_table(
        "account_key",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("value", sa.String(length=255), nullable=False),
        sa.Column("connection", sa.String(length=64), nullable=False),
        sa.Column("record_id", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint(
            "kind", "value", "connection", "record_id", name=op.f("pk_account_key")
        ),
    )
    op.create_index(
        "ix_account_key_record", "account_key", ["connection", "record_id"], unique=False
    )
