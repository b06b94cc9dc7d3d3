"""Reading from HubSpot: by id, by unique property, by condition, and the past.

Search only finds ids: its index lags and knows no associations. What a record holds is always
read by id, which is up to date. Sources: HubSpot developer documentation, "Using object APIs",
"Search the CRM"; HubSpot Knowledge Base, "Merge records".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from connectors.hubspot import queries, wire
from connectors.hubspot.aliases import Aliases
from connectors.hubspot.associations import Associations
from connectors.hubspot.errors import RecordMissing
from connectors.hubspot.gateway import SEARCH, Gateway
from connectors.hubspot.links import is_link, links_of
from connectors.hubspot.queries import Filter
from connectors.port import Absence, FieldChange, Gone, RemoteRecord, Selection
from registration_core.contracts import Condition, ObjectSchema, Value

#: Ids in one batch read, and in one that asks for history.
BATCH, HISTORY_BATCH = 100, 50
#: Empty where an account has one currency alone ("Currencies"): its own is meant.
CURRENCY = "deal_currency_code"
#: How far a search may lag behind the records: up to some 30 s were seen, and the clock that the
#: answer tells is cut to seconds. A lag that was seen to be longer counts (`Reader.lag`).
INDEX_LAG = timedelta(seconds=60)
#: Up to how many linked records are all read; of more, the ones that fit are searched for.
LINKED_MAX = 500


class Reader:
    """All that is read from one account."""

    def __init__(
        self,
        gateway: Gateway,
        clock: Callable[[], datetime],
        schema: Callable[[str, Iterable[str]], ObjectSchema],
        currency: Callable[[], str],
        app_id: str,
    ) -> None:
        self.associations = Associations(gateway)
        #: What merged ids became.
        self.aliases = Aliases()
        self._gateway = gateway
        self._clock = clock
        #: Describes an object and vouches for these fields.
        self._schema = schema
        #: The account's own currency, which a deal without one is in.
        self._currency = currency
        self._app_id = app_id
        #: How old a change may be that a search does not find yet: what is promised here and
        #: twice the worst that was seen on this connection.
        self.lag = INDEX_LAG

    def read(
        self, object_name: str, record_ids: Sequence[str], fields: Sequence[str]
    ) -> dict[str, RemoteRecord | Gone]:
        """Read by id; a merged id, which a batch drops without a word, is asked for alone."""
        schema = self._schema(object_name, fields)
        asked = list(dict.fromkeys(record_ids))
        merged = {
            each: Gone(each, Absence.MERGED, present)
            for each in asked
            if (present := self.aliases.present(object_name, each)) != each
        }
        ids = [each for each in asked if each.isdigit() and each not in merged]
        raws = {str(raw["id"]): raw for raw in self.batch(object_name, ids, fields)}
        missing = [each for each in asked if each not in raws and each not in merged]
        found: dict[str, RemoteRecord | Gone] = dict(self.typed(schema, raws.values(), fields))
        found.update(merged)
        for each, (far, far_id) in self.associations.became(object_name, list(raws)).items():
            found[each] = Gone(each, Absence.CONVERTED, far_id, far)
        return found | self._gone(schema, missing, fields)

    def find(
        self, object_name: str, key_field: str, keys: Sequence[str], fields: Sequence[str]
    ) -> dict[str, RemoteRecord]:
        """Look up by a unique property, past the search index and so up to date."""
        schema = self._schema(object_name, [*fields, key_field])
        wanted = list(dict.fromkeys(key for key in keys if key))
        raws = self.batch(object_name, wanted, [*fields, key_field], id_property=key_field)
        typed = self.typed(schema, raws, [*fields, key_field])
        by_key = {str(record.fields[key_field]): record for record in typed.values()}
        return {key: by_key[key] for key in wanted if key in by_key}

    def select(
        self, object_name: str, where: Sequence[Condition], fields: Sequence[str], limit: int
    ) -> Selection:
        """Read what fits every condition; as of a minute ago, because the index lags.

        What is asked for by its far records is read from those, past the index and in fewer calls.
        """
        named = [condition.field for condition in where]
        schema = self._schema(object_name, [*fields, *named])
        by_link = [c for c in where if is_link(c.field)]
        for each in by_link:
            if links_of(object_name)[each.field].inverse and None not in each.values:
                near = self.associations.near(object_name, each.field, list(map(str, each.values)))
                if len(near) <= LINKED_MAX:
                    return self._among(schema, {each.field: near}, where, fields, limit)
        found: set[str] = set()
        cut = False
        as_of: datetime | None = None
        for filters in self._filter_sets(schema, where):
            seen = 0
            for ids, at in self._pages(object_name, filters):
                as_of = min(as_of or at, at)
                found |= set(ids)
                seen += len(ids)
                # A search finds any associated record and we mean the primary one: see them all.
                if seen > limit and not by_link:
                    cut = True
                    break
        records: list[RemoteRecord] = []
        asked = [*fields, *(c.field for c in by_link)]
        for chunk in _chunks(sorted(found, key=int), BATCH):
            typed = self.typed(schema, self.batch(object_name, chunk, asked), asked)
            records += [
                typed[each]
                for each in chunk
                if each in typed and all(typed[each].fields[c.field] in c.values for c in by_link)
            ]
            if len(records) > limit:
                break
        return Selection(
            records=tuple(records[:limit]),
            complete=not cut and len(records) <= limit,
            as_of=as_of or self._clock() - self.lag,
        )

    def _among(
        self,
        schema: ObjectSchema,
        linked: Mapping[str, Mapping[str, str]],
        where: Sequence[Condition],
        fields: Sequence[str],
        limit: int,
    ) -> Selection:
        """Read the records whose links are known already, and choose the ones that fit."""
        as_of = self._clock() - self.lag  # the moment itself, but by a clock that may go wrong
        ids = sorted({near for links in linked.values() for near in links}, key=int)
        asked = list(dict.fromkeys([*fields, *(condition.field for condition in where)]))
        typed = self.typed(schema, self.batch(schema.name, ids, asked), asked, linked)
        records = [typed[each] for each in ids if each in typed and _fits(typed[each], where)]
        return Selection(tuple(records[:limit]), complete=len(records) <= limit, as_of=as_of)

    def count(self, object_name: str, where: Sequence[Condition]) -> int:
        """Count what fits every condition, as the index knows it."""
        schema = self._schema(object_name, [condition.field for condition in where])
        if any(is_link(condition.field) for condition in where):
            return len(self.select(object_name, where, (), 1_000_000).records)
        total = 0
        for filters in self._filter_sets(schema, where):
            answer, _ = self.search(object_name, queries.body(filters, "", limit=1))
            total += int(answer["total"])
        return total

    def synced_since(self, object_name: str, property_name: str, since: datetime) -> int:
        """Count the records whose stamp in a property is not older."""
        filters = [queries.modified_since(property_name, wire.millis(since))]
        return int(self.search(object_name, queries.body(filters, "", limit=1))[0]["total"])

    def history(
        self, object_name: str, record_ids: Sequence[str], fields: Sequence[str], since: datetime
    ) -> tuple[FieldChange, ...]:
        """Read the past values of properties; associations have no past.

        The past of a merged record went into that of its survivor, and is told by the id asked for.
        """
        schema = self._schema(object_name, fields)
        names = [name for name in fields if not is_link(name)]
        asked = dict.fromkeys(i for i in record_ids if i.isdigit()) if names else ()
        ids = {each: self.aliases.present(object_name, each) for each in asked}
        present = list(dict.fromkeys(ids.values()))
        raws = {
            str(raw["id"]): raw for raw in self.batch(object_name, present, ["hs_object_id"], names)
        }
        changes: list[FieldChange] = []
        for each, now in ids.items():
            # A batch drops what was merged since: it is asked for alone.
            raw = raws.get(now) or self._alone(object_name, now, histories=names) or {}
            for name, entries in (raw.get("propertiesWithHistory") or {}).items():
                try:
                    changes += self._past(schema, each, name, entries)
                except (KeyError, ValueError) as error:
                    raise self._gateway.strange(f"history {object_name}") from error
        kept = [change for change in changes if change.changed_at >= since]
        return tuple(sorted(kept, key=lambda change: change.changed_at))

    # --- within

    def batch(
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
                "properties": [name for name in fields if not is_link(name)],
                "propertiesWithHistory": list(histories),
                "inputs": [{"id": each} for each in chunk],
            }
            body |= {"idProperty": id_property} if id_property else {}
            answer = self._gateway.read(f"read {object_name}", api.read, object_name, body)
            if "results" not in answer.body:
                raise self._gateway.strange(f"read {object_name}")
            rows += answer.body["results"]
        return rows

    def typed(
        self,
        schema: ObjectSchema,
        raws: Iterable[Mapping[str, Any]],
        fields: Sequence[str],
        linked: Mapping[str, Mapping[str, str]] | None = None,
    ) -> dict[str, RemoteRecord]:
        """Type raw records; associations that are not in `linked` are read, a call for each."""
        rows = list(raws)
        ids = [str(raw["id"]) for raw in rows]
        known = dict(linked or {})
        for field in filter(is_link, fields):
            if field not in known:
                known[field] = self.associations.read(schema.name, field, ids)
        default = {CURRENCY: self._currency()} if CURRENCY in fields else {}
        try:
            typed = [
                wire.record(
                    schema, raw, fields, {f: far.get(each) for f, far in known.items()}, default
                )
                for each, raw in zip(ids, rows, strict=True)
            ]
        except (KeyError, ValueError) as error:
            raise self._gateway.strange(f"read {schema.name}") from error
        return {record.record_id: record for record in typed}

    def _gone(
        self, schema: ObjectSchema, ids: Sequence[str], fields: Sequence[str]
    ) -> dict[str, RemoteRecord | Gone]:
        """Tell why these ids were not in a batch: merged, archived, or not known."""
        names = [name for name in fields if not is_link(name)]
        found: dict[str, RemoteRecord | Gone] = {}
        for each in ids:
            found[each] = Gone(each, Absence.NOT_FOUND)
            if not each.isdigit():
                continue
            for archived in (False, True):
                raw = self._alone(schema.name, each, names, archived=archived)
                if raw is None:
                    continue
                if str(raw["id"]) != each:
                    found[each] = Gone(each, Absence.MERGED, str(raw["id"]))
                elif archived:
                    found[each] = Gone(each, Absence.DELETED)
                else:
                    found[each] = self.typed(schema, [raw], fields)[each]
                break
        return found

    def _alone(
        self,
        object_name: str,
        record_id: str,
        names: Sequence[str] = (),
        *,
        histories: Sequence[str] = (),
        archived: bool = False,
    ) -> Mapping[str, Any] | None:
        """Read one record, under whatever id it goes by now; None if there is none."""
        api = self._gateway.client.crm.objects.basic_api
        try:
            raw = self._gateway.read(
                f"read {object_name}",
                api.get_by_id,
                object_name,
                record_id,
                properties=names,
                properties_with_history=histories,
                archived=archived,
            ).body
        except RecordMissing:
            return None
        if not raw.get("id"):
            raise self._gateway.strange(f"read {object_name}")
        self.aliases.learn(object_name, record_id, str(raw["id"]))
        return raw

    def _filter_sets(
        self, schema: ObjectSchema, where: Sequence[Condition]
    ) -> Iterator[list[Filter]]:
        try:
            yield from queries.filter_sets(schema, where)
        except queries.NotSearchable as error:
            raise self._gateway.refused(
                f"select {schema.name}",
                f"HubSpot cannot be asked this: {error}.",
                hint="Ask with fewer conditions, or by a property.",
            ) from None

    def _pages(
        self, object_name: str, filters: Sequence[Filter]
    ) -> Iterator[tuple[list[str], datetime]]:
        """Hand out the ids of every page, and what each page is certain up to."""
        after, more = "", True
        while more:
            answer, told = self.search(object_name, queries.body(filters, after))
            ids = [str(row["id"]) for row in answer["results"]]
            yield ids, told - self.lag
            more = len(ids) == queries.PAGE_SIZE
            after = ids[-1] if ids else ""

    def search(
        self, object_name: str, body: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], datetime]:
        operation = f"{SEARCH}{object_name}"
        api = self._gateway.client.crm.objects.search_api
        answer = self._gateway.read(operation, api.do_search, object_name, dict(body))
        if "results" not in answer.body:
            raise self._gateway.strange(operation)
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


def _fits(record: RemoteRecord, where: Sequence[Condition]) -> bool:
    """Compare as a search does: text without case."""

    def folded(value: Value) -> Value:
        return value.casefold() if isinstance(value, str) else value

    return all(folded(record.fields[c.field]) in map(folded, c.values) for c in where)


def _chunks(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
