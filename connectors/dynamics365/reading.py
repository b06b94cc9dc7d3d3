"""Rows out of the Web API: by filter and in pages.

Filters are built from values worded as literals (`wire.literal`), never pasted. A filter too long
for one address is asked in pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from connectors.dynamics365 import wire
from connectors.dynamics365.currencies import Currencies
from connectors.dynamics365.tables import CURRENCY, OPPORTUNITY, QUALIFIED_TO, Table
from connectors.dynamics365.transport import Reply, Transport
from connectors.errors import CallRejected, CrmUnavailable
from connectors.port import Absence, Gone, RemoteRecord
from registration_core.contracts import Condition

PAGE_MAX = 5000
#: State of a lead.
_QUALIFIED = 1
#: The Web API takes addresses up to 32,768 characters.
_FILTER_MAX = 28_000
#: A query takes 500 conditions: Dataverse developer guide, "Filter rows using OData", with some
#: left for what is added to a filter.
_CONDITIONS_MAX = 490


@dataclass(frozen=True)
class Rows:
    """The answer to one filter."""

    rows: tuple[Mapping[str, Any], ...]
    complete: bool
    as_of: datetime


def _conditions(table: Table, condition: Condition) -> int:
    """How many conditions of a query this one becomes."""
    return 1 if condition.field == table.primary_id else len(condition.values)


class Reader:
    """Reads rows of one environment as our user."""

    def __init__(
        self,
        transport: Transport,
        currencies: Currencies,
        connection: str,
        clock: Callable[[], datetime],
        user_id: Callable[[], str],
    ) -> None:
        self._transport = transport
        self._currencies = currencies
        self._connection = connection
        self._clock = clock
        self._user_id = user_id

    # Filters -----------------------------------------------------------------------------------

    def filters(self, table: Table, where: Sequence[Condition]) -> list[str]:
        """Word conditions as one `$filter`, or as several that together find the same rows."""
        text = " and ".join(self._term(table, condition) for condition in where)
        conditions = sum(_conditions(table, condition) for condition in where)
        if len(quote(text)) <= _FILTER_MAX and conditions <= _CONDITIONS_MAX:
            return [text]
        place = max(range(len(where)), key=lambda n: len(where[n].values))
        longest = where[place]
        if len(longest.values) < 2:
            raise self._rejected(f"a condition on {longest.field} is too long for one call")
        middle = len(longest.values) // 2
        halves = (longest.values[:middle], longest.values[middle:])
        return [
            piece
            for values in halves
            for piece in self.filters(
                table, [*where[:place], Condition(longest.field, values), *where[place + 1 :]]
            )
        ]

    def _term(self, table: Table, condition: Condition) -> str:
        column = table.columns[condition.field]
        ids: Mapping[str, str] = {}
        if condition.field == CURRENCY:
            ids = self._currencies.with_codes(str(v) for v in condition.values if v).ids
        if not condition.values:
            # Nothing is one of no values; the id is never empty.
            return f"{table.primary_id} eq null"
        try:
            if condition.field == table.primary_id:
                return wire.among(column, condition.values)
            return wire.either(wire.equals(column, value, ids) for value in condition.values)
        except wire.UnfitValueError as error:
            raise self._rejected(
                f"the condition on {error.field} cannot be asked: {error}"
            ) from None

    def _rejected(self, reason: str) -> CallRejected:
        return CallRejected(
            f"Dynamics 365 was not asked: {reason}.",
            connection=self._connection,
            operation="select",
        )

    # Rows --------------------------------------------------------------------------------------

    def select(self, table: Table, fields: Sequence[str]) -> str:
        """Word the `$select` that a record with these fields needs."""
        names = {table.columns[name].wire_name for name in fields}
        names |= {"createdon", "modifiedon", "_modifiedby_value"} & {
            column.wire_name for column in table.columns.values()
        }
        if table.merges:
            names |= {"merged", "_masterid_value"}
        if table.qualifies:
            names |= {"statecode", table.columns[QUALIFIED_TO].wire_name}
        return ",".join(sorted({table.primary_id, *names}))

    def rows(
        self, table: Table, filter_text: str, select: str, limit: int | None, operation: str
    ) -> Rows:
        """Read the rows that fit, in order of id; `limit` None reads all."""
        size = PAGE_MAX if limit is None else min(PAGE_MAX, limit + 1)
        address = wire.query(table, select=select, filter=filter_text, orderby=table.primary_id)
        found: list[Mapping[str, Any]] = []
        as_of: datetime | None = None
        for page, reply in self._pages(address, size, operation):
            found += page
            as_of = as_of or reply.as_of(self._clock())
            if limit is not None and len(found) > limit:
                break
        cut = limit is not None and len(found) > limit
        return Rows(tuple(found[:limit]), not cut, as_of or self._clock())

    def _pages(
        self, address: str, size: int, operation: str
    ) -> Iterator[tuple[list[Mapping[str, Any]], Reply]]:
        headers = {"Prefer": f"odata.maxpagesize={size},{wire.ANNOTATIONS}"}
        before: list[Mapping[str, Any]] | None = None
        while address:
            reply = self._transport.get(address, operation, headers)
            body = self._transport.decoded(reply, operation)
            page, address = body["value"], str(body.get("@odata.nextLink") or "")
            yield page, reply
            # The page number of a link may advance over a cookie that does not, without end.
            if address and page == before:
                raise CrmUnavailable(
                    f"Dynamics 365 gave the same page of {operation} twice.",
                    connection=self._connection,
                    operation=operation,
                )
            before = page

    def count(self, table: Table, filter_text: str) -> int:
        """Count the rows that fit, exactly: `$count` stops at 5,000, so their ids are paged through."""
        address = wire.query(
            table, select=table.primary_id, filter=filter_text, orderby=table.primary_id
        )
        return sum(len(page) for page, _ in self._pages(address, PAGE_MAX, "count"))

    # Records -----------------------------------------------------------------------------------

    def records(
        self, table: Table, rows: Sequence[Mapping[str, Any]], fields: Sequence[str]
    ) -> list[RemoteRecord | Gone]:
        """Turn rows into records; the loser of a merge and a qualified lead are gone."""
        codes: Mapping[str, str] = {}
        if CURRENCY in fields:
            wire_name = table.columns[CURRENCY].wire_name
            codes = self._currencies.with_ids(
                str(row[wire_name]).lower() for row in rows if row.get(wire_name)
            ).codes
        return [self._record(table, row, fields, codes) for row in rows]

    def _record(
        self,
        table: Table,
        row: Mapping[str, Any],
        fields: Sequence[str],
        codes: Mapping[str, str],
    ) -> RemoteRecord | Gone:
        record_id = str(row[table.primary_id]).lower()
        if row.get("merged"):
            master = row.get("_masterid_value")
            return Gone(record_id, Absence.MERGED, str(master).lower() if master else None)
        if table.qualifies and row.get("statecode") == _QUALIFIED:
            became = row.get(table.columns[QUALIFIED_TO].wire_name)
            # A lead may be qualified without an opportunity; then it is a closed one like any other.
            if became:
                return Gone(record_id, Absence.CONVERTED, str(became).lower(), OPPORTUNITY)
        values = {}
        for name in fields:
            column = table.columns[name]
            raw = row.get(column.wire_name)
            # A currency our user may not see is not fetched, which is not the same as empty.
            if name != CURRENCY or raw is None or str(raw).lower() in codes:
                values[name] = wire.from_wire(column, row, codes)
        modifier = row.get("_modifiedby_value")
        created = row.get("createdon")
        return RemoteRecord(
            object=table.schema.name,
            record_id=record_id,
            fields=values,
            version=row.get("@odata.etag"),
            created_at=wire.moment(created) if created else None,
            modified_at=wire.moment(row["modifiedon"]),
            modified_by_us=str(modifier).lower() == self._user_id() if modifier else None,
        )
