"""Registrations that came while a connection was searched are searched for afterwards"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from registration_core.store.types import UtcDateTime

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("link_search", sa.Column("since", UtcDateTime(), nullable=True))


def downgrade() -> None:
    op.drop_column("link_search", "since")
