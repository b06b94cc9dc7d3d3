"""Tables of what people put in the way of a write: stops, rungs, caps and what they hold."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from registration_core.contracts import Fields
from registration_core.store.tables import Base


class StopRow(Base):
    """A person stopped the traffic with a connection, or with all (`*`)."""

    __tablename__ = "stop"
    scope: Mapped[str] = mapped_column(String(64), primary_key=True)
    writes_only: Mapped[bool]
    reason: Mapped[str] = mapped_column(Text)
    stopped_by: Mapped[str] = mapped_column(String(255))
    stopped_at: Mapped[datetime]


class RungRow(Base):
    """How far a person lets a connection go, and what that was decided on."""

    __tablename__ = "rung"
    connection: Mapped[str] = mapped_column(String(64), primary_key=True)
    object: Mapped[str] = mapped_column(String(64), primary_key=True)
    mode: Mapped[str] = mapped_column(String(16))
    #: Ids of the registrations that mode `canary` writes.
    canary: Mapped[list[Any]]
    canary_most: Mapped[int]
    report: Mapped[dict[str, Any]]
    changed_by: Mapped[str] = mapped_column(String(255))
    changed_at: Mapped[datetime]


class HeldRow(Base):
    """Changes that were too many at once; one item per cap, and at most one that is open."""

    __tablename__ = "held"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    connection: Mapped[str] = mapped_column(String(64))
    #: `push` or `pull`.
    direction: Mapped[str] = mapped_column(String(8))
    #: A cap's name, `undo` for what an undo has declined, `restored` for an older store's pushes.
    cap: Mapped[str] = mapped_column(String(32))
    #: What the cap was about, for example `Stage=Closed Won`.
    about: Mapped[str] = mapped_column(String(255))
    #: `held`, `released` or `discarded`.
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    opened_at: Mapped[datetime]
    #: Operating-system user of the first of two people who release a large item.
    first_by: Mapped[str] = mapped_column(String(255))
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[str] = mapped_column(String(255))
    __table_args__ = (
        Index(
            "uq_held_open",
            "connection",
            "direction",
            "cap",
            "about",
            unique=True,
            sqlite_where=text("state = 'held'"),
            postgresql_where=text("state = 'held'"),
        ),
    )


class HeldChangeRow(Base):
    """One registration's change in a held item: a plan that waits, with its before-image."""

    __tablename__ = "held_change"
    held_id: Mapped[str] = mapped_column(ForeignKey("held.id"), primary_key=True)
    registration_id: Mapped[str] = mapped_column(
        ForeignKey("registration.id"), primary_key=True, index=True
    )
    connection: Mapped[str] = mapped_column(String(64))
    object: Mapped[str] = mapped_column(String(64))
    record_id: Mapped[str | None] = mapped_column(String(64))
    #: What would change and what stands there now: the CRM's names for a push, ours for a pull.
    payload: Mapped[Fields]
    before: Mapped[Fields]
    #: The same change in our own terms.
    values: Mapped[Fields]
    #: What both sides had agreed on of it; a discard counts until they agree on something else.
    #: None where that is not known: then it counts for good.
    agreed: Mapped[Fields | None]


class TallyRow(Base):
    """How often something was done in one minute, for the caps."""

    __tablename__ = "tally"
    connection: Mapped[str] = mapped_column(String(64), primary_key=True)
    cap: Mapped[str] = mapped_column(String(32), primary_key=True)
    about: Mapped[str] = mapped_column(String(255), primary_key=True)
    minute: Mapped[datetime] = mapped_column(primary_key=True)
    count: Mapped[int]
