"""Values that try to leave their literal, made from a seed so that a difference can be looked at again."""

from __future__ import annotations

import unicodedata
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random

#: A query must not carry more than Salesforce takes of a text field.
LENGTH_MAX = 60
_PIECES = (
    *("'", '"', "\\", "\\'", "''", "\\\\", "\\n", "\\u0027", "\\N", "\\_", "%", "_"),
    *("\n", "\r", "\t", "\b", "\f", "\r\n", "\x1f", "\x7f", "\u00a0", "\u2028", "\u2029", "\ufeff"),
    *("&", "+", "#", "/", "?", "=", ";", ",", "(", ")", "{", "}", "<", ">", ":x", "--", "/*", "*/"),
    *(" ", "a", "Z", "0", "é", "e\u0301", "ß", "İ", "株式会社", "\U0001f600", "%27", "%5C"),
    *("' OR Name != '", "') OR (Id != '", " LIMIT 1", " AND ", "null", "TRUE", "2027-06-30"),
)
_BEGIN = datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC)


def texts(random: Random, count: int, length_max: int = LENGTH_MAX) -> list[str]:
    """Make different texts; no two are one text to Salesforce, which compares without case."""
    made: dict[str, str] = {}
    while len(made) < count:
        text = "".join(random.choices(_PIECES, k=random.randint(1, 8)))[:length_max]
        made.setdefault(unicodedata.normalize("NFC", text).casefold(), text)
    return list(made.values())


def ids(random: Random, prefix: str, count: int) -> list[str]:
    """Make ids of 15 characters, in which case matters."""
    letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    return [prefix + "".join(random.choices(letters, k=12)) for _ in range(count)]


def numbers(random: Random, count: int) -> list[Decimal]:
    """Make amounts of every size and sign; no two are equal."""
    made = {
        Decimal(random.randint(-(10**12), 10**12)).scaleb(-random.randint(0, 2))
        for _ in range(count)
    }
    return [*made, Decimal("1e9"), Decimal("0.10")]


def dates(random: Random, count: int) -> list[date]:
    """Make days, the leap day among them."""
    made = {moment.date() for moment in moments(random, count)}
    return [*made, date(2028, 2, 29)]


def moments(random: Random, count: int) -> list[datetime]:
    """Make times to the millisecond."""
    return list({_BEGIN + timedelta(milliseconds=random.randint(0, 10**12)) for _ in range(count)})
