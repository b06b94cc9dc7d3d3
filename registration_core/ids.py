"""Ids: UUIDv7 for records, random public numbers that reveal no sequence."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from datetime import datetime

#: Letters and digits that are not mistaken for one another when read aloud.
_ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"


class Ids:
    """Makes ids from an injected clock and random source."""

    def __init__(self, clock: Callable[[], datetime], rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng

    def new(self) -> str:
        """Return a UUIDv7: sorts by time, unique without coordination (RFC 9562, section 5.7)."""
        milliseconds = int(self._clock().timestamp() * 1000)
        value = (milliseconds & (1 << 48) - 1) << 80 | self._rng.getrandbits(80)
        value = value & ~(0xF << 76) | 0x7 << 76
        value = value & ~(0x3 << 62) | 0x2 << 62
        return str(uuid.UUID(int=value))

    def number(self) -> str:
        """Return a public registration number, for example `DR-7KQ2-M9XA` (about 40 bits)."""
        text = "".join(self._rng.choice(_ALPHABET) for _ in range(8))
        return f"DR-{text[:4]}-{text[4:]}"

    def secret(self) -> str:
        """Return 128 random bits as hex, for keys that blind personal data."""
        return f"{self._rng.getrandbits(128):032x}"
