"""Registrations from before they had match keys get them: `dealreg db upgrade` makes all anew."""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The mark that `match_index.reliable` looks for; a store that holds nothing needs none.
    op.execute(
        "INSERT INTO match_key_count (key, accounts) SELECT -2, 0 "
        "WHERE EXISTS (SELECT 1 FROM registration)"
    )


def downgrade() -> None:
    op.execute("DELETE FROM match_key_count WHERE key = -2")
