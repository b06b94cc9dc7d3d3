"""The table of stamps on opportunities of others."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from registration_core.store.tables import Base


class StampRow(Base):
    """An opportunity of others that gets the name of the partner who is protected; one each."""

    __tablename__ = "stamp"
    connection: Mapped[str] = mapped_column(String(64), primary_key=True)
    object: Mapped[str] = mapped_column(String(64), primary_key=True)
    record_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    registration_id: Mapped[str] = mapped_column(ForeignKey("registration.id"))
    #: `due`, `done`, `void` (there is nothing to stamp any more) or `dead`.
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    attempts: Mapped[int]
    due_at: Mapped[datetime]
    changed_at: Mapped[datetime]
    __table_args__ = (Index("ix_stamp_due", "connection", "state", "due_at"),)
