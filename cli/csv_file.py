"""Tables from CSV files, with the line that each row begins on.

RFC 4180: comma, double quotes, one header line; UTF-8 with or without a byte order mark. Cells are
text: what looks like a formula is kept as it is and never evaluated.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from registration_core.errors import InvalidInput

#: Largest file that is taken.
BYTES_MAX = 5_000_000
ROWS_MAX = 10_000


@dataclass(frozen=True)
class Line:
    """One row of the file and the line it begins on; `broken` says why it cannot be read."""

    number: int
    cells: dict[str, str]
    broken: str = ""
    remedy: str = ""


def read_file(path: Path, required: Sequence[str], optional: Sequence[str]) -> list[Line]:
    """Read a whole file; `InvalidInput` where it cannot be taken as a table with these columns."""
    return table_of(content_of(path), path.name, required, optional)


def content_of(path: Path) -> bytes:
    """Return what a file holds; `InvalidInput` where that is too much."""
    with path.open("rb") as file:
        content = file.read(BYTES_MAX + 1)
    if len(content) > BYTES_MAX:
        raise InvalidInput(f"{path.name} is larger than {BYTES_MAX:,} bytes.", hint="Split it.")
    return content


def table_of(
    content: bytes, name: str, required: Sequence[str], optional: Sequence[str]
) -> list[Line]:
    """Read the content of a file of this name, as `read_file` does."""
    try:
        whole = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InvalidInput(
            f"{name} is not UTF-8 text (line {line}).",
            hint="Save it as CSV UTF-8.",
        ) from error
    reader = csv.reader(io.StringIO(whole, newline=""), strict=True)
    header = _header(reader, name, required, optional)
    lines = list(_lines(reader, header))
    if len(lines) > ROWS_MAX:
        raise InvalidInput(f"{name} has more than {ROWS_MAX:,} rows.", hint="Split it.")
    return lines


def _header(
    reader: Iterator[list[str]], name: str, required: Sequence[str], optional: Sequence[str]
) -> list[str]:
    try:
        columns = [cell.strip().lower() for cell in next(reader, [])]
    except csv.Error as error:
        raise InvalidInput(f"{name} is not CSV: {error}.", hint="Save it as CSV UTF-8.") from error
    missing = [column for column in required if column not in columns]
    unknown = [column for column in columns if column not in (*required, *optional)]
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
        else f"Required: {', '.join(required)}. Optional: {', '.join(optional)}."
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
