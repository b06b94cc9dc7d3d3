"""How the accounts behind a cursor were read"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("cursor", sa.Column("read_as", sa.String(64), nullable=True))


def downgrade() -> None:
    op.drop_column("cursor", "read_as")
