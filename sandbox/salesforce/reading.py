"""Answers SOQL and retrieves records from the store, in pages with short-lived cursors."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any as AnyValue

from sandbox.records import RecordStore, Row
from sandbox.salesforce.errors import SalesforceError
from sandbox.salesforce.filtering import field_of, in_order, predicate
from sandbox.salesforce.history import derived_rows, parent_of
from sandbox.salesforce.ids import is_id, make_id, to_18
from sandbox.salesforce.objects import DERIVED
from sandbox.salesforce.schema import SalesforceField, SalesforceObject
from sandbox.salesforce.soql import All, Comparison, Expression, parse
from sandbox.salesforce.values import to_wire, wire_datetime

#: Finds an object as the API user sees it; raises the given vendor error if there is none.
Lookup = Callable[[str], SalesforceObject | None]
RecordJson = dict[str, AnyValue]

PAGE_SIZE_MIN, PAGE_SIZE_MAX = 200, 2000
OFFSET_MAX = 2000
CURSORS_MAX = 10
RETRIEVE_MAX = 2000


@dataclass(frozen=True)
class Page:
    """One page of a query's answer; `cursor` is None on the last one."""

    total: int
    records: tuple[RecordJson, ...]
    cursor: str | None


class Reader:
    """Reads one org's records. Version text (`67.0`) only words the record URLs."""

    def __init__(self, store: RecordStore, lookup: Lookup, pod: str) -> None:
        self._store = store
        self._lookup = lookup
        self._pod = pod
        self._cursors: OrderedDict[str, tuple[int, tuple[RecordJson, ...], int]] = OrderedDict()
        self._cursor_number = 0
        #: Ids of records that sharing rules keep from our user.
        self.unseen: set[str] = set()
        #: Since when a transaction has been open whose writes nobody sees yet; None for none.
        self.open_since: datetime | None = None

    def query(
        self,
        soql: str,
        *,
        deleted: bool = False,
        page_size: int = PAGE_SIZE_MAX,
        version: str = "67.0",
    ) -> Page:
        """Answer a query (`deleted` for queryAll) with its first page."""
        query = parse(soql)
        thing = self._lookup(query.object)
        if thing is None:
            raise SalesforceError(
                "INVALID_TYPE", f"sObject type '{query.object}' is not supported."
            )
        if query.offset > OFFSET_MAX:
            raise SalesforceError(
                "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000"
            )
        fields = [field_of(thing, name) for name in query.fields]
        fits = predicate(thing, query.where)
        with self._store.exclusive():
            found = [
                row for row in self._candidates(thing, query.where, deleted=deleted) if fits(row)
            ]
            if not query.count:
                found = in_order(thing, found, query.order)
            last = None if query.limit is None else query.offset + query.limit
            found = found[query.offset : last]
            if query.count:
                return Page(len(found), (), None)
            records = tuple(record_json(row, fields, version) for row in found)
        return self._page(len(records), records, max(PAGE_SIZE_MIN, min(page_size, PAGE_SIZE_MAX)))

    def more(self, cursor: str) -> Page:
        """Answer the next page; INVALID_QUERY_LOCATOR when the cursor is gone."""
        with self._store.exclusive():
            held = self._cursors.get(cursor)
        if held is None:
            raise SalesforceError("INVALID_QUERY_LOCATOR", "invalid query locator")
        return self._page(*held)

    def retrieve(
        self, thing: SalesforceObject, ids: Sequence[str], names: Iterable[str], version: str
    ) -> list[RecordJson | None]:
        """Answer records in the order of their ids, None for each that is not there."""
        if len(ids) > RETRIEVE_MAX:
            raise SalesforceError(
                "EXCEEDED_ID_LIMIT",
                "record limit reached. cannot submit more "
                f"than {RETRIEVE_MAX} records into this call",
            )
        for record_id in ids:
            if not is_id(record_id):
                raise SalesforceError("MALFORMED_ID", f"malformed id {record_id}")
        fields = [field_of(thing, name) for name in names]
        with self._store.exclusive():
            rows = [
                None
                if (key := to_18(record_id)) in self.unseen
                else self._store.get(thing.name, key)
                for record_id in ids
            ]
            return [record_json(row, fields, version) if row else None for row in rows]

    def updated(
        self, thing: SalesforceObject, start: datetime, end: datetime
    ) -> dict[str, AnyValue]:
        """Answer ids that changed within a span, by the minute (sObject Get Updated).

        `latestDateCovered` is the last instant of which every commit is known: what an open
        transaction holds back (`open_since`) is not covered.
        """
        first, last = _whole_minutes(start, end)
        now = self._store.clock()
        covered = min(last, now, self.open_since or now)
        ids = [
            row.id
            for row in self._store.rows(thing.name)
            if first <= row.modified_at < covered and row.id not in self.unseen
        ]
        return {"ids": ids, "latestDateCovered": wire_datetime(covered)}

    def deleted(
        self, thing: SalesforceObject, start: datetime, end: datetime
    ) -> dict[str, AnyValue]:
        """Answer ids that were deleted within a span, by the minute (sObject Get Deleted)."""
        first, last = _whole_minutes(start, end)
        gone = [
            {"id": row.id, "deletedDate": wire_datetime(row.deleted_at)}
            for row in self._store.rows(thing.name, deleted=True)
            if row.deleted_at is not None and first <= row.deleted_at < last
        ]
        return {
            "deletedRecords": gone,
            "earliestDateAvailable": wire_datetime(first - timedelta(days=15)),
            "latestDateCovered": wire_datetime(last),
        }

    def _candidates(
        self, thing: SalesforceObject, where: Expression | None, *, deleted: bool
    ) -> list[Row]:
        if thing.name in DERIVED:
            among = None
            if (about := parent_of(thing)) is not None:
                among = _required(where, about[1])
            return derived_rows(self._store, thing, self._pod, among)
        ids = _required(where, "Id")
        if ids is None:
            found = self._store.rows(thing.name, deleted=deleted)
        else:
            rows = (self._store.get(thing.name, i, deleted=deleted) for i in sorted(ids))
            found = [row for row in rows if row is not None]
        return [row for row in found if row.id not in self.unseen] if self.unseen else found

    def _page(self, total: int, records: tuple[RecordJson, ...], size: int) -> Page:
        now, later = records[:size], records[size:]
        if not later:
            return Page(total, now, None)
        with self._store.exclusive():
            self._cursor_number += 1
            cursor = f"{make_id('01g', self._pod, self._cursor_number)}-{size}"
            self._cursors[cursor] = (total, later, size)
            while len(self._cursors) > CURSORS_MAX:
                self._cursors.popitem(last=False)
        return Page(total, now, cursor)


def _whole_minutes(start: datetime, end: datetime) -> tuple[datetime, datetime]:
    """Seconds are ignored, and the span must be one."""
    first, last = (moment.replace(second=0, microsecond=0) for moment in (start, end))
    if first >= last:
        raise SalesforceError("INVALID_REPLICATION_DATE", "the start must be before the end")
    return first, last


def record_json(row: Row, fields: Iterable[SalesforceField], version: str) -> RecordJson:
    """Write a record as the REST API answers it."""
    url = f"/services/data/v{version}/sobjects/{row.object}/{row.id}"
    values: Mapping[str, AnyValue] = {field.name: to_wire(row, field) for field in fields}
    return {"attributes": {"type": row.object, "url": url}, **values}


def _required(where: Expression | None, field: str) -> set[str] | None:
    """Ids that a WHERE clause demands of a field, or None if it leaves it open."""
    if isinstance(where, Comparison):
        if where.field.lower() == field.lower() and where.operator in ("=", "IN"):
            return {to_18(i) for i in where.literals if isinstance(i, str) and is_id(i)}
        return None
    if isinstance(where, All):
        return next(
            (ids for part in where.parts if (ids := _required(part, field)) is not None), None
        )
    return None
