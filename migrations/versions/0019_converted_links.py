"""When the record of a link became one of another object"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from registration_core.store.types import UtcDateTime

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("link", sa.Column("converted_at", UtcDateTime(), nullable=True))


def downgrade() -> None:
    op.drop_column("link", "converted_at")
