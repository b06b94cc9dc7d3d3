"""How a command answers: tables and sentences for people, one JSON value for scripts.

With `--json` a command prints exactly one JSON value on standard output, with the keys that
docs/cli.md lists; money and dates are text. Without it, columns are as wide as they need to be
when nobody watches (a pipe, a file), so that no value is cut or wrapped.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

#: Columns of an output that is no terminal: enough for every value on one line.
WIDTH_UNWATCHED = 10_000

#: Last characters of an id that tables show; an id may be given by them.
ID_SHOWN = 8

Row = Mapping[str, object]


class Output:
    """Where a command's answer goes; errors go elsewhere (`cli/wording.py`)."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def table(
        self, rows: Sequence[Row], columns: Mapping[str, str], *, empty: str, title: str = ""
    ) -> None:
        """Print rows: `columns` of them for people, all keys as a JSON list for scripts.

        Args:
            rows: What to print; every row has the same keys.
            columns: Key and heading of what people see, in order.
            empty: Said instead of an empty table: what that means and what to type next.
            title: Above the table, where a command prints several.
        """
        if self.as_json:
            self.json(rows)
        elif rows:
            self.show(rows, columns, title=title)
        else:
            self.say(empty)

    def show(self, rows: Sequence[Row], columns: Mapping[str, str], *, title: str = "") -> None:
        """Print a table for people; nothing where there are no rows."""
        from rich.table import Table
        from rich.text import Text

        if not rows:
            return
        if title:
            self.say(title)
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for heading in columns.values():
            table.add_column(heading, overflow="fold")
        for row in rows:
            table.add_row(*(_styled(row[key], Text) for key in columns))
        self._console.print(table)

    def facts(self, facts: Row, *, title: str = "") -> None:
        """Print one record for people, a fact a line; empty facts are left out."""
        rows = [{"name": name, "value": value} for name, value in facts.items() if words(value)]
        if title:
            self.say(title)
        width = max((len(str(row["name"])) for row in rows), default=0)
        for row in rows:
            self.say(f"  {row['name']!s:<{width}}  {words(row['value'])}")

    def done(self, text: str, answer: Row) -> None:
        """Answer with a sentence for people or an object for scripts."""
        if self.as_json:
            self.json(answer)
        else:
            self.say(text)

    def say(self, text: str) -> None:
        """Print text for people; scripts do not get it."""
        if not self.as_json:
            click.echo(text)

    @contextmanager
    def busy(self, text: str) -> Iterator[None]:
        """Show that something goes on, on a terminal that people look at."""
        if self.as_json or not sys.stderr.isatty():
            yield
            return
        from rich.console import Console

        with Console(stderr=True).status(text):
            yield

    def json(self, value: object) -> None:
        """Print one JSON value; pure ASCII where the stream could not hold the rest."""
        stream = sys.stdout
        unicode = (stream.encoding or "").lower().replace("-", "").startswith("utf")
        click.echo(json.dumps(plain(value), indent=2, ensure_ascii=not unicode))

    @cached_property
    def _console(self) -> Console:
        from rich.console import Console

        stream = sys.stdout
        width = None if stream.isatty() else WIDTH_UNWATCHED
        return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


class Id(str):
    """An id: whole for scripts, its end for people."""

    __slots__ = ()


class Marked(str):
    """Text that a table brings out, for example a value that differs."""

    __slots__ = ()


def _styled(value: object, text: Any) -> Any:
    return text(words(value), style="bold yellow" if isinstance(value, Marked) else "")


def words(value: object) -> str:
    """Word a value for people on one terminal; nothing that steers the terminal gets through."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Id):
        return short(value)
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
    if isinstance(value, (list, tuple, set, frozenset)):
        return ", ".join(words(item) for item in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={words(item)}" for name, item in value.items())
    return "".join(
        c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in str(value)
    )


def plain(value: object) -> Any:
    """Turn a value into what JSON has; money and dates become text, times ISO 8601 in UTC."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, (date, Decimal)):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(plain(item) for item in value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value if isinstance(value, float) else str(value)


def short(record_id: str) -> str:
    """Shorten an id to what tables show."""
    return record_id[-ID_SHOWN:]
