"""Companions of a registration's record, and what a write has to do with them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from registration_core.store.types import Json, UtcDateTime

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "companion",
        sa.Column("registration_id", sa.String(36), nullable=False),
        sa.Column("connection", sa.String(64), nullable=False),
        sa.Column("name", sa.String(16), nullable=False),
        sa.Column("object", sa.String(64), nullable=False),
        sa.Column("record_id", sa.String(64), nullable=True),
        sa.Column("changed_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("registration_id", "connection", "name", name=op.f("pk_companion")),
        sa.ForeignKeyConstraint(
            ["registration_id"],
            ["registration.id"],
            name=op.f("fk_companion_registration_id_registration"),
        ),
    )
    op.add_column(
        "intent", sa.Column("companion", sa.String(16), nullable=False, server_default="")
    )
    op.add_column("intent", sa.Column("key", sa.String(64), nullable=False, server_default=""))
    op.add_column("intent", sa.Column("owes", Json(), nullable=False, server_default="[]"))


def downgrade() -> None:
    op.drop_column("intent", "owes")
    op.drop_column("intent", "key")
    op.drop_column("intent", "companion")
    op.drop_table("companion")
