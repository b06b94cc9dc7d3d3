"""Progress on standard error, for a person at a terminal who waits."""

from __future__ import annotations

import sys
import time

import click

#: Work that is over sooner tells nothing.
_QUIET_SECONDS = 2.0


class Progress:
    """Tells how far a long command is, about once a second."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._told_at = time.monotonic() + _QUIET_SECONDS - 1
        self._told = False

    def at(self, done: int, total: int) -> None:
        """Say how much is done; the last time ends the line."""
        now, ends = time.monotonic(), done == total
        due = now - self._told_at >= 1 or (ends and self._told)
        if sys.stderr.isatty() and due:
            self._told_at, self._told = now, True
            click.echo(f"\r{done:,} of {total:,} {self._what} ", nl=ends, err=True)
