"""A check keeps the state of the account lists that it looked through"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("conflict_check", sa.Column("lists_seen", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("conflict_check", "lists_seen")
