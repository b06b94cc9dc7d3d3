"""Whether a check was complete stands beside its readings: not every one of these is required"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "conflict_check",
        sa.Column("complete", sa.Boolean(), nullable=False, server_default=sa.true()),
    )
    checks = sa.table("conflict_check", sa.column("complete"), sa.column("readings", sa.Text()))
    unread = checks.c.readings.contains('"complete": false')  # all of them were required so far
    op.execute(checks.update().where(unread).values(complete=sa.false()))


def downgrade() -> None:
    op.drop_column("conflict_check", "complete")
