"""How far a connection may be written to."""

from __future__ import annotations

from enum import StrEnum


class Mode(StrEnum):
    """Gates writes to the CRM only; reading goes on, except in `off`."""

    #: Neither read nor written.
    OFF = "off"
    #: Read; what would be written is recorded as an observed intent.
    OBSERVE = "observe"
    #: Read and written.
    PUSH = "push"
