"""Registrations from a CSV file: every bad row is told, every good row lands, none lands twice.

RFC 4180: comma, double quotes, one header line; UTF-8 with or without a byte order mark. Each row
is a commit of its own, so that an interrupted import is simply typed again. Cells are text: what
looks like a formula is kept as it is and never evaluated.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cli.submissions import COLUMNS, REQUIRED, column_of, stable_token, submission
from registration_core.errors import DomainRefusal, InvalidInput, NotFound
from registration_core.model import Actor, Registration
from registration_core.program import Program
from registration_core.store.database import Database
from registration_core.submission import Submission
from registration_core.use_cases import submit

#: Largest file that is taken.
BYTES_MAX = 5_000_000
ROWS_MAX = 10_000


class Result(StrEnum):
    """What became of a row."""

    REGISTERED = "registered"
    ALREADY_THERE = "already_there"
    BAD = "bad"


@dataclass(frozen=True)
class Line:
    """One row of the file and the line it begins on; `broken` says why it cannot be read."""

    number: int
    cells: dict[str, str]
    broken: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of one row, and for a bad one the column, the reason and what to do."""

    line: int
    result: Result
    number: str = ""
    field: str = ""
    reason: str = ""
    fix: str = ""


class _NotKept(Exception):
    """Ends the transaction of a dry run."""


def read_file(path: Path, program: Program) -> list[Line]:
    """Read a whole file; `InvalidInput` where it cannot be taken as a table of registrations."""
    with path.open("rb") as file:
        content = file.read(BYTES_MAX + 1)
    if len(content) > BYTES_MAX:
        raise InvalidInput(f"{path.name} is larger than {BYTES_MAX:,} bytes.", hint="Split it.")
    try:
        whole = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InvalidInput(
            f"{path.name} is not UTF-8 text (line {line}).",
            hint="Save it as CSV UTF-8.",
        ) from error
    reader = csv.reader(io.StringIO(whole, newline=""), strict=True)
    header = _header(reader, path.name, (*COLUMNS, *program.custom_fields))
    lines = list(_lines(reader, header))
    if len(lines) > ROWS_MAX:
        raise InvalidInput(f"{path.name} has more than {ROWS_MAX:,} rows.", hint="Split it.")
    return lines


def import_lines(
    database: Database,
    actor: Actor,
    program: Program,
    lines: Iterable[Line],
    *,
    dry_run: bool,
    tick: Callable[[], None],
) -> list[Outcome]:
    """Register every good row; `tick` is called after each. With `dry_run` nothing is kept."""
    outcomes, first_lines = [], dict[tuple[str, str], int]()
    for line in lines:
        outcomes.append(_import(database, actor, program, line, first_lines, dry_run=dry_run))
        tick()
    return outcomes


def _header(reader: Iterator[list[str]], name: str, known: tuple[str, ...]) -> list[str]:
    try:
        columns = [cell.strip().lower() for cell in next(reader, [])]
    except csv.Error as error:
        raise InvalidInput(f"{name} is not CSV: {error}.", hint="Save it as CSV UTF-8.") from error
    missing = [column for column in REQUIRED if column not in columns]
    unknown = [column for column in columns if column not in known]
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if not (missing or unknown or twice):
        return columns
    told = [
        f"{word}: {', '.join(repr(column) for column in found)}"
        for word, found in (("missing", missing), ("unknown", unknown), ("twice", twice))
        if found
    ]
    apart = len(columns) == 1 and any(mark in columns[0] for mark in ";\t")
    hint = (
        "Separate the columns by commas."
        if apart
        else f"Required: {', '.join(REQUIRED)}. "
        f"Optional: {', '.join(column for column in known if column not in REQUIRED)}."
    )
    raise InvalidInput(
        f"The first line of {name} does not name the columns; {'; '.join(told)}.", hint=hint
    )


def _lines(reader: Iterator[list[str]], header: list[str]) -> Iterator[Line]:
    """Yield every row that is not blank; a quote that never ends makes the last one."""
    while True:
        number = reader.line_num + 1  # type: ignore[attr-defined]
        try:
            cells = next(reader, None)
        except csv.Error as error:
            broken = f"this and everything after it is not CSV: {error}"
            yield Line(number, {}, broken, "Close the quote; write a quote inside of quotes twice.")
            return
        if cells is None:
            return
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            broken = f"it has {len(cells)} cells, the header has {len(header)}"
            yield Line(number, {}, broken, "Quote cells that hold a comma.")
        else:
            yield Line(number, dict(zip(header, cells, strict=True)))


def _import(
    database: Database,
    actor: Actor,
    program: Program,
    line: Line,
    first_lines: dict[tuple[str, str], int],
    *,
    dry_run: bool,
) -> Outcome:
    if line.broken:
        return Outcome(line.number, Result.BAD, reason=line.broken, fix=line.remedy)
    try:
        wanted = submission(line.cells, program, stable_token(line.cells))
        first = first_lines.setdefault((wanted.partner_code, wanted.token), line.number)
        if dry_run and first != line.number:  # else the store itself knows the first one
            return Outcome(
                line.number, Result.ALREADY_THERE, reason=f"the same deal as line {first}"
            )
        known, is_new = _submit(database, actor, program, wanted, dry_run=dry_run)
    except DomainRefusal as error:
        return _bad(line, error)
    if is_new:
        return Outcome(line.number, Result.REGISTERED, number="" if dry_run else known.number)
    reason, fix = _difference(known, wanted)
    return Outcome(line.number, Result.ALREADY_THERE, known.number, reason=reason, fix=fix)


def _submit(
    database: Database, actor: Actor, program: Program, wanted: Submission, *, dry_run: bool
) -> tuple[Registration, bool]:
    answer: tuple[Registration, bool]
    try:
        with database.begin(actor) as unit:
            answer = submit(unit, wanted, program)
            if dry_run:
                raise _NotKept
    except _NotKept:
        pass
    return answer


def _bad(line: Line, error: DomainRefusal) -> Outcome:
    field, reason = "", error.message
    if isinstance(error, InvalidInput):
        field = column_of(error)
        reason = reason.removeprefix(f"{error.field}: ")
    elif isinstance(error, NotFound):
        field = "partner"
    return Outcome(line.number, Result.BAD, "", field, reason.rstrip("."), error.hint)


def _difference(known: Registration, wanted: Submission) -> tuple[str, str]:
    """Tell what a row says differently of a registration that is there; it is not changed."""
    pairs = (
        ("amount", known.amount, wanted.amount),
        ("currency", known.currency, wanted.currency),
        ("close", known.expected_close_on, wanted.expected_close_on),
    )
    differing = [(name, there, here) for name, there, here in pairs if there != here]
    if not differing:
        return "", ""
    told = ", ".join(f"{name} is {there} there and {here} here" for name, there, here in differing)
    options = " ".join(f"--{name} {here}" for name, _, here in differing)
    return told, f"dealreg registration update {known.number} {options}"
