"""A link remembers what the CRM's record held at its version."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("link", sa.Column("remote", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("link", "remote")
