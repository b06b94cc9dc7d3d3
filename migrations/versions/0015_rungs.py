"""How far a person lets a connection go."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from registration_core.store.types import UtcDateTime

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rung",
        sa.Column("connection", sa.String(64), nullable=False),
        sa.Column("object", sa.String(64), nullable=False),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("canary", sa.Text(), nullable=False),
        sa.Column("canary_most", sa.Integer(), nullable=False),
        sa.Column("report", sa.Text(), nullable=False),
        sa.Column("changed_by", sa.String(255), nullable=False),
        sa.Column("changed_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("connection", "object", name=op.f("pk_rung")),
    )
    op.execute(
        "UPDATE outbox SET state = 'observed' WHERE reason = 'mode observe: nothing is written'"
    )


def downgrade() -> None:
    op.execute("UPDATE outbox SET state = 'waiting' WHERE state = 'observed'")
    op.drop_table("rung")
