"""Tables of the comparison of links and account directory with what the CRMs hold."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from registration_core.contracts import Fields
from registration_core.store.tables import Base


class DriftRunRow(Base):
    """One comparison of one connection; while it runs, it can be gone on with from `cursor`."""

    __tablename__ = "drift_run"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    connection: Mapped[str] = mapped_column(String(64))
    #: `links` or `accounts`.
    kind: Mapped[str] = mapped_column(String(16))
    #: `running` or `done`.
    state: Mapped[str] = mapped_column(String(16))
    #: How far it has come: the last link's id, or a place in the account feed or directory.
    cursor: Mapped[str] = mapped_column(Text)
    compared: Mapped[int]
    #: By `field|cause|repair`, how many records.
    tally: Mapped[dict[str, Any]]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    #: When and by whom what drifted was made due.
    repaired_at: Mapped[datetime | None]
    repaired_by: Mapped[str] = mapped_column(String(255))
    __table_args__ = (
        Index(
            "uq_drift_run_running",
            "connection",
            "kind",
            unique=True,
            sqlite_where=text("state = 'running'"),
            postgresql_where=text("state = 'running'"),
        ),
        Index("ix_drift_run_started", "connection", "kind", "started_at"),
    )


class DriftPageRow(Base):
    """What a page of links held on both sides when it was last compared, as a digest."""

    __tablename__ = "drift_page"
    connection: Mapped[str] = mapped_column(String(64), primary_key=True)
    #: The link's id after which the page begins; empty for the first.
    after: Mapped[str] = mapped_column(String(36), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))
    #: Ids of the links that differed.
    differing: Mapped[list[Any]]
    #: By `field|cause|repair`, how many of the others are worth telling of.
    agreeing: Mapped[dict[str, Any]]


class DriftFindingRow(Base):
    """One field, or one whole record, that differs; kept until the connection is compared again."""

    __tablename__ = "drift_finding"
    run_id: Mapped[str] = mapped_column(ForeignKey("drift_run.id"), primary_key=True)
    registration_id: Mapped[str] = mapped_column(
        ForeignKey("registration.id"), primary_key=True, index=True
    )
    #: Our name of the field; empty where it is the record that is not there.
    field: Mapped[str] = mapped_column(String(64), primary_key=True)
    object: Mapped[str] = mapped_column(String(64))
    record_id: Mapped[str] = mapped_column(String(64))
    cause: Mapped[str] = mapped_column(String(32))
    repair: Mapped[str] = mapped_column(String(16))
    #: Our value by our name, theirs in the CRM's own names.
    ours: Mapped[Fields]
    theirs: Mapped[Fields]
