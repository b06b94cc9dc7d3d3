"""The one door to people: what every channel offers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from registration_core.announcing import Audience
from registration_core.errors import DealregError

#: How long the other side may take for one step of a delivery, in seconds.
TIMEOUT_SECONDS = 5


@dataclass(frozen=True)
class Message:
    """One announcement, worded."""

    #: The same however often it is sent, so that a receiver can tell a repeat.
    id: str
    topic: str
    subject: str
    text: str
    facts: Mapping[str, str]
    #: Address of the partner it is for; empty for staff.
    to: str
    at: datetime


class Undelivered(DealregError):
    """The channel did not take a message now; it may later."""

    code = "undelivered"


class Unreachable(Undelivered):
    """Nobody answers on the channel; another message would hardly be taken now."""

    code = "unreachable"


class Undeliverable(Undelivered):
    """The channel will not take this message however often it is sent."""

    code = "undeliverable"


class NoAddress(Undelivered):
    """The channel knows no way to whom the message is for."""

    code = "no_address"


class Channel(Protocol):
    """One way to reach one audience."""

    @property
    def name(self) -> str: ...

    @property
    def audience(self) -> Audience: ...

    def deliver(self, message: Message) -> None:
        """Send one message; one of the errors above if that failed.

        Whoever does not answer is waited for no longer than `TIMEOUT_SECONDS` at any step.

        At-least-once: a message whose answer was lost is sent again with the same id.
        """
