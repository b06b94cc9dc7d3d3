"""A link keeps when somebody else last changed its record"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from registration_core.store.types import UtcDateTime

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("link", sa.Column("contended_at", UtcDateTime(), nullable=True))


def downgrade() -> None:
    op.drop_column("link", "contended_at")
