"""An overwrite audit is owed until it is done."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from registration_core.store.types import UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("intent", sa.Column("audit_since", UtcDateTime(), nullable=True))
    op.create_index(
        "ix_intent_audit",
        "intent",
        ["connection"],
        unique=False,
        sqlite_where=sa.text("audit_since IS NOT NULL"),
        postgresql_where=sa.text("audit_since IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_intent_audit", table_name="intent")
    op.drop_column("intent", "audit_since")
