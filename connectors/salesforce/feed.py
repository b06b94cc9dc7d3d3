"""The change feed: sweeps over `(SystemModstamp, Id)` with an overlap, deletions included.

A transaction stamps its rows when it writes them and shows them when it commits, up to minutes
later: a sweep therefore begins `OVERLAP` before the one before it began, on Salesforce's own
clock. How far back open transactions reach is asked of Get Updated (`latestDateCovered`), more
often than the overlap is long, and the next sweep begins there if that is earlier. Within a sweep pages follow by key, never by offset, so that many rows with one stamp are
neither lost nor read for ever. Rows within the overlap are handed out again. `queryAll` tells of
rows in the recycle bin and of merges for 15 days; a cursor older than that has expired.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from connectors.errors import CallRejected, FeedExpired, NotPermitted
from connectors.port import ChangePage
from connectors.salesforce.asking import PAGE_ROWS_MIN, shrinking
from connectors.salesforce.records import RecordReader, floor_second
from connectors.salesforce.schema import SalesforceSchema
from connectors.salesforce.soql import select
from connectors.salesforce.transport import Answer, Transport
from connectors.salesforce.wire import is_id, read_time, write_time

OVERLAP = timedelta(minutes=10)
#: How often Get Updated is asked. Shorter than the overlap, or a transaction that is longer than
#: that could begin and end between two answers; Salesforce asks for no less than five minutes.
COVERAGE_ASKED_EVERY = timedelta(minutes=5)
#: The recycle bin keeps 15 days; a day is left for clocks and retries.
CURSOR_AGE_MAX = timedelta(days=14)
PAGE_ROWS = 1000
_OPERATION = "changes"


@dataclass(frozen=True)
class _Cursor:
    """Where a sweep stands: begun at `as_of`, from `since`, `after` a key; `after` None = ended."""

    as_of: datetime
    since: datetime | None
    after: tuple[datetime, str] | None
    #: Until when every commit was known, and when that was asked.
    covered: datetime | None = None
    asked_at: datetime | None = None

    def text(self, object_name: str) -> str:
        return json.dumps(
            {
                "object": object_name,
                "as_of": write_time(self.as_of),
                "since": write_time(self.since) if self.since else None,
                "after": [write_time(self.after[0]), self.after[1]] if self.after else None,
                "covered": write_time(self.covered) if self.covered else None,
                "asked_at": write_time(self.asked_at) if self.asked_at else None,
            }
        )


def read_changes(
    transport: Transport,
    schema: SalesforceSchema,
    our_user: str,
    fields: tuple[str, ...],
    cursor: str | None,
    connection: str,
) -> ChangePage:
    """Read one page after `cursor`; see `CrmConnector.changes`."""
    if not schema.has("SystemModstamp"):
        raise transport.rejected(_OPERATION, f"{schema.name} has no SystemModstamp to follow")
    before = _read_cursor(cursor, schema.name, connection)
    continuing = before is not None and before.after is not None
    since = None
    if before is not None:
        late = min(before.as_of - OVERLAP, before.covered or before.as_of)
        since = before.since if continuing else late
    # Asked before the rows are: what is covered now cannot be missing from them.
    covered, asked_at = _coverage(transport, schema, before, continuing=continuing)
    reader = RecordReader(transport, schema, our_user, _OPERATION)
    columns = reader.queried(fields, "IsDeleted", "MasterRecordId")
    where = _where(since, before.after if before else None)
    rows, as_of, more = _page(transport, columns, schema.name, where)
    if before is not None and as_of is not None and as_of - before.as_of > CURSOR_AGE_MAX:
        raise _expired(connection, schema.name, f"is from {before.as_of:%Y-%m-%d %H:%M} UTC")
    began = before.as_of if before and continuing else as_of
    if began is None:
        raise transport.rejected(_OPERATION, "a query without a page")
    after = (read_time(rows[-1]["SystemModstamp"]), str(rows[-1]["Id"])) if more else None
    absences = [(row, reader.gone(row)) for row in rows]
    records = reader.records((row for row, absence in absences if absence is None), fields)
    gone = [absence for _, absence in absences if absence is not None]
    next_cursor = _Cursor(began, since, after, covered, asked_at)
    return ChangePage(
        tuple(records.values()), tuple(gone), next_cursor.text(schema.name), more, began
    )


def _page(
    transport: Transport, columns: list[str], object_name: str, where: str
) -> tuple[list[Mapping[str, Any]], datetime | None, bool]:
    """Read one page, as large as Salesforce manages; also its clock, and whether more may follow."""
    answers: list[Answer] = []

    def ask(size: int) -> list[Mapping[str, Any]]:
        tail = f"ORDER BY SystemModstamp, Id LIMIT {size}"
        soql = select(columns, object_name, where, tail)
        answers[:] = transport.query(soql, operation=_OPERATION, deleted=True)
        return [row for answer in answers for row in answer.data["records"]]

    rows, size = shrinking(PAGE_ROWS, PAGE_ROWS_MIN, ask)
    return rows, answers[0].as_of if answers else None, len(rows) >= size


def _coverage(
    transport: Transport, schema: SalesforceSchema, before: _Cursor | None, *, continuing: bool
) -> tuple[datetime | None, datetime | None]:
    """Ask until when every commit is known, at the beginning of a sweep and not too often.

    None where Salesforce does not tell for this object; the overlap is then all there is.
    """
    now = transport.clock()
    known = (before.covered, before.asked_at) if before else (None, None)
    if continuing or (known[1] is not None and now - known[1] < COVERAGE_ASKED_EVERY):
        return known
    span = {"start": write_time(now - OVERLAP), "end": write_time(now)}
    path = f"sobjects/{schema.name}/updated"
    try:
        answer = transport.read(path, operation=_OPERATION, params=span)
        return read_time(answer.data["latestDateCovered"]), now
    except (CallRejected, NotPermitted, KeyError, TypeError, ValueError):
        return None, now


def _where(since: datetime | None, after: tuple[datetime, str] | None) -> str:
    if after is not None:
        stamp, record_id = write_time(after[0]), after[1]
        return f"SystemModstamp > {stamp} OR (SystemModstamp = {stamp} AND Id > '{record_id}')"
    return f"SystemModstamp >= {write_time(floor_second(since))}" if since else ""


def _read_cursor(cursor: str | None, object_name: str, connection: str) -> _Cursor | None:
    if cursor is None:
        return None
    try:
        raw = json.loads(cursor)
        after = raw["after"]
        if raw["object"] != object_name or (after and not is_id(after[1])):
            raise ValueError("made for something else")
        return _Cursor(
            read_time(raw["as_of"]),
            read_time(raw["since"]) if raw["since"] else None,
            (read_time(after[0]), after[1]) if after else None,
            read_time(raw["covered"]) if raw.get("covered") else None,
            read_time(raw["asked_at"]) if raw.get("asked_at") else None,
        )
    except (ValueError, KeyError, TypeError, IndexError) as wrong:
        raise _expired(connection, object_name, "is not one of ours") from wrong


def _expired(connection: str, object_name: str, why: str) -> FeedExpired:
    return FeedExpired(
        f"{connection}: the change cursor of {object_name} {why}.",
        connection=connection,
        operation=_OPERATION,
        hint="Read the object again from the beginning.",
    )
