"""How sure a proposed link is, and how far the existing records of a connection were searched"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from registration_core.store.types import UtcDateTime

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "link_proposal", sa.Column("band", sa.String(16), nullable=False, server_default="review")
    )
    op.create_table(
        "link_search",
        sa.Column("connection", sa.String(64), nullable=False),
        sa.Column("object", sa.String(64), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=False),
        sa.Column("records", sa.Integer(), nullable=False),
        sa.Column("begun_at", UtcDateTime(), nullable=False),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("connection", "object", name=op.f("pk_link_search")),
    )


def downgrade() -> None:
    op.drop_table("link_search")
    op.drop_column("link_proposal", "band")
