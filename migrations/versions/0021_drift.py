"""Comparisons of links and account directory with the CRMs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from registration_core.store.types import FieldsJson, Json, UtcDateTime

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "drift_run",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("connection", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=False),
        sa.Column("compared", sa.Integer(), nullable=False),
        sa.Column("tally", Json(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.Column("repaired_at", UtcDateTime(), nullable=True),
        sa.Column("repaired_by", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drift_run")),
    )
    running = sa.text("state = 'running'")
    op.create_index(
        "uq_drift_run_running", "drift_run", ["connection", "kind"], unique=True,
        sqlite_where=running, postgresql_where=running,
    )  # fmt: skip
    op.create_index("ix_drift_run_started", "drift_run", ["connection", "kind", "started_at"])
    op.create_table(
        "drift_page",
        sa.Column("connection", sa.String(64), nullable=False),
        sa.Column("after", sa.String(36), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("differing", Json(), nullable=False),
        sa.Column("agreeing", Json(), nullable=False),
        sa.PrimaryKeyConstraint("connection", "after", name=op.f("pk_drift_page")),
    )
    op.create_table(
        "drift_finding",
        sa.Column("run_id", sa.String(36), nullable=False),
        sa.Column("registration_id", sa.String(36), nullable=False),
        sa.Column("field", sa.String(64), nullable=False),
        sa.Column("object", sa.String(64), nullable=False),
        sa.Column("record_id", sa.String(64), nullable=False),
        sa.Column("cause", sa.String(32), nullable=False),
        sa.Column("repair", sa.String(16), nullable=False),
        sa.Column("ours", FieldsJson(), nullable=False),
        sa.Column("theirs", FieldsJson(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["drift_run.id"], name=op.f("fk_drift_finding_run_id_drift_run")
        ),
        sa.ForeignKeyConstraint(
            ["registration_id"], ["registration.id"],
            name=op.f("fk_drift_finding_registration_id_registration"),
        ),
        sa.PrimaryKeyConstraint(
            "run_id", "registration_id", "field", name=op.f("pk_drift_finding")
        ),
    )  # fmt: skip
    op.create_index(op.f("ix_drift_finding_registration_id"), "drift_finding", ["registration_id"])


def downgrade() -> None:
    op.drop_table("drift_finding")
    op.drop_table("drift_page")
    op.drop_table("drift_run")
