"""Who said that a file of another system's registrations is right"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from registration_core.store.types import UtcDateTime

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cut_over",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("first_by", sa.String(255), nullable=False),
        sa.Column("first_at", UtcDateTime(), nullable=False),
        sa.Column("second_by", sa.String(255), nullable=False),
        sa.Column("second_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_cut_over")),
    )


def downgrade() -> None:
    op.drop_table("cut_over")
