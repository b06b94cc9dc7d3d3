"""What people type and write into files, read into values: text, money, days.

Each parser raises `InvalidInput` that says what is wrong and how to write it instead.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import date
from decimal import Decimal

import click

from registration_core.errors import InvalidInput
from registration_core.findings import ReasonCode

_MONEY = re.compile(r"\d{1,15}(\.\d{1,2})?", re.ASCII)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def text(raw: str, at_most: int = 255) -> str:
    """Read text: NFC, trimmed, without control characters. Formulas and markup stay plain text."""
    clean = unicodedata.normalize("NFC", raw).strip()
    if any(unicodedata.category(c) == "Cc" and c not in "\n\r\t" for c in clean):
        raise InvalidInput("It holds a control character.", hint="Type it again by hand.")
    if len(clean) > at_most:
        raise InvalidInput(f"It is longer than {at_most} characters.", hint="Shorten it.")
    return clean


def capitals(raw: str) -> str:
    """Read a code that is written in capitals, such as a country or a currency."""
    return text(raw, 16).upper()


def money(raw: str) -> Decimal:
    """Read an amount: digits, at most two decimals after a point, no separators or signs."""
    clean = raw.strip()
    if not _MONEY.fullmatch(clean):
        raise InvalidInput(
            f"{clean[:40]!r} is not an amount.", hint="Write it like 48500 or 48500.50."
        )
    return Decimal(clean)


def day(raw: str) -> date:
    """Read a day in ISO form; any other order of day and month would be a guess."""
    clean = raw.strip()
    try:
        if _DAY.fullmatch(clean):
            return date.fromisoformat(clean)
    except ValueError as error:
        raise InvalidInput(f"There is no day {clean}.", hint="Correct the date.") from error
    raise InvalidInput(f"{clean[:40]!r} is not a date.", hint="Write it like 2027-03-31.")


def reason_code(raw: str) -> ReasonCode:
    """Read a reason code; refuses what is none as the command line's own mistake."""
    known = {code.value: code for code in ReasonCode}
    if raw.upper() not in known:
        raise click.BadParameter(f"{raw!r} is none of: {', '.join(known)}", param_hint="--reason")
    return known[raw.upper()]


class _Parsed(click.ParamType[object]):
    """An option whose text is read by one of the parsers above."""

    def __init__(self, name: str, parse: Callable[[str], object]) -> None:
        self.name = name
        self._parse = parse

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        try:
            return self._parse(value) if isinstance(value, str) else value
        except InvalidInput as error:
            self.fail(str(error), param, ctx)


MONEY = _Parsed("amount", money)
DAY = _Parsed("yyyy-mm-dd", day)
CAPITALS = _Parsed("code", capitals)
