"""That many linked records vanished and are not believed to be gone is told to people"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from registration_core.store.types import UtcDateTime

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("connection_state", sa.Column("links_gone_at", UtcDateTime(), nullable=True))
    op.add_column(
        "connection_state",
        sa.Column("links_gone", sa.Integer(), nullable=False, server_default="0"),
    )


def downgrade() -> None:
    op.drop_column("connection_state", "links_gone")
    op.drop_column("connection_state", "links_gone_at")
