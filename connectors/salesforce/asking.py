"""Asks Salesforce in as many queries as it takes: none too long, and less where one is too much.

What Salesforce calls too slow, too large or too complicated is asked for by halves: of the values,
then of the rows. `soql.py` words the queries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from connectors.salesforce.errors import QueryTooLarge
from connectors.salesforce.soql import Asked, Part, halves, parts, select, where
from connectors.salesforce.transport import Answer, Transport
from connectors.salesforce.wire import to_18
from registration_core.contracts import FieldSchema, FieldType, Value

#: Rows that are asked for at once where nobody set a limit, and the fewest.
PAGE_ROWS = 2_000
PAGE_ROWS_MIN = 25
Row = Mapping[str, Any]
Found = TypeVar("Found")


def halving(part: Part, ask: Callable[[Part], list[Found]]) -> list[Found]:
    """Ask for what fits a part, and by halves where all of it is too much."""
    try:
        return ask(part)
    except QueryTooLarge:
        both = halves(part)
        if both is None:
            raise
    first, second = both
    return halving(first, ask) + halving(second, ask)


def shrinking(size: int, least: int, ask: Callable[[int], list[Row]]) -> tuple[list[Row], int]:
    """Ask for a page of rows, by halves down to `least`; returns them, and how many they could be."""
    while True:
        try:
            return ask(size), size
        except QueryTooLarge:
            if size <= least:
                raise
            size = max(size // 2, least)


def rows_in(
    transport: Transport,
    columns: Sequence[str],
    object_name: str,
    field: FieldSchema,
    values: Sequence[Value],
    *,
    operation: str,
    also: str = "",
    tail: str = "",
    deleted: bool = False,
) -> Iterator[Row]:
    """Read the rows whose field is one of values, for which `also` holds; none without values."""

    def worded(fitting: str) -> str:
        return select(columns, object_name, f"{fitting} AND {also}" if also else fitting, tail)

    def ask(part: Part) -> list[Row]:
        pages = transport.query(worded(where(part)), operation=operation, deleted=deleted)
        return [row for page in pages for row in page.data["records"]]

    if values:
        for part in parts([(field, tuple(values))], worded("")):
            yield from halving(part, ask)


class Selecting:
    """Reads or counts the records of one object that fit conditions; made for each call."""

    def __init__(self, transport: Transport, object_name: str, operation: str) -> None:
        self._transport = transport
        self._object_name = object_name
        self._operation = f"{operation} {object_name}"
        #: Salesforce's clock when the first query set out; None before it was answered.
        self.as_of: datetime | None = None

    def rows(
        self, columns: Sequence[str], asked: Sequence[Asked], most: int | None = None
    ) -> dict[str, Row]:
        """Read rows by the id of 18 characters; of each part of the conditions `most` at most."""

        def ask(part: Part) -> list[Row]:
            return self._pages(columns, part, most)

        found = (halving(part, ask) for part in parts(asked, self._frame(columns)))
        return {to_18(str(row["Id"])): row for rows in found for row in rows}

    def count(self, asked: Sequence[Asked]) -> int:
        """Count records; where counting is too much, by reading their ids."""

        def ask(part: Part) -> list[int]:
            soql = select(["COUNT()"], self._object_name, where(part))
            return [int(page.data["totalSize"]) for page in self._asked(soql)]

        # A record can fit several sets of options, and must not be counted with each.
        whole = any(f.type is FieldType.MULTI_PICKLIST and len(v) > 1 for f, v in asked)
        split = list(parts(asked, self._frame(["COUNT()"])))
        try:
            if not whole:
                return sum(sum(halving(part, ask)) for part in split)
            if len(split) == 1:
                return sum(ask(split[0]))
        except QueryTooLarge:
            pass
        return len(self.rows(["Id"], asked))

    def _frame(self, columns: Sequence[str]) -> str:
        longest = f"{_after('0' * 18)} AND "
        return select(columns, self._object_name, longest, _tail(10**9))

    def _pages(self, columns: Sequence[str], part: Part, most: int | None) -> list[Row]:
        """Read a part in one query, or page by page where it cannot be halved any more."""
        size = most or PAGE_ROWS
        least = size if halves(part) else min(size, PAGE_ROWS_MIN)
        found: list[Row] = []
        while True:
            last = _after(str(found[-1]["Id"])) if found else ""
            terms = [term for term in (where(part), last) if term]

            def ask(rows: int, terms: Sequence[str] = terms) -> list[Row]:
                soql = select(columns, self._object_name, " AND ".join(terms), _tail(rows))
                return [row for page in self._asked(soql) for row in page.data["records"]]

            page, size = shrinking(size, least, ask)
            found += page
            if len(page) < size or (most is not None and len(found) >= most):
                return found

    def _asked(self, soql: str) -> Iterator[Answer]:
        for page in self._transport.query(soql, operation=self._operation):
            self.as_of = self.as_of or page.as_of
            yield page


def _after(record_id: str) -> str:
    return f"Id > '{record_id}'"


def _tail(rows: int) -> str:
    return f"ORDER BY Id LIMIT {rows}"
