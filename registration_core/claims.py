"""What a protection keeps: one slot of one product line for one customer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class ClaimState(StrEnum):
    """Whether a claim keeps its slot."""

    STANDING = "standing"
    CONTESTED = "contested"
    RELEASED = "released"


@dataclass(frozen=True)
class Claim:
    """The protection of one customer, one product line, one slot."""

    id: str
    registration_id: str
    customer_id: str
    product_line: str
    slot: int
    state: ClaimState
    starts_on: date
    ends_on: date
