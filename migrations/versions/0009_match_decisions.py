"""What people said about matches."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from registration_core.store.types import UtcDateTime

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "match_decision",
        sa.Column("customer_id", sa.String(36), nullable=False),
        sa.Column("other", sa.String(160), nullable=False),
        sa.Column("same", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.String(255), nullable=False),
        sa.Column("decided_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "other", name=op.f("pk_match_decision")),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customer.id"], name=op.f("fk_match_decision_customer_id_customer")
        ),
    )
    op.create_index(op.f("ix_match_decision_other"), "match_decision", ["other"])


def downgrade() -> None:
    op.drop_table("match_decision")
