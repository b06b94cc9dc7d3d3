"""Names are read otherwise, so their match keys are too: `dealreg db upgrade` makes all of them anew."""

from __future__ import annotations

from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The mark that `match_index.reliable` looks for; a store that holds nothing needs none.
    op.execute(
        "INSERT INTO match_key_count (key, accounts) SELECT -2, 0 "
        "WHERE NOT EXISTS (SELECT 1 FROM match_key_count WHERE key = -2) "
        "AND (EXISTS (SELECT 1 FROM account) OR EXISTS (SELECT 1 FROM registration))"
    )


def downgrade() -> None:
    op.execute("DELETE FROM match_key_count WHERE key = -2")
