"""The one place that words errors: what happened, to which record, and what to type next.

On standard error, as text or, with `--json`, as `{"error": {code, message, hint, problems}}`.
"""

from __future__ import annotations

import json
import sys
import traceback
from typing import IO, Any

import click

from cli.frame import Exit, Frame
from cli.output import words
from registration_core.errors import (
    CheckNotUsable,
    ConfigurationError,
    DealregError,
    NeedsAnother,
)

#: What a database says when its tables are missing or from another version.
_NOT_SET_UP = ("no such table", "no such column", "unable to open database file")
#: PostgreSQL's codes for the same: undefined_table, undefined_column.
_NOT_SET_UP_STATES = ("42P01", "42703")


class Told(click.ClickException):
    """An error in the words a person gets."""

    exit_code = Exit.FAILED

    def __init__(self, error: DealregError, *, as_json: bool) -> None:
        super().__init__(error.message)
        self.error, self.as_json = error, as_json

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the error to standard error."""
        problems = self.error.problems if isinstance(self.error, ConfigurationError) else ()
        if self.as_json:
            told: dict[str, object] = {
                "code": self.error.code, "message": self.error.message, "hint": self.error.hint,
                "problems": [{"where": p.where, "what": p.what, "remedy": p.remedy} for p in problems],
            }  # fmt: skip
            click.echo(json.dumps({"error": told}), file=file, err=True)
            return
        lines = [f"error: {self.error.message}", *(f"  {problem}" for problem in problems)]
        if self.error.hint:
            lines.append(self.error.hint)
        click.echo("\n".join(words(line) for line in lines), file=file, err=True)


class Waits(Told):
    """An error that a person's decision or patience mends, not another try."""

    exit_code = Exit.NEEDS_A_HUMAN


def told(error: Exception, frame: Frame) -> Told:
    """Word any error; what nobody foresaw is told without its traceback unless `--debug`."""
    known = _store_not_set_up(error)
    if known is not None:
        return Told(known, as_json=frame.as_json)
    if isinstance(error, CheckNotUsable | NeedsAnother):
        return Waits(error, as_json=frame.as_json)
    if isinstance(error, DealregError):
        return Told(error, as_json=frame.as_json)
    from config.logging import mask_text

    if frame.debug:
        click.echo(mask_text("".join(traceback.format_exception(error))), err=True)
    # A database's own error repeats the statement with its values; its cause does not.
    cause = getattr(error, "orig", None) or error
    first = mask_text(str(cause).strip().partition("\n")[0])
    unexpected = DealregError(
        f"Something happened that should not: {type(error).__name__}"
        + (f": {first}" if first else ""),
        hint="Type the same with --debug and send what it prints to whoever looks after dealreg.",
    )
    return Told(unexpected, as_json=frame.as_json)


def _store_not_set_up(error: Exception) -> DealregError | None:
    if "sqlalchemy" not in sys.modules:  # then it cannot be one of its errors
        return None
    from sqlalchemy.exc import DBAPIError

    cause = error.__cause__ if isinstance(error, DealregError) else error
    if not isinstance(cause, DBAPIError):
        return None
    missing = any(phrase in str(cause.orig) for phrase in _NOT_SET_UP)
    if missing or getattr(cause.orig, "sqlstate", "") in _NOT_SET_UP_STATES:
        return DealregError(
            "The store is not set up for this version.", hint="Type: dealreg db upgrade"
        )
    return None
