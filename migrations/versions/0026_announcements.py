"""The outbox of announcements."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from registration_core.store.types import Json, UtcDateTime

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "announcement",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("about", sa.String(255), nullable=False),
        sa.Column("audience", sa.String(16), nullable=False),
        sa.Column("topic", sa.String(32), nullable=False),
        sa.Column("registration_id", sa.String(36), nullable=True),
        sa.Column("facts", Json(), nullable=False),
        sa.Column("delivered", Json(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("settled_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["registration_id"], ["registration.id"],
            name=op.f("fk_announcement_registration_id_registration"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_announcement")),
    )  # fmt: skip
    op.create_index("uq_announcement_about", "announcement", ["about", "audience"], unique=True)
    op.create_index("ix_announcement_due", "announcement", ["state", "due_at"])
    op.create_index(op.f("ix_announcement_registration_id"), "announcement", ["registration_id"])


def downgrade() -> None:
    op.drop_table("announcement")
