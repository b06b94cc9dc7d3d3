"""Salesforce record ids: 15 case-sensitive characters, and the 18-character form with checksum."""

from __future__ import annotations

import re

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHECK = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_ID = re.compile(r"[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?", re.ASCII)


def is_id(text: object) -> bool:
    """Tell whether this could be a record id, in either form."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def to_18(record_id: str) -> str:
    """Give the 18-character form of an id in either form."""
    core = record_id[:15]
    checksum = ""
    for start in (0, 5, 10):
        group = core[start : start + 5]
        index = sum(1 << bit for bit, char in enumerate(group) if "A" <= char <= "Z")
        checksum += _CHECK[index]
    return core + checksum


def make_id(prefix: str, pod: str, number: int) -> str:
    """Build an 18-character id of a key prefix, the org's pod characters and a running number."""
    digits = ""
    while number:
        number, rest = divmod(number, 62)
        digits = _DIGITS[rest] + digits
    return to_18(prefix + pod + "0" + digits.rjust(9, "0"))


def number_of(record_id: str) -> int:
    """Read the running number back out of an id made by `make_id`."""
    value = 0
    for char in record_id[6:15]:
        value = value * 62 + _DIGITS.index(char)
    return value


def pod(seed: int) -> str:
    """Two characters that tell the ids of one org from another's."""
    return _DIGITS[seed // 62 % 62] + _DIGITS[seed % 62]
