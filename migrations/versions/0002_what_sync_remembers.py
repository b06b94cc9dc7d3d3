"""What sync remembers"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from registration_core.store.types import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "connection_state",
        sa.Column("connection", sa.String(length=64), nullable=False),
        sa.Column("org_id", sa.String(length=64), nullable=True),
        sa.Column("paused_until", UtcDateTime(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=True),
        sa.Column("deletes_accepted_until", UtcDateTime(), nullable=True),
        sa.Column("calls_used", sa.Integer(), nullable=True),
        sa.Column("calls_allowed", sa.Integer(), nullable=True),
        sa.Column("calls_told_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("connection", name=op.f("pk_connection_state")),
    )
    op.create_table(
        "cursor",
        sa.Column("connection", sa.String(length=64), nullable=False),
        sa.Column("object", sa.String(length=64), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=False),
        sa.Column("as_of", UtcDateTime(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("connection", "object", name=op.f("pk_cursor")),
    )
    op.create_table(
        "inbox",
        sa.Column("connection", sa.String(length=64), nullable=False),
        sa.Column("object", sa.String(length=64), nullable=False),
        sa.Column("record_id", sa.String(length=64), nullable=False),
        sa.Column("noticed", sa.Integer(), nullable=False),
        sa.Column("read", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("noticed_at", UtcDateTime(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("connection", "object", "record_id", name=op.f("pk_inbox")),
    )
    op.create_index("ix_inbox_due", "inbox", ["connection", "due_at"], unique=False)

    op.create_table(
        "lease",
        sa.Column("name", sa.String(length=96), nullable=False),
        sa.Column("holder", sa.String(length=96), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_lease")),
    )
    op.create_table(
        "quarantine",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("connection", sa.String(length=64), nullable=False),
        sa.Column("org_id", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine")),
    )
    op.create_table(
        "schedule",
        sa.Column("name", sa.String(length=96), nullable=False),
        sa.Column("next_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_schedule")),
    )
    op.create_table(
        "sync_run",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("connection", sa.String(length=64), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("records", sa.Integer(), nullable=False),
        sa.Column("notices", sa.Integer(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sync_run")),
    )
    op.create_index("ix_sync_run_started", "sync_run", ["connection", "started_at"], unique=False)

    op.create_table(
        "dead_letter",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("connection", sa.String(length=64), nullable=False),
        sa.Column("registration_id", sa.String(length=36), nullable=True),
        sa.Column("object", sa.String(length=64), nullable=False),
        sa.Column("record_id", sa.String(length=64), nullable=True),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("code", sa.String(length=128), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("settled_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["registration_id"],
            ["registration.id"],
            name=op.f("fk_dead_letter_registration_id_registration"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letter")),
    )
    op.create_table(
        "intent",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("registration_id", sa.String(length=36), nullable=False),
        sa.Column("connection", sa.String(length=64), nullable=False),
        sa.Column("object", sa.String(length=64), nullable=False),
        sa.Column("operation", sa.String(length=16), nullable=False),
        sa.Column("record_id", sa.String(length=64), nullable=True),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("base", sa.Text(), nullable=False),
        sa.Column("wanted", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("settled_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["registration_id"],
            ["registration.id"],
            name=op.f("fk_intent_registration_id_registration"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_intent")),
    )
    op.create_index("ix_intent_open", "intent", ["connection", "state"], unique=False)
    op.create_index(op.f("ix_intent_registration_id"), "intent", ["registration_id"], unique=False)

    op.create_table(
        "link",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("registration_id", sa.String(length=36), nullable=False),
        sa.Column("connection", sa.String(length=64), nullable=False),
        sa.Column("object", sa.String(length=64), nullable=False),
        sa.Column("record_id", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("base", sa.Text(), nullable=False),
        sa.Column("mapping_version", sa.String(length=64), nullable=False),
        sa.Column("remote_version", sa.String(length=255), nullable=True),
        sa.Column("restore", sa.Text(), nullable=True),
        sa.Column("repeats", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("changed_at", UtcDateTime(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["registration_id"],
            ["registration.id"],
            name=op.f("fk_link_registration_id_registration"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_link")),
        sa.UniqueConstraint(
            "connection", "object", "record_id", name=op.f("uq_link_connection_object_record_id")
        ),
    )
    op.create_index(
        "uq_link_primary",
        "link",
        ["registration_id", "connection", "object"],
        unique=True,
        sqlite_where=sa.text("role = 'primary'"),
        postgresql_where=sa.text("role = 'primary'"),
    )

    op.create_table(
        "link_proposal",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("registration_id", sa.String(length=36), nullable=False),
        sa.Column("connection", sa.String(length=64), nullable=False),
        sa.Column("object", sa.String(length=64), nullable=False),
        sa.Column("record_id", sa.String(length=64), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("proposed_at", UtcDateTime(), nullable=False),
        sa.Column("decided_at", UtcDateTime(), nullable=True),
        sa.Column("decided_by", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["registration_id"],
            ["registration.id"],
            name=op.f("fk_link_proposal_registration_id_registration"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_link_proposal")),
        sa.UniqueConstraint(
            "registration_id",
            "connection",
            "object",
            "record_id",
            name=op.f("uq_link_proposal_registration_id_connection_object_record_id"),
        ),
    )
    op.create_index(
        op.f("ix_link_proposal_registration_id"), "link_proposal", ["registration_id"], unique=False
    )

    op.create_table(
        "sync_conflict",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("link_id", sa.String(length=36), nullable=False),
        sa.Column("registration_id", sa.String(length=36), nullable=False),
        sa.Column("connection", sa.String(length=64), nullable=False),
        sa.Column("field_group", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("base", sa.Text(), nullable=True),
        sa.Column("store", sa.Text(), nullable=False),
        sa.Column("remote", sa.Text(), nullable=False),
        sa.Column("settled", sa.String(length=16), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("opened_at", UtcDateTime(), nullable=False),
        sa.Column("resolved_at", UtcDateTime(), nullable=True),
        sa.Column("resolved_by", sa.String(length=255), nullable=False),
        sa.Column("chosen", sa.Text(), nullable=True),
        sa.Column("base_before", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["link_id"], ["link.id"], name=op.f("fk_sync_conflict_link_id_link")
        ),
        sa.ForeignKeyConstraint(
            ["registration_id"],
            ["registration.id"],
            name=op.f("fk_sync_conflict_registration_id_registration"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sync_conflict")),
    )
    op.create_index(
        op.f("ix_sync_conflict_registration_id"), "sync_conflict", ["registration_id"], unique=False
    )
    op.create_index(
        "uq_sync_conflict_open",
        "sync_conflict",
        ["link_id", "field_group"],
        unique=True,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )


def downgrade() -> None:
    op.drop_index(
        "uq_sync_conflict_open",
        table_name="sync_conflict",
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
    op.drop_index(op.f("ix_sync_conflict_registration_id"), table_name="sync_conflict")

    op.drop_table("sync_conflict")
    op.drop_index(op.f("ix_link_proposal_registration_id"), table_name="link_proposal")

    op.drop_table("link_proposal")
    op.drop_index(
        "uq_link_primary",
        table_name="link",
        sqlite_where=sa.text("role = 'primary'"),
        postgresql_where=sa.text("role = 'primary'"),
    )

    op.drop_table("link")
    op.drop_index(op.f("ix_intent_registration_id"), table_name="intent")
    op.drop_index("ix_intent_open", table_name="intent")

    op.drop_table("intent")
    op.drop_table("dead_letter")
    op.drop_index("ix_sync_run_started", table_name="sync_run")

    op.drop_table("sync_run")
    op.drop_table("schedule")
    op.drop_table("quarantine")
    op.drop_table("lease")
    op.drop_index("ix_inbox_due", table_name="inbox")

    op.drop_table("inbox")
    op.drop_table("cursor")
    op.drop_table("connection_state")
