"""A check keeps whom it asked about, and the keys that were known of that customer"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from registration_core.store.types import CustomerJson, Json

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("conflict_check", sa.Column("customer", CustomerJson(), nullable=True))
    op.add_column("conflict_check", sa.Column("keys", Json(), nullable=False, server_default="[]"))


def downgrade() -> None:
    op.drop_column("conflict_check", "keys")
    op.drop_column("conflict_check", "customer")
