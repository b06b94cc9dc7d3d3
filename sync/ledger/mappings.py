"""Which mappings are in force, and the live schemas that they were held against."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from registration_core.store.tables import Base


class MappingVersionRow(Base):
    """One version of a connection's mapping file; the highest number is in force."""

    __tablename__ = "mapping_version"
    connection: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))
    #: The file, byte for byte.
    text: Mapped[str] = mapped_column(Text)
    #: By name of the mapped object, by field of ours: what its row means.
    fingerprints: Mapped[dict[str, Any]]
    applied_at: Mapped[datetime]
    applied_by: Mapped[str] = mapped_column(String(255))
    __table_args__ = (Index("ix_mapping_version_digest", "connection", "digest"),)


class SchemaWatchRow(Base):
    """How an object's live schema fits the mapping, as it was last looked at."""

    __tablename__ = "schema_watch"
    connection: Mapped[str] = mapped_column(String(64), primary_key=True)
    object: Mapped[str] = mapped_column(String(64), primary_key=True)
    #: Fields that the CRM requires and no row fills, and that are lived with.
    required: Mapped[list[Any]]
    #: Why the object stands still; empty while it fits.
    reason: Mapped[str] = mapped_column(Text)
    changed_at: Mapped[datetime]
    looked_at: Mapped[datetime]
