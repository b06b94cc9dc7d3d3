"""How many accounts a connection lately said are gone"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from registration_core.store.types import UtcDateTime

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "connection_state", sa.Column("accounts_gone_since", UtcDateTime(), nullable=True)
    )
    op.add_column(
        "connection_state",
        sa.Column("accounts_gone", sa.Integer(), server_default="0", nullable=False),
    )


def downgrade() -> None:
    op.drop_column("connection_state", "accounts_gone")
    op.drop_column("connection_state", "accounts_gone_since")
