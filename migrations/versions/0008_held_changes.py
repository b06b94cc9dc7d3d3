"""Held changes, the tally of the caps, and which run a write belongs to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from registration_core.store.types import UtcDateTime

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "held",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("connection", sa.String(64), nullable=False),
        sa.Column("direction", sa.String(8), nullable=False),
        sa.Column("cap", sa.String(32), nullable=False),
        sa.Column("about", sa.String(255), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("opened_at", UtcDateTime(), nullable=False),
        sa.Column("first_by", sa.String(255), nullable=False),
        sa.Column("decided_at", UtcDateTime(), nullable=True),
        sa.Column("decided_by", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_held")),
    )
    op.create_index(
        "uq_held_open",
        "held",
        ["connection", "direction", "cap", "about"],
        unique=True,
        sqlite_where=sa.text("state = 'held'"),
        postgresql_where=sa.text("state = 'held'"),
    )
    op.create_table(
        "held_change",
        sa.Column("held_id", sa.String(36), nullable=False),
        sa.Column("registration_id", sa.String(36), nullable=False),
        sa.Column("connection", sa.String(64), nullable=False),
        sa.Column("object", sa.String(64), nullable=False),
        sa.Column("record_id", sa.String(64), nullable=True),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("values", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["held_id"], ["held.id"], name=op.f("fk_held_change_held_id_held")),
        sa.ForeignKeyConstraint(
            ["registration_id"],
            ["registration.id"],
            name=op.f("fk_held_change_registration_id_registration"),
        ),
        sa.PrimaryKeyConstraint("held_id", "registration_id", name=op.f("pk_held_change")),
    )
    op.create_index("ix_held_change_registration_id", "held_change", ["registration_id"])
    op.create_table(
        "tally",
        sa.Column("connection", sa.String(64), nullable=False),
        sa.Column("cap", sa.String(32), nullable=False),
        sa.Column("about", sa.String(255), nullable=False),
        sa.Column("minute", UtcDateTime(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("connection", "cap", "about", "minute", name=op.f("pk_tally")),
    )
    op.add_column("intent", sa.Column("run_id", sa.String(36), nullable=True))
    op.create_index("ix_intent_run_id", "intent", ["run_id"])
    op.add_column(
        "sync_run", sa.Column("kind", sa.String(8), nullable=False, server_default="poll")
    )


def downgrade() -> None:
    op.drop_column("sync_run", "kind")
    op.drop_index("ix_intent_run_id", table_name="intent")
    op.drop_column("intent", "run_id")
    for table in ("tally", "held_change", "held"):
        op.drop_table(table)
