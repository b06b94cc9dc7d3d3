"""Links keep what an undo takes back, and discards what was agreed on, to tell what came since."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("link", sa.Column("undone", sa.Text(), nullable=True))
    op.add_column("held_change", sa.Column("agreed", sa.Text(), nullable=True))
    op.add_column("intent", sa.Column("link_version", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("intent", "link_version")
    op.drop_column("held_change", "agreed")
    op.drop_column("link", "undone")
