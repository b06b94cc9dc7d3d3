"""The Dynamics 365 / Dataverse connector: one environment behind `CrmConnector`.

Field names are logical names; see `tables.py` for the two exceptions. Past values are not read:
auditing may be off in an environment, and `If-Match` makes them needless.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from connectors.deliveries import WebhookDelivery, WebhookRequest
from connectors.dynamics365 import users, webhook
from connectors.dynamics365.checking import Checker
from connectors.dynamics365.currencies import Currencies
from connectors.dynamics365.feed import Feed
from connectors.dynamics365.pacing import Pace
from connectors.dynamics365.reading import Reader
from connectors.dynamics365.tables import CURRENCY, QUALIFIED_TO, Table, Tables
from connectors.dynamics365.transport import REQUESTS_ALLOWED, Transport
from connectors.dynamics365.wire import is_guid
from connectors.dynamics365.writing import Writer
from connectors.errors import CallRejected
from connectors.port import (
    Absence,
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
from connectors.tokens import MemoryTokenVault, TokenVault
from registration_core.contracts import (
    Condition,
    ConnectionName,
    Fields,
    FieldSchema,
    ObjectSchema,
)

READ_BATCH = 500


class DynamicsConnector:
    """One connection to one Dataverse environment; see `connectors.port.CrmConnector`."""

    def __init__(
        self,
        settings: ConnectionSettings,
        clock: Callable[[], datetime],
        vault: TokenVault | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._transport = Transport(settings, clock, vault or MemoryTokenVault())
        self._tables = Tables(self._transport, settings.name)
        self._currencies = Currencies(self._transport)
        self._reader = Reader(
            self._transport, self._currencies, settings.name, clock, lambda: self.identity().user_id
        )
        self._feed = Feed(self._transport, self._reader, settings.name, clock)
        self._pace = Pace()
        self._writer = Writer(self._transport, settings.name, self._pace)
        self._identity: OrgIdentity | None = None
        self._identity_lock = threading.Lock()

    @property
    def name(self) -> ConnectionName:
        """The name of the connection."""
        return self._settings.name

    @property
    def capabilities(self) -> Capabilities:
        """What Dataverse can do; how much in one call is learned from its answers."""
        return Capabilities(
            vendor="dynamics365",
            write_batch=self._pace.size,
            read_batch=READ_BATCH,
            precondition=True,
            history=False,
            feed=FeedKind.DELTA,
            feed_tells_deletes=True,
        )

    def identity(self) -> OrgIdentity:
        """Ask `WhoAmI` once."""
        with self._identity_lock:
            if self._identity is None:
                body = self._transport.get_json("WhoAmI", "identity")
                self._identity = OrgIdentity(
                    org_id=str(body["OrganizationId"]).lower(), user_id=str(body["UserId"]).lower()
                )
            return self._identity

    def check(self, needs: Sequence[ObjectNeed]) -> tuple[CheckItem, ...]:
        """Prove sign-in, privileges, columns, alternate keys, change tracking and the webhook."""
        webhook_of = self.name if self._settings.webhook.get("secret") else ""
        checker = Checker(self._transport, self._tables, self.identity, self.api_budget, webhook_of)
        return checker.run(needs)

    def api_budget(self) -> ApiBudget | None:
        """Tell what the last answer said; the count is that of one of the environment's servers."""
        remaining = self._transport.remaining
        if remaining is None:
            return None
        allowed = max(REQUESTS_ALLOWED, remaining)
        return ApiBudget(allowed - remaining, allowed, "5 minutes, per web server")

    def describe(self, object_name: str, *, fresh: bool = False) -> ObjectSchema:
        """Describe a table as our user sees it."""
        if fresh:
            self._tables.forget(object_name)
        return self._tables.table(object_name).schema

    def create_fields(self, object_name: str, fields: Sequence[FieldSchema]) -> None:
        """Refuse: an admin makes the fields of Dynamics 365, and not the application user."""
        names = ", ".join(field.name for field in fields)
        raise CallRejected(
            f"{names} of {object_name} cannot be made from here.",
            connection=str(self.name),
            operation="create fields",
            hint="An admin makes them, with one command: see docs/dynamics.md.",
        )

    def read(
        self, object_name: str, record_ids: Sequence[str], fields: Sequence[str]
    ) -> Mapping[str, RemoteRecord | Gone]:
        """Read by id. Dataverse does not tell a deleted row from one our user may not see."""
        table = self._tables.table(object_name, fields)
        found: dict[str, RemoteRecord | Gone] = {
            record_id: Gone(record_id, Absence.NOT_FOUND) for record_id in record_ids
        }
        known = [record_id for record_id in found if is_guid(record_id)]
        found.update(self._lookup(table, table.primary_id, known, fields, "read"))
        return found

    def find(
        self, object_name: str, key_field: str, keys: Sequence[str], fields: Sequence[str]
    ) -> Mapping[str, RemoteRecord]:
        """Look up by a unique column, straight from the database."""
        table = self._tables.table(object_name, (*fields, key_field))
        found = self._lookup(table, key_field, keys, fields, "find")
        return {key: one for key, one in found.items() if isinstance(one, RemoteRecord)}

    def find_gone(
        self, object_name: str, key_field: str, keys: Sequence[str]
    ) -> Mapping[str, Gone]:
        """Tell of losers of merges, which keep their columns; of deleted rows nothing is left."""
        table = self._tables.table(object_name, (key_field,))
        found = self._lookup(table, key_field, keys, (key_field,), "find_gone")
        return {key: one for key, one in found.items() if isinstance(one, Gone)}

    def _lookup(
        self, table: Table, field: str, values: Sequence[str], fields: Sequence[str], operation: str
    ) -> dict[str, RemoteRecord | Gone]:
        wanted = dict.fromkeys(values)
        # The database compares without regard to case.
        asked = {value.casefold(): value for value in wanted}
        found: dict[str, RemoteRecord | Gone] = {}
        names = tuple(dict.fromkeys((*fields, field)))
        values = list(wanted)
        for start in range(0, len(values), READ_BATCH):
            condition = Condition(field, tuple(values[start : start + READ_BATCH]))
            for filter_text in self._reader.filters(table, [condition]):
                select = self._reader.select(table, names)
                rows = self._reader.rows(table, filter_text, select, None, operation).rows
                records = self._reader.records(table, rows, fields)
                wire_name = table.columns[field].wire_name
                for row, record in zip(rows, records, strict=True):
                    key = asked.get(str(row[wire_name]).casefold())
                    if key is not None:
                        found[key] = record
        return found

    def select(
        self, object_name: str, where: Sequence[Condition], fields: Sequence[str], limit: int
    ) -> Selection:
        """Read what fits; losers of a merge are left out, as `read` says they are gone."""
        table = self._tables.table(object_name, (*fields, *(c.field for c in where)))
        answers = [
            self._reader.rows(
                table, text, self._reader.select(table, fields), limit, f"select {object_name}"
            )
            for text in self._living(table, where)
        ]
        rows = {str(row[table.primary_id]): row for answer in answers for row in answer.rows}
        ordered = [rows[record_id] for record_id in sorted(rows)]
        records = self._reader.records(table, ordered[:limit], fields)
        return Selection(
            records=tuple(r for r in records if isinstance(r, RemoteRecord)),
            complete=all(answer.complete for answer in answers) and len(ordered) <= limit,
            as_of=min(answer.as_of for answer in answers),
        )

    def count(self, object_name: str, where: Sequence[Condition]) -> int:
        """Count what fits, losers of a merge left out."""
        table = self._tables.table(object_name, [c.field for c in where])
        return sum(self._reader.count(table, text) for text in self._living(table, where))

    def _living(self, table: Table, where: Sequence[Condition]) -> list[str]:
        living = ["(merged eq false or merged eq null)"] if table.merges else []
        if table.qualifies:
            living.append(f"{table.columns[QUALIFIED_TO].wire_name} eq null")
        return [
            " and ".join([*([text] if text else []), *living])
            for text in self._reader.filters(table, where)
        ]

    def users(self, addresses: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Look users that are not disabled up by e-mail address."""
        return users.enabled(self._transport, addresses)

    def changes(self, object_name: str, fields: Sequence[str], cursor: str | None) -> ChangePage:
        """Hand out one page of what changed in a whole table; see `feed.py` for its two kinds."""
        return self._feed.changes(self._tables.table(object_name, fields), fields, cursor)

    def create(
        self, object_name: str, key_field: str, items: Sequence[CreateItem]
    ) -> tuple[Outcome, ...]:
        """Create by alternate key, create-only."""
        fields = {name for item in items for name in item.fields}
        table = self._tables.table(object_name, {*fields, key_field})
        ids = self._currency_ids([item.fields for item in items])
        today = self._clock().date()
        rows = [self._writer.create(table, key_field, item, ids, today) for item in items]
        return self._writer.send(rows, f"create {object_name}")

    def update(self, object_name: str, items: Sequence[UpdateItem]) -> tuple[Outcome, ...]:
        """Patch by id; closing and re-opening an opportunity included."""
        table = self._tables.table(object_name, {name for item in items for name in item.fields})
        ids = self._currency_ids([item.fields for item in items])
        today = self._clock().date()
        rows = [
            self._writer.update(table, item, ids, today)
            if is_guid(item.record_id)
            else Gone(item.record_id, Absence.NOT_FOUND)
            for item in items
        ]
        return self._writer.send(rows, f"update {object_name}")

    def _currency_ids(self, rows: Sequence[Fields]) -> Mapping[str, str]:
        codes = {str(fields[CURRENCY]) for fields in rows if fields.get(CURRENCY)}
        return self._currencies.with_codes(codes).ids if codes else {}

    def record_url(self, object_name: str, record_id: str) -> str:
        # Microsoft Learn, "Open apps, forms, views, dialogs, and reports with a URL".
        base = self._settings.base_url.rstrip("/")
        return f"{base}/main.aspx?pagetype=entityrecord&etn={object_name}&id={record_id}"

    def history(
        self, object_name: str, record_ids: Sequence[str], fields: Sequence[str], since: datetime
    ) -> tuple[FieldChange, ...]:
        """Past values are not read (`Capabilities.history` is False)."""
        del object_name, record_ids, fields, since
        return ()

    def webhook(self, request: WebhookRequest) -> WebhookDelivery:
        """Verify and read one call of a registered webhook step."""
        secrets = [self._settings.webhook.get(name, "") for name in ("secret", "previous_secret")]
        user_id = self._identity.user_id if self._identity is not None else None
        return webhook.read(request, secrets, self._transport.tag, user_id)
