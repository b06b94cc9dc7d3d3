"""Which accounts a CRM has merged into which"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "account_merge",
        sa.Column("connection", sa.String(64), nullable=False),
        sa.Column("record_id", sa.String(64), nullable=False),
        sa.Column("merged_into", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("connection", "record_id", name=op.f("pk_account_merge")),
    )


def downgrade() -> None:
    op.drop_table("account_merge")
