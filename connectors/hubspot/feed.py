"""What changed in HubSpot: everything once by listing, then by search, and the recycle bin.

The first time round an object is listed: that needs no index, does not count as a search, and
brings the associations along. Afterwards a search by modified date finds what changed; it walks by record
id, so that neither its reach of 10,000 records nor any number of records of one moment stands in
its way, and it goes back by the lag of the index every time. Archived records are in no search;
their listing is read from time to time. Sources: HubSpot developer documentation, "Using object
APIs", "Search the CRM"; HubSpot Knowledge Base, "Merge records".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from connectors.errors import FeedExpired
from connectors.hubspot import queries, wire
from connectors.hubspot.gateway import Answer, Gateway
from connectors.hubspot.links import is_link, links_of
from connectors.hubspot.reading import INDEX_LAG, Reader
from connectors.port import Absence, ChangePage, Gone, RemoteRecord
from registration_core.contracts import ObjectSchema

#: Records on one page of a listing.
PAGE_SIZE = 100
#: How often the recycle bin is looked through: it is listed whole every time.
BIN_EVERY = timedelta(minutes=15)
#: Old ids of a record that came out of merges, joined by semicolons.
MERGED_IDS = "hs_merged_object_ids"
#: The worst lag of the index that is believed; more is an outage of its own.
LAG_MAX = timedelta(minutes=30)

#: What HubSpot's clock is cut to, in milliseconds.
_CUT_MILLIS = 1_000
_MODIFIED = {"contacts": "lastmodifieddate"}
#: Characters of property names that fit in a URL; more are read by id (status 414 otherwise).
_NAMES_LENGTH_MAX = 4_000


@dataclass(frozen=True)
class _Cursor:
    """Where a feed stands. Moments are milliseconds since 1970 of HubSpot's clock."""

    #: `all` lists everything, `since` searches, `bin` lists what was archived.
    phase: str = "all"
    #: Everything up to here has been handed out; 0 at the beginning.
    since: int = 0
    #: Page within the phase: a record id, or what the listing gave.
    after: str = ""
    #: When the first page of this round was asked for; 0 between rounds.
    asked: int = 0
    #: Records archived up to here have been handed out.
    binned: int = 0
    #: Worst lag of the index seen so far.
    lag: int = 0

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
        return json.dumps(asdict(self))


class Feed:
    """The change feeds of one account; keeps nothing between pages but what the cursor says."""

    def __init__(
        self,
        gateway: Gateway,
        reader: Reader,
        connection: str,
        clock: Callable[[], datetime],
        schema: Callable[[str, Iterable[str]], ObjectSchema],
    ) -> None:
        self._gateway = gateway
        self._reader = reader
        self._connection = connection
        self._clock = clock
        self._schema = schema

    def changes(self, object_name: str, fields: Sequence[str], cursor: str | None) -> ChangePage:
        """Hand out a page of what changed, in the order of ids within a round."""
        schema = self._schema(object_name, fields)
        at = _Cursor.parse(cursor, self._connection)
        if at.phase == "all":
            return self._everything(schema, fields, at)
        if at.phase == "bin":
            return self._bin(schema, at)
        return self._since(schema, fields, at)

    def _everything(self, schema: ObjectSchema, fields: Sequence[str], at: _Cursor) -> ChangePage:
        names = [*[name for name in fields if not is_link(name)], MERGED_IDS]
        inline = sum(map(len, names)) <= _NAMES_LENGTH_MAX
        answer = self._listing(
            schema.name,
            at.after,
            properties=names if inline else ["hs_object_id"],
            associations=[links_of(schema.name)[f].far for f in _listed(schema, fields)],
        )
        asked = at.asked or self._told(answer)
        rows: Sequence[Mapping[str, Any]] = answer.body["results"]
        if inline:
            along = _listed(schema, fields)
            linked = {f: self._inline(schema, f, rows) for f in along}
        else:
            rows = self._reader.batch(schema.name, [str(row["id"]) for row in rows], names)
            linked = {}
        records = self._reader.typed(schema, rows, fields, linked)
        found = [records[str(row["id"])] for row in rows]
        after = _next(answer)
        as_of = asked - lag_millis(0)
        then = _Cursor("all", 0, after, asked) if after else _Cursor("since", as_of, binned=asked)
        return self._page(found, self._retired(schema, rows), then, as_of, more=bool(after))

    def _inline(
        self, schema: ObjectSchema, field: str, rows: Iterable[Mapping[str, Any]]
    ) -> dict[str, str]:
        read = self._reader.associations.inline
        found = {str(row["id"]): read(schema.name, field, row) for row in rows}
        return {record_id: far for record_id, far in found.items() if far}

    def _since(self, schema: ObjectSchema, fields: Sequence[str], at: _Cursor) -> ChangePage:
        """Search; what changed since the first page was asked for comes again with the next round."""
        modified = _MODIFIED.get(schema.name, "hs_lastmodifieddate")
        window = [queries.modified_since(modified, at.since)]
        if at.asked:  # closed by what was asked first: records that move on do not lengthen it
            window.append(queries.modified_before(modified, at.asked + _CUT_MILLIS))
        body = queries.body(
            window,
            at.after,
            properties=("hs_object_id", modified),
        )
        answer, told = self._reader.search(schema.name, body)
        ids = [str(row["id"]) for row in answer["results"]]
        asked = at.asked or wire.millis(told)
        raws = self._reader.batch(schema.name, ids, [*fields, MERGED_IDS])
        lag = self._measured(at.lag, modified, answer["results"], raws, told)
        as_of = max(asked - lag_millis(lag), at.since)
        if len(ids) == queries.PAGE_SIZE:
            then = replace(at, after=ids[-1], asked=asked, lag=lag)
        elif asked - at.binned > BIN_EVERY // timedelta(milliseconds=1):
            then = _Cursor("bin", as_of, "", asked, at.binned, lag)
        else:
            then = _Cursor("since", as_of, binned=at.binned, lag=lag)
        records = self._reader.typed(schema, raws, fields)
        found = [records[each] for each in ids if each in records]
        return self._page(found, self._retired(schema, raws), then, as_of, more=then.asked > 0)

    def _bin(self, schema: ObjectSchema, at: _Cursor) -> ChangePage:
        answer = self._listing(schema.name, at.after, archived=True)
        oldest = wire.moment(str(at.binned - lag_millis(at.lag)))
        gone = [
            Gone(str(row["id"]), Absence.DELETED)
            for row in answer.body["results"]
            if wire.moment(str(row.get("archivedAt") or row["updatedAt"])) >= oldest
        ]
        after = _next(answer)
        then = replace(at, after=after)
        if not after:
            then = _Cursor("since", at.since, binned=at.asked, lag=at.lag)
        return self._page([], gone, then, at.since, more=bool(after))

    def _page(
        self,
        records: Sequence[RemoteRecord],
        gone: Iterable[Gone],
        then: _Cursor,
        as_of: int,
        *,
        more: bool,
    ) -> ChangePage:
        return ChangePage(
            records=tuple(records),
            gone=tuple(gone),
            cursor=str(then),
            more=more,
            as_of=wire.moment(str(as_of)),
        )

    def _retired(self, schema: ObjectSchema, raws: Iterable[Mapping[str, Any]]) -> Iterator[Gone]:
        """The ids that merges made old, as their survivors tell."""
        for raw in raws:
            present = str(raw["id"])
            told = str((raw.get("properties") or {}).get(MERGED_IDS) or "")
            for old in filter(None, told.split(";")):
                if old != present:
                    self._reader.aliases.learn(schema.name, old, present)
                    yield Gone(old, Absence.MERGED, present)

    def _listing(self, object_name: str, after: str, **options: Any) -> Answer:
        operation = f"list {object_name}"
        api = self._gateway.client.crm.objects.basic_api
        wanted = {name: value for name, value in options.items() if value}
        if after:
            wanted["after"] = after
        answer = self._gateway.read(operation, api.get_page, object_name, limit=PAGE_SIZE, **wanted)
        if "results" not in answer.body:
            raise self._gateway.strange(operation)
        return answer

    def _told(self, answer: Answer) -> int:
        """When an answer was given, by HubSpot's clock, which is cut to seconds."""
        return wire.millis(answer.date or self._clock())

    def _measured(
        self,
        worst: int,
        modified: str,
        indexed: Iterable[Mapping[str, Any]],
        raws: Iterable[Mapping[str, Any]],
        told: datetime,
    ) -> int:
        """Learn the lag from records that the index holds older than they are."""
        known = {str(row["id"]): (row.get("properties") or {}).get(modified) for row in indexed}
        for raw in raws:
            stamp, changed_at = known.get(str(raw["id"])), wire.moment(str(raw["updatedAt"]))
            if stamp and wire.moment(str(stamp)) < changed_at <= told:
                worst = max(worst, (told - changed_at) // timedelta(milliseconds=1))
        worst = min(worst, LAG_MAX // timedelta(milliseconds=1))
        self._reader.lag = max(self._reader.lag, timedelta(milliseconds=lag_millis(worst)))
        return worst


def lag_millis(worst_seen: int) -> int:
    """Tell how far back the index may not know yet: a minute, or twice the worst seen."""
    return max(INDEX_LAG // timedelta(milliseconds=1), 2 * worst_seen)


def _listed(schema: ObjectSchema, fields: Iterable[str]) -> list[str]:
    """The associations among these fields that a listing brings along."""
    return [f for f in fields if is_link(f) and links_of(schema.name)[f].listed]


def _next(answer: Answer) -> str:
    return str(((answer.body.get("paging") or {}).get("next") or {}).get("after") or "")
