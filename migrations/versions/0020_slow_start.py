"""How calls begin slowly after a CRM asked for quiet"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from registration_core.store.types import UtcDateTime

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_MOMENTS = ("quiet_until", "slice_second")


def upgrade() -> None:
    for name in _MOMENTS:
        op.add_column("connection_state", sa.Column(name, UtcDateTime(), nullable=True))
    op.add_column(
        "connection_state",
        sa.Column("slice_taken", sa.Integer(), nullable=False, server_default="0"),
    )


def downgrade() -> None:
    op.drop_column("connection_state", "slice_taken")
    for name in _MOMENTS:
        op.drop_column("connection_state", name)
