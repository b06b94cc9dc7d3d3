"""When a connection's last webhook delivery was taken"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from registration_core.store.types import UtcDateTime

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("connection_state", sa.Column("webhook_at", UtcDateTime(), nullable=True))


def downgrade() -> None:
    op.drop_column("connection_state", "webhook_at")
