"""The kill switch: who stopped what."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from registration_core.store.types import UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "stop",
        sa.Column("scope", sa.String(64), nullable=False),
        sa.Column("writes_only", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("stopped_by", sa.String(255), nullable=False),
        sa.Column("stopped_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("scope", name=op.f("pk_stop")),
    )


def downgrade() -> None:
    op.drop_table("stop")
