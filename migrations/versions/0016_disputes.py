"""Disputes, overrides of stale evidence, and a deal as its partner registered it."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from registration_core.store.types import FieldsJson, Money, UtcDateTime

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_REGISTRATION = sa.table(
    "registration",
    sa.column("id", sa.String()),
    sa.column("deal_name", sa.String()),
    sa.column("amount", Money()),
    sa.column("currency", sa.String()),
    sa.column("expected_close_on", sa.Date()),
    sa.column("dispute_state", sa.String()),
    sa.column("registered", FieldsJson()),
)


def upgrade() -> None:
    op.create_table(
        "dispute",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("registration_id", sa.String(36), nullable=False),
        sa.Column("because", sa.Text(), nullable=False),
        sa.Column("opened_at", UtcDateTime(), nullable=False),
        sa.Column("decision", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.String(255), nullable=False),
        sa.Column("decided_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dispute")),
        sa.ForeignKeyConstraint(
            ["registration_id"],
            ["registration.id"],
            name=op.f("fk_dispute_registration_id_registration"),
        ),
    )
    op.create_index(op.f("ix_dispute_registration_id"), "dispute", ["registration_id"])
    op.create_table(
        "check_override",
        sa.Column("check_id", sa.String(36), nullable=False),
        sa.Column("os_user", sa.String(255), nullable=False),
        sa.Column("actor", sa.String(255), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("given_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("check_id", "os_user", name=op.f("pk_check_override")),
    )
    op.add_column(
        "registration", sa.Column("registered", FieldsJson(), nullable=False, server_default="{}")
    )
    _fill()


def _fill() -> None:
    """Take over what is there: today's values as the partner's, and disputes that are open."""
    t, connection = _REGISTRATION.c, op.get_bind()
    for row in connection.execute(sa.select(_REGISTRATION)).all():
        values = {
            name: getattr(row, name)
            for name in ("deal_name", "amount", "currency", "expected_close_on")
        }
        connection.execute(sa.update(_REGISTRATION).where(t.id == row.id).values(registered=values))
        if row.dispute_state == "open":
            dispute = sa.table(
                "dispute",
                sa.column("opened_at", UtcDateTime()),
                *(
                    sa.column(name, sa.String())
                    for name in ("id", "registration_id", "because", "decision", "reason")
                ),
                sa.column("decided_by", sa.String()),
            )
            connection.execute(
                sa.insert(dispute).values(
                    id=row.id, registration_id=row.id, because="see the audit trail",
                    opened_at=datetime.now(UTC), decision="", reason="", decided_by="",
                )
            )  # fmt: skip


def downgrade() -> None:
    op.drop_column("registration", "registered")
    op.drop_table("check_override")
    op.drop_table("dispute")
