"""How long a list was on an earlier day stands beside its last count"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("list_count", sa.Column("counted_on", sa.Date(), nullable=True))
    op.add_column("list_count", sa.Column("before", sa.Integer(), nullable=True))
    op.add_column("list_count", sa.Column("before_on", sa.Date(), nullable=True))


def downgrade() -> None:
    for name in ("before_on", "before", "counted_on"):
        op.drop_column("list_count", name)
