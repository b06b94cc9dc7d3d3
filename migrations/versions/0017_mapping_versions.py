"""Versions of mappings, and the version that a write was made under."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from registration_core.store.types import Json, UtcDateTime

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "mapping_version",
        sa.Column("connection", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("fingerprints", Json(), nullable=False),
        sa.Column("applied_at", UtcDateTime(), nullable=False),
        sa.Column("applied_by", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("connection", "number", name=op.f("pk_mapping_version")),
    )
    op.create_index("ix_mapping_version_digest", "mapping_version", ["connection", "digest"])
    op.add_column(
        "intent",
        sa.Column("mapping_version", sa.String(64), nullable=False, server_default=""),
    )


def downgrade() -> None:
    op.drop_column("intent", "mapping_version")
    op.drop_index("ix_mapping_version_digest", table_name="mapping_version")
    op.drop_table("mapping_version")
