"""Reading from HubSpot: by id, by unique property, by condition, by change, and the past.

Search only finds ids: its index lags and knows no associations. What a record holds is always
read by id, which is up to date. Sources: HubSpot developer documentation, "Using object APIs",
"Search the CRM", "Associations v4"; HubSpot Knowledge Base, "Merge records".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from connectors.errors import CallRejected, CrmUnavailable, FeedExpired
from connectors.hubspot import queries, wire
from connectors.hubspot.errors import RecordMissing
from connectors.hubspot.gateway import Gateway
from connectors.hubspot.queries import Filter
from connectors.port import Absence, ChangePage, FieldChange, Gone, RemoteRecord, Selection
from registration_core.contracts import Condition, ObjectSchema

#: Ids in one batch read, and in one that asks for history.
BATCH, HISTORY_BATCH = 100, 50
#: How far a search may lag behind the records: up to some 30 s were seen, and the clock that the
#: answer tells is cut to seconds. What changed more recently is handed out again by the next poll.
INDEX_LAG = timedelta(seconds=60)
#: Old ids of a record that came out of merges, joined by semicolons.
MERGED_IDS = "hs_merged_object_ids"
PRIMARY_TYPE = 5

_MODIFIED = {"contacts": "lastmodifieddate"}


@dataclass(frozen=True)
class _Cursor:
    """Where a feed stands: from when (ms, None = everything), after which id, asked when (ms)."""

    since: int | None = None
    after: str = ""
    asked: int | None = None

    @classmethod
    def parse(cls, text: str | None, connection: str) -> _Cursor:
        if text is None:
            return cls()
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError):
            raise FeedExpired(
                f"The change cursor of {connection} is not readable.",
                connection=connection,
                operation="changes",
                hint="Read everything again.",
            ) from None

    def __str__(self) -> str:
        return json.dumps(vars(self))


class Reader:
    """All that is read from one account."""

    def __init__(
        self,
        gateway: Gateway,
        connection: str,
        clock: Callable[[], datetime],
        schema: Callable[[str, Iterable[str]], ObjectSchema],
        app_id: str,
    ) -> None:
        self._gateway = gateway
        self._connection = connection
        self._clock = clock
        #: Describes an object and vouches for these fields.
        self._schema = schema
        self._app_id = app_id

    def read(
        self, object_name: str, record_ids: Sequence[str], fields: Sequence[str]
    ) -> dict[str, RemoteRecord | Gone]:
        """Read by id; a merged id, which a batch drops without a word, is asked for alone."""
        schema = self._schema(object_name, fields)
        asked = list(dict.fromkeys(record_ids))
        raws = {
            str(raw["id"]): raw
            for raw in self._batch(object_name, [i for i in asked if i.isdigit()], fields)
        }
        missing = [record_id for record_id in asked if record_id not in raws]
        found: dict[str, RemoteRecord | Gone] = dict(self._typed(schema, raws.values(), fields))
        return found | self._gone(schema, missing, fields)

    def find(
        self, object_name: str, key_field: str, keys: Sequence[str], fields: Sequence[str]
    ) -> dict[str, RemoteRecord]:
        """Look up by a unique property, past the search index and so up to date."""
        schema = self._schema(object_name, [*fields, key_field])
        wanted = list(dict.fromkeys(key for key in keys if key))
        raws = self._batch(object_name, wanted, [*fields, key_field], id_property=key_field)
        typed = self._typed(schema, raws, [*fields, key_field])
        by_key = {str(record.fields[key_field]): record for record in typed.values()}
        return {key: by_key[key] for key in wanted if key in by_key}

    def select(
        self, object_name: str, where: Sequence[Condition], fields: Sequence[str], limit: int
    ) -> Selection:
        """Read what fits every condition; as of a minute ago, because the index lags."""
        named = [condition.field for condition in where]
        schema = self._schema(object_name, [*fields, *named])
        by_company = [c for c in where if c.field == wire.COMPANY_FIELD]
        found: set[str] = set()
        cut = False
        as_of: datetime | None = None
        for filters in self._filter_sets(schema, where):
            seen = 0
            for ids, at in self._pages(object_name, filters):
                as_of = min(as_of or at, at)
                found |= set(ids)
                seen += len(ids)
                # A search finds any associated company and we mean the primary one: see them all.
                if seen > limit and not by_company:
                    cut = True
                    break
        records: list[RemoteRecord] = []
        asked = [*fields, *(c.field for c in by_company)]
        for chunk in _chunks(sorted(found, key=int), BATCH):
            typed = self._typed(schema, self._batch(object_name, chunk, asked), asked)
            records += [
                typed[each]
                for each in chunk
                if each in typed
                and all(typed[each].fields[c.field] in c.values for c in by_company)
            ]
            if len(records) > limit:
                break
        return Selection(
            records=tuple(records[:limit]),
            complete=not cut and len(records) <= limit,
            as_of=as_of or self._clock() - INDEX_LAG,
        )

    def count(self, object_name: str, where: Sequence[Condition]) -> int:
        """Count what fits every condition, as the index knows it."""
        schema = self._schema(object_name, [condition.field for condition in where])
        if any(condition.field == wire.COMPANY_FIELD for condition in where):
            return len(self.select(object_name, where, (), 1_000_000).records)
        total = 0
        for filters in self._filter_sets(schema, where):
            answer, _ = self._search(object_name, queries.body(filters, "", limit=1))
            total += int(answer["total"])
        return total

    def changes(self, object_name: str, fields: Sequence[str], cursor: str | None) -> ChangePage:
        """Hand out a page of what changed, in the order of ids, and the ids that merges retired.

        The keyset by id ends whatever changes meanwhile; what changed since the first page was
        asked for comes again with the next poll.
        """
        schema = self._schema(object_name, fields)
        at = _Cursor.parse(cursor, self._connection)
        modified = _MODIFIED.get(object_name, "hs_lastmodifieddate")
        filters = [] if at.since is None else [queries.modified_since(modified, at.since)]
        answer, told = self._search(object_name, queries.body(filters, at.after))
        ids = [str(row["id"]) for row in answer["results"]]
        asked = wire.millis(told) if at.asked is None else at.asked
        as_of = wire.moment(str(asked)) - INDEX_LAG
        if len(ids) == queries.PAGE_SIZE:
            then = _Cursor(at.since, ids[-1], asked)
        else:
            then = _Cursor(wire.millis(as_of))
        raws = self._batch(object_name, ids, [*fields, MERGED_IDS])
        retired = [
            Gone(old, Absence.MERGED, str(raw["id"]))
            for raw in raws
            for old in str((raw.get("properties") or {}).get(MERGED_IDS) or "").split(";")
            if old and old != str(raw["id"])
        ]
        records = self._typed(schema, raws, fields)
        return ChangePage(
            records=tuple(records[each] for each in ids if each in records),
            gone=tuple(retired),
            cursor=str(then),
            more=bool(then.after),
            as_of=as_of,
        )

    def history(
        self, object_name: str, record_ids: Sequence[str], fields: Sequence[str], since: datetime
    ) -> tuple[FieldChange, ...]:
        """Read the past values of properties; associations have no past."""
        schema = self._schema(object_name, fields)
        names = [name for name in fields if name != wire.COMPANY_FIELD]
        ids = list(dict.fromkeys(i for i in record_ids if i.isdigit()))
        changes: list[FieldChange] = []
        for raw in self._batch(object_name, ids if names else [], ["hs_object_id"], names):
            for name, entries in (raw.get("propertiesWithHistory") or {}).items():
                try:
                    changes += self._past(schema, str(raw["id"]), name, entries)
                except (KeyError, ValueError) as error:
                    raise self._strange(f"history {object_name}") from error
        kept = [change for change in changes if change.changed_at >= since]
        return tuple(sorted(kept, key=lambda change: change.changed_at))

    def companies(self, deal_ids: Sequence[str]) -> dict[str, str]:
        """Read the primary company of each deal; an only company counts as primary."""
        found: dict[str, list[tuple[str, set[int]]]] = {}
        pending: list[dict[str, str]] = [{"id": deal_id} for deal_id in deal_ids]
        api = self._gateway.client.crm.associations.v4.batch_api
        while pending:
            inputs, pending = pending[:BATCH], pending[BATCH:]
            answer = self._gateway.read(
                "read associations", api.get_page, wire.DEALS, wire.COMPANIES, {"inputs": inputs}
            )
            for row in answer.body.get("results") or ():
                deal_id = str(row["from"]["id"])
                for far in row.get("to") or ():
                    types = {int(each["typeId"]) for each in far.get("associationTypes") or ()}
                    found.setdefault(deal_id, []).append((str(far["toObjectId"]), types))
                after = ((row.get("paging") or {}).get("next") or {}).get("after")
                if after:
                    pending.append({"id": deal_id, "after": str(after)})
        primary = {}
        for deal_id, links in found.items():
            chosen = [company for company, types in links if PRIMARY_TYPE in types]
            if chosen or len(links) == 1:
                primary[deal_id] = (chosen or [links[0][0]])[0]
        return primary

    # --- within

    def _batch(
        self,
        object_name: str,
        ids: Sequence[str],
        fields: Iterable[str],
        histories: Sequence[str] = (),
        id_property: str = "",
    ) -> list[Mapping[str, Any]]:
        """Read raw records by id or unique property; those that are not there are left out."""
        api = self._gateway.client.crm.objects.batch_api
        size = HISTORY_BATCH if histories else BATCH
        rows: list[Mapping[str, Any]] = []
        for chunk in _chunks(ids, size):
            body = {
                "properties": [name for name in fields if name != wire.COMPANY_FIELD],
                "propertiesWithHistory": list(histories),
                "inputs": [{"id": each} for each in chunk],
            }
            body |= {"idProperty": id_property} if id_property else {}
            answer = self._gateway.read(f"read {object_name}", api.read, object_name, body)
            if "results" not in answer.body:
                raise self._strange(f"read {object_name}")
            rows += answer.body["results"]
        return rows

    def _typed(
        self, schema: ObjectSchema, raws: Iterable[Mapping[str, Any]], fields: Sequence[str]
    ) -> dict[str, RemoteRecord]:
        rows = list(raws)
        companies: Mapping[str, str] = {}
        if wire.COMPANY_FIELD in fields:
            companies = self.companies([str(raw["id"]) for raw in rows])
        try:
            typed = [wire.record(schema, r, fields, companies.get(str(r["id"]))) for r in rows]
        except (KeyError, ValueError) as error:
            raise self._strange(f"read {schema.name}") from error
        return {record.record_id: record for record in typed}

    def _gone(
        self, schema: ObjectSchema, ids: Sequence[str], fields: Sequence[str]
    ) -> dict[str, RemoteRecord | Gone]:
        """Tell why these ids were not in a batch: merged, archived, or not known."""
        api = self._gateway.client.crm.objects.basic_api
        names = [name for name in fields if name != wire.COMPANY_FIELD]
        found: dict[str, RemoteRecord | Gone] = {}
        for each in ids:
            found[each] = Gone(each, Absence.NOT_FOUND)
            if not each.isdigit():
                continue
            for archived in (False, True):
                try:
                    raw = self._gateway.read(
                        f"read {schema.name}",
                        api.get_by_id,
                        schema.name,
                        each,
                        properties=names,
                        archived=archived,
                    ).body
                except RecordMissing:
                    continue
                if str(raw.get("id")) != each:
                    found[each] = Gone(each, Absence.MERGED, str(raw.get("id")))
                elif archived:
                    found[each] = Gone(each, Absence.DELETED)
                else:
                    found[each] = self._typed(schema, [raw], fields)[each]
                break
        return found

    def _filter_sets(
        self, schema: ObjectSchema, where: Sequence[Condition]
    ) -> Iterator[list[Filter]]:
        try:
            yield from queries.filter_sets(schema, where)
        except queries.NotSearchable as error:
            raise CallRejected(
                f"HubSpot cannot be asked this: {error}.",
                connection=self._connection,
                operation=f"select {schema.name}",
            ) from None

    def _pages(
        self, object_name: str, filters: Sequence[Filter]
    ) -> Iterator[tuple[list[str], datetime]]:
        """Hand out the ids of every page, and what each page is certain up to."""
        after, more = "", True
        while more:
            answer, told = self._search(object_name, queries.body(filters, after))
            ids = [str(row["id"]) for row in answer["results"]]
            yield ids, told - INDEX_LAG
            more = len(ids) == queries.PAGE_SIZE
            after = ids[-1] if ids else ""

    def _search(
        self, object_name: str, body: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], datetime]:
        operation = f"search {object_name}"
        api = self._gateway.client.crm.objects.search_api
        answer = self._gateway.read(operation, api.do_search, object_name, dict(body))
        if "results" not in answer.body:
            raise self._strange(operation)
        return answer.body, answer.date or self._clock()

    def _past(
        self, schema: ObjectSchema, record_id: str, name: str, entries: Sequence[Mapping[str, Any]]
    ) -> Iterator[FieldChange]:
        """Read one property's past, which comes newest first."""
        field = schema.fields[name]
        values = [wire.from_wire(entry.get("value"), field) for entry in entries]
        for entry, value, old in zip(entries, values, [*values[1:], None], strict=True):
            ours = entry.get("sourceType") == "INTEGRATION" and bool(self._app_id)
            yield FieldChange(
                record_id=record_id,
                field=name,
                value=value,
                changed_at=wire.moment(str(entry["timestamp"])),
                by_us=ours and str(entry.get("sourceId")) == self._app_id,
                old_value=old,
            )

    def _strange(self, operation: str) -> CrmUnavailable:
        return CrmUnavailable(
            "HubSpot's answer was not in the documented shape.",
            connection=self._connection,
            operation=operation,
        )


def _chunks(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
