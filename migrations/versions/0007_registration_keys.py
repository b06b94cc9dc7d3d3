"""Match keys of live registrations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "registration_key",
        sa.Column("key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("receipt_seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("key", "receipt_seq", name=op.f("pk_registration_key")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("registration_key")
