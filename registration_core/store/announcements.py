"""The outbox of announcements: rows committed with what they tell of, delivered afterwards."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from registration_core.announcing import AUDIENCES, TOPICS, Audience, Topic, facts
from registration_core.model import Registration
from registration_core.store.database import UnitOfWork
from registration_core.store.tables import Base

#: The namespace of the ids of announcements (RFC 9562, section 5.5).
_OURS = UUID("8c0b3d52-6f0e-4a57-9d0a-51b8f6d7a6c1")


class AnnouncementRow(Base):
    """One thing to tell one audience; its id is made from both, so that it is one for receivers too."""

    __tablename__ = "announcement"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    #: What makes it one: the same thing is told an audience once.
    about: Mapped[str] = mapped_column(String(255))
    audience: Mapped[str] = mapped_column(String(16))
    topic: Mapped[str] = mapped_column(String(32))
    registration_id: Mapped[str | None] = mapped_column(ForeignKey("registration.id"), index=True)
    #: What there is to tell, as it was then.
    facts: Mapped[dict[str, Any]]
    #: Names of the channels that have it.
    delivered: Mapped[list[Any]]
    #: `open`, `done`, `dead`, or `untold` where no channel reaches whom it is for.
    state: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int]
    due_at: Mapped[datetime]
    reason: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]
    __table_args__ = (
        Index("uq_announcement_about", "about", "audience", unique=True),
        Index("ix_announcement_due", "state", "due_at"),
    )


def announce_action(
    unit: UnitOfWork, registration: Registration, action: str, *, to_partner: bool
) -> None:
    """Announce what an action of the audit trail did, if it is one that people are told of.

    The partner is told only of what they may see in the trail.
    """
    topic = TOPICS.get(action)
    if topic is not None:
        about = f"{action}:{registration.id}:{registration.version}"
        silent = () if to_partner else (Audience.PARTNER,)
        announce(unit, topic, about, facts(registration), registration.id, silent=silent)


def announce(
    unit: UnitOfWork,
    topic: Topic,
    about: str,
    told: Mapping[str, str],
    registration_id: str | None = None,
    *,
    silent: Collection[Audience] = (),
) -> bool:
    """Tell every audience of a topic but the `silent` ones; False if it was told before.

    Joins the caller's transaction.
    """
    new = unit.insert_new(
        AnnouncementRow,
        [
            {
                "id": str(uuid5(_OURS, f"{audience}:{about}")), "about": about,
                "audience": audience.value, "topic": topic.value,
                "registration_id": registration_id, "facts": dict(told), "delivered": [],
                "state": "open", "attempts": 0, "due_at": unit.now, "reason": "",
                "created_at": unit.now, "settled_at": None,
            }
            for audience in AUDIENCES[topic]
            if audience not in silent
        ],
    )  # fmt: skip
    return new > 0
