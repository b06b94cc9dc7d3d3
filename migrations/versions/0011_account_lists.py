"""Account lists from files."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from registration_core.store.types import Json, UtcDateTime

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "account_list_entry",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(24), nullable=False),
        sa.Column("customer", Json(), nullable=False),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("valid_until", sa.Date(), nullable=True),
        sa.Column("notice_days", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(255), nullable=False),
        sa.Column("added_at", UtcDateTime(), nullable=False),
        sa.Column("added_by", sa.String(255), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("ended_by", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account_list_entry")),
    )
    op.create_index(op.f("ix_account_list_entry_kind"), "account_list_entry", ["kind"])
    op.create_index(op.f("ix_account_list_entry_ended_at"), "account_list_entry", ["ended_at"])


def downgrade() -> None:
    op.drop_table("account_list_entry")
