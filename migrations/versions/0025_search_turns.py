"""When the next search of a connection may go out"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from registration_core.store.types import UtcDateTime

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("connection_state", sa.Column("search_at", UtcDateTime(), nullable=True))


def downgrade() -> None:
    op.drop_column("connection_state", "search_at")
