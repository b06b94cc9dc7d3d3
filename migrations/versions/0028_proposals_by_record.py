"""Link proposals are found by their record"""

from __future__ import annotations

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_link_proposal_record", "link_proposal", ["connection", "object", "record_id"]
    )


def downgrade() -> None:
    op.drop_index("ix_link_proposal_record", "link_proposal")
