"""How the story is told: a table for each step, and a last line that says how it ended.

With `--json` one object at the end; on a terminal without Unicode, plain marks.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.demo.scene import Row
from cli.demo.story import STEPS, Played, Step
from cli.output import Output, words

#: Columns where nobody's terminal says how wide it is.
WIDTH_UNWATCHED = 130


class Narration:
    """Tells steps as they are played."""

    def __init__(self, out: Output) -> None:
        self._out = out
        stream = sys.stdout
        self._console = Console(
            file=stream,
            width=None if stream.isatty() else WIDTH_UNWATCHED,
            highlight=False, markup=False, emoji=False,
        )  # fmt: skip
        self._held, self._failed = marks(stream.encoding or "ascii")

    def opened(self, home: Path, seconds: float) -> None:
        """Say that everything runs."""
        self._out.say(
            f"Three sandbox CRMs and dealreg serve run in {home} (after {seconds:.1f} s).\n"
            "Every line below is one assertion against the CRMs or the store.\n"
        )

    @contextmanager
    def playing(self, step: Step) -> Iterator[None]:
        """Show that a step is being played, to whoever watches."""
        if self._out.as_json or not self._console.is_terminal:
            yield
            return
        with self._console.status(_title(step)):
            yield

    def tell(self, played: Played) -> None:
        """Print the table of a step."""
        if self._out.as_json:
            return
        table = Table(box=SIMPLE, title=_title(played.step), title_justify="left", expand=True)
        table.title_style = "bold"
        table.add_column("Done", ratio=5, overflow="fold")
        table.add_column("Expected", ratio=4, overflow="fold")
        table.add_column("Seen", ratio=5, overflow="fold")
        table.add_column("", width=max(len(self._held), len(self._failed)))
        for row in played.rows:
            table.add_row(*map(words, (row.done, row.expected, row.seen)), self._mark(row))
        self._console.print(table)

    def closed(self, played: Sequence[Played], seconds: float) -> None:
        """Say how the story ended."""
        rows = [row for each in played for row in each.rows]
        last = played[-1]
        if self._out.as_json:
            steps = [
                {"number": p.step.number, "title": p.step.title, "failed": p.failed,
                 "rows": [asdict(row) for row in p.rows]}
                for p in played
            ]  # fmt: skip
            self._out.json({"steps": steps, "failed": last.failed, "seconds": round(seconds, 1)})
        elif last.failed:
            row = last.rows[-1]
            self._out.say(
                f"Step {last.step.number} failed: {row.done}\n"
                f"  expected: {words(row.expected)}\n  seen:     {words(row.seen)}"
            )
        else:
            self._out.say(
                f"All {len(played)} of {len(STEPS)} steps held: {len(rows)} assertions in "
                f"{seconds:.0f} s."
            )

    def kept(self, home: Path) -> None:
        """Say where everything is."""
        self._out.say(f"Kept: {home} (store, CRM records; logs in {home / 'logs'})")

    def _mark(self, row: Row) -> Text:
        return Text(self._held, style="green") if row.held else Text(self._failed, style="bold red")


def _title(step: Step) -> str:
    return f"{step.number}. {step.title}"


def marks(encoding: str) -> tuple[str, str]:
    """Return the marks of what held and what did not, in what the stream can show."""
    try:
        "✓✗".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return "ok", "FAILED"
    return "✓", "✗"
