"""Further names and domains of accounts"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("aliases", "other_domains"):
        op.add_column("account", sa.Column(name, sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    for name in ("aliases", "other_domains"):
        op.drop_column("account", name)
