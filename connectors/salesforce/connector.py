"""One connection to a Salesforce org, in Salesforce's own names (`connectors/port.py`).

REST API through simple-salesforce; reads by sObject Collections and SOQL, writes by sObject
Collections, changes by `SystemModstamp`, notices by Outbound Message. Records carry no version:
Collections take no precondition, and stamps have whole seconds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from connectors.deliveries import WebhookDelivery, WebhookRequest
from connectors.errors import CallRejected, NotPermitted
from connectors.port import (
    ApiBudget,
    Capabilities,
    ChangePage,
    CheckItem,
    ConnectionSettings,
    CreateItem,
    FeedKind,
    FieldChange,
    Gone,
    ObjectNeed,
    OrgIdentity,
    Outcome,
    RemoteRecord,
    Selection,
    UpdateItem,
)
from connectors.salesforce.asking import Selecting
from connectors.salesforce.bulk import LOAD_MAX
from connectors.salesforce.checking import run_check
from connectors.salesforce.feed import read_changes
from connectors.salesforce.history import HistoryReader
from connectors.salesforce.records import RETRIEVE_MAX, RecordReader
from connectors.salesforce.schema import (
    RECORD_TYPE,
    RECORD_TYPE_ID,
    SalesforceSchema,
    is_api_name,
    read_describe,
)
from connectors.salesforce.soql import Asked, one_of, select
from connectors.salesforce.transport import Transport
from connectors.salesforce.users import active_users
from connectors.salesforce.webhook import read_delivery
from connectors.salesforce.wire import WireError, is_id, to_18
from connectors.salesforce.writing import WRITE_MAX, RecordWriter
from connectors.tokens import MemoryTokenVault, TokenVault
from registration_core.contracts import Condition, ConnectionName, FieldSchema, ObjectSchema

CAPABILITIES = Capabilities(
    vendor="salesforce",
    write_batch=WRITE_MAX,
    read_batch=RETRIEVE_MAX,
    precondition=False,
    history=True,
    feed=FeedKind.KEYSET,
    feed_tells_deletes=True,
)
#: Admins change fields while we run; what we know of them is asked again after this long.
DESCRIBE_KEPT = timedelta(minutes=15)


class SalesforceConnector:
    """Satisfies `connectors.port.CrmConnector`; thread-safe, does nothing until it is called."""

    def __init__(
        self,
        settings: ConnectionSettings,
        clock: Callable[[], datetime],
        vault: TokenVault | None = None,
    ) -> None:
        """Keep the token in `vault`; without one, in this process alone."""
        self._settings = settings
        self._clock = clock
        self._transport = Transport(settings, clock, vault or MemoryTokenVault())
        self._lock = threading.Lock()
        self._identity: OrgIdentity | None = None
        self._schemas: dict[str, tuple[datetime, SalesforceSchema]] = {}

    @property
    def name(self) -> ConnectionName:
        """Name of the connection."""
        return self._settings.name

    @property
    def capabilities(self) -> Capabilities:
        """What Salesforce can do."""
        bulk_from = self._settings.bulk_from
        if not bulk_from:
            return CAPABILITIES
        return replace(CAPABILITIES, load_from=bulk_from, load_batch=LOAD_MAX)

    def identity(self) -> OrgIdentity:
        """Say which org this is and who we are; from the token, and one query for our name."""
        if self._identity is None:
            who = self._transport.tokens.current().identity
            soql = select(["Username"], "User", f"Id = '{who.user_id}'")
            for page in self._transport.query(soql, operation="identity"):
                for row in page.data["records"]:
                    who = replace(who, user_name=str(row["Username"]))
            self._identity = who
        return self._identity

    def check(self, needs: Sequence[ObjectNeed]) -> tuple[CheckItem, ...]:
        """Prove sign-in, org, objects, fields, key, history, deletions, budget and webhook."""
        self._forget_schemas()
        return run_check(self, self._transport, self._settings, needs)

    def api_budget(self) -> ApiBudget | None:
        """Tell what the last answer's Sforce-Limit-Info said; approximate, counted by Salesforce."""
        return self._transport.budget

    def describe(self, object_name: str, *, fresh: bool = False) -> ObjectSchema:
        """Describe an object as our user sees it; kept for a quarter of an hour."""
        if fresh:
            with self._lock:
                self._schemas.pop(object_name, None)
        return self.schema(object_name).schema

    def create_fields(self, object_name: str, fields: Sequence[FieldSchema]) -> None:
        """Refuse: fields of Salesforce are made with its metadata."""
        names = ", ".join(field.name for field in fields)
        raise CallRejected(
            f"{names} of {object_name} cannot be made from here.",
            connection=str(self.name),
            operation="create fields",
            hint="Fields of Salesforce are made with its metadata: see docs/salesforce.md.",
        )

    def read(
        self, object_name: str, record_ids: Sequence[str], fields: Sequence[str]
    ) -> Mapping[str, RemoteRecord | Gone]:
        """Read records by id, with deletions and merges told apart by queryAll."""
        schema = self._schema_with(object_name, fields)
        return self._reader(schema, "read").by_id(record_ids, fields)

    def find(
        self, object_name: str, key_field: str, keys: Sequence[str], fields: Sequence[str]
    ) -> Mapping[str, RemoteRecord]:
        """Look records up by a unique field with SOQL, which sees every committed record."""
        schema = self._schema_with(object_name, [*fields, key_field])
        reader = self._reader(schema, "find")
        columns = reader.queried(fields, key_field)
        rows = list(reader.rows_in(schema.schema.fields[key_field], keys, columns))
        records = reader.records(rows, fields)
        # Salesforce compares text without case, unless the field says otherwise.
        ids = {str(row[key_field]).casefold(): to_18(str(row["Id"])) for row in rows}
        found = {key: ids.get(key.casefold(), "") for key in keys}
        return {key: records[i] for key, i in found.items() if i in records}

    def find_gone(
        self, object_name: str, key_field: str, keys: Sequence[str]
    ) -> Mapping[str, Gone]:
        """Look keys up among what was deleted or merged away, by queryAll; the bin is emptied."""
        schema = self._schema_with(object_name, [key_field])
        reader = self._reader(schema, "find_gone")
        return reader.gone_with(schema.schema.fields[key_field], keys)

    def select(
        self, object_name: str, where: Sequence[Condition], fields: Sequence[str], limit: int
    ) -> Selection:
        """Read the records that fit; `as_of` is Salesforce's clock when the first query set out."""
        schema = self._schema_with(object_name, [*fields, *(c.field for c in where)])
        reader = self._reader(schema, "select")
        asked = self._asked(schema, where, "select")
        selecting = Selecting(self._transport, schema.name, "select")
        rows = selecting.rows(reader.queried(fields), asked, limit + 1)
        if selecting.as_of is None:
            raise self._transport.rejected("select", "no query was answered")
        records = reader.records((rows[i] for i in sorted(rows)[:limit]), fields)
        return Selection(tuple(records.values()), len(rows) <= limit, selecting.as_of)

    def count(self, object_name: str, where: Sequence[Condition]) -> int:
        """Count the records that fit every condition."""
        schema = self._schema_with(object_name, [c.field for c in where])
        asked = self._asked(schema, where, "count")
        return Selecting(self._transport, schema.name, "count").count(asked)

    def users(self, addresses: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Look active users up by e-mail address."""
        return active_users(self._transport, addresses)

    def changes(self, object_name: str, fields: Sequence[str], cursor: str | None) -> ChangePage:
        """Hand out one page of a sweep; the last ten minutes come again with the next sweep."""
        schema = self._schema_with(object_name, fields)
        us = self._user_id()
        return read_changes(self._transport, schema, us, tuple(fields), cursor, self.name)

    def create(
        self, object_name: str, key_field: str, items: Sequence[CreateItem]
    ) -> tuple[Outcome, ...]:
        """Insert records in one call; the unique key field refuses what is there already."""
        names = {name for item in items for name in item.fields}
        schema = self._schema_with(object_name, [*names, key_field])
        self._refuse_oversize(items, "create")
        return RecordWriter(self._transport, schema, self.name).create(key_field, items)

    def update(self, object_name: str, items: Sequence[UpdateItem]) -> tuple[Outcome, ...]:
        """Patch records by id in one call; a new StageName is all it takes to close or reopen."""
        names = {name for item in items for name in item.fields}
        schema = self._schema_with(object_name, sorted(names))
        self._refuse_oversize(items, "update")
        writer = RecordWriter(self._transport, schema, self.name)
        return writer.update(self._reader(schema, "update"), items)

    def record_url(self, object_name: str, record_id: str) -> str:
        # Salesforce, "pageReference Types": standard__recordPage has this URL format.
        return f"{self._settings.base_url.rstrip('/')}/lightning/r/{object_name}/{record_id}/view"

    def history(
        self, object_name: str, record_ids: Sequence[str], fields: Sequence[str], since: datetime
    ) -> tuple[FieldChange, ...]:
        """Read past changes from OpportunityHistory and the object's field history."""
        schema = self._schema_with(object_name, fields)
        ids = sorted({to_18(record_id) for record_id in record_ids if is_id(record_id)})
        reader = HistoryReader(self._transport, schema, self._user_id())
        return reader.changes(ids, fields, since) if ids else ()

    def webhook(self, request: WebhookRequest) -> WebhookDelivery:
        """Verify an Outbound Message by the secret in its URL, and read which records it names."""
        return read_delivery(request, self._settings.webhook)

    def schema(self, object_name: str) -> SalesforceSchema:
        """Describe an object, with what this connector alone needs to know of it."""
        now = self._clock()
        with self._lock:
            known = self._schemas.get(object_name)
        if known is not None and now - known[0] < DESCRIBE_KEPT:
            return known[1]
        if not is_api_name(object_name):
            raise self._transport.rejected("describe", f"{object_name!r} is no object name")
        answer = self._transport.read(
            f"sobjects/{object_name}/describe", operation=f"describe {object_name}"
        )
        schema = read_describe(answer.data, self._tracked_fields(object_name))
        with self._lock:
            self._schemas[object_name] = (now, schema)
        return schema

    def _tracked_fields(self, object_name: str) -> set[str] | None:
        """Name the fields with history tracking on; None where our user may not look."""
        soql = select(
            ["QualifiedApiName", "IsFieldHistoryTracked"],
            "FieldDefinition",
            f"EntityDefinition.QualifiedApiName = '{object_name}'",
        )
        try:
            pages = list(self._transport.query(soql, operation=f"describe {object_name}"))
        except (CallRejected, NotPermitted):
            return None
        rows = (row for page in pages for row in page.data["records"])
        return {str(row["QualifiedApiName"]) for row in rows if row["IsFieldHistoryTracked"]}

    def _schema_with(self, object_name: str, fields: Sequence[str]) -> SalesforceSchema:
        """Give the schema once it has these fields; asks again before it says that one is missing."""
        schema = self.schema(object_name)
        if all(schema.has(name) for name in fields):
            return schema
        self._forget_schemas()
        schema = self.schema(object_name)
        missing = sorted(name for name in fields if not schema.has(name))
        if missing:
            raise self._transport.rejected(
                f"use of {object_name}",
                f"no such field for our user: {', '.join(missing)}",
                hint="Create it, or grant it to the integration user; then run the check again.",
            )
        return schema

    def _forget_schemas(self) -> None:
        with self._lock:
            self._schemas.clear()

    def _user_id(self) -> str:
        return self._transport.tokens.current().identity.user_id

    def _reader(self, schema: SalesforceSchema, operation: str) -> RecordReader:
        us = self._user_id()
        return RecordReader(self._transport, schema, us, f"{operation} {schema.name}")

    def _asked(
        self, schema: SalesforceSchema, where: Sequence[Condition], operation: str
    ) -> list[Asked]:
        """Give conditions with the fields they are about, once every value of them can be asked."""
        try:
            where = [self._by_column(schema, condition) for condition in where]
            asked = [(schema.schema.fields[c.field], c.values) for c in where]
            for field, values in asked:
                one_of(field, values)
        except WireError as wrong:
            raise self._transport.rejected(operation, f"a condition on {wrong}") from wrong
        return asked

    def _by_column(self, schema: SalesforceSchema, condition: Condition) -> Condition:
        """Word a condition on the record type as one on its id."""
        if condition.field != RECORD_TYPE:
            return condition
        names = condition.values
        ids = [schema.record_type_id(name) if isinstance(name, str) else None for name in names]
        return Condition(RECORD_TYPE_ID, tuple(ids))

    def _refuse_oversize(self, items: Sequence[object], operation: str) -> None:
        most = self.capabilities.load_batch or WRITE_MAX
        if len(items) > most:
            what = f"{len(items)} records in one call; Salesforce takes {most}"
            raise self._transport.rejected(operation, what)
