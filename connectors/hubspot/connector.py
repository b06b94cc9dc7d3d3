"""`HubSpotConnector`: one HubSpot account behind `connectors.port.CrmConnector`.

Objects are HubSpot's plural names (`deals`, `leads`, `companies`) and, for custom objects, their
type ids (`2-3456`), as webhooks name them too. The primary company of a deal is presented as the
field `associations.companies`. HubSpot has no preconditions on writes: what was
overwritten is found afterwards in the history that it keeps of every property.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from connectors.deliveries import WebhookDelivery, WebhookRequest
from connectors.errors import CallRejected, NotPermitted
from connectors.hubspot import check as checking
from connectors.hubspot import links, probing, provisioning, wire
from connectors.hubspot.feed import Feed
from connectors.hubspot.gateway import Gateway
from connectors.hubspot.pacing import Pace
from connectors.hubspot.reading import INDEX_LAG, Reader
from connectors.hubspot.users import owners
from connectors.hubspot.webhook import read_delivery
from connectors.hubspot.writing import Writer
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
from connectors.tokens import MemoryTokenVault, TokenVault
from registration_core.contracts import Condition, ConnectionName, FieldSchema, ObjectSchema

#: How long definitions are believed before they are read again.
_SCHEMA_AGE_MAX = timedelta(minutes=10)

_CAPABILITIES = Capabilities(
    write_batch=100,
    read_batch=100,
    precondition=False,
    history=True,
    feed=FeedKind.SEARCH,
    # Archived records are told of, moved associations are not: linked records are read again.
    feed_tells_deletes=False,
    vendor="hubspot",
    lag_seconds=INDEX_LAG // timedelta(seconds=1),
    costly=frozenset({links.COMPANIES, links.CONTACTS}),
)


#: Type ids of standard objects in the addresses of the app.
_TYPE_IDS = {"contacts": "0-1", "companies": "0-2", "deals": "0-3"}


class HubSpotConnector:
    """A connection to one HubSpot account.

    Settings: `credentials` are `access_token` (service key, static-auth app) or those of an OAuth
    app (`client_id`, `client_secret`, `refresh_token`); `webhook.secret` (client secret of the
    app) and `webhook.app_id` (tells our own changes from those of others); `api_version` a dated
    version such as `2026-09` (the default) or `v3`.
    """

    def __init__(
        self,
        settings: ConnectionSettings,
        clock: Callable[[], datetime],
        vault: TokenVault | None = None,
        pace: Pace | None = None,
    ) -> None:
        """Keep the token in `vault` (without one, in this process alone) and to the `pace`."""
        self._settings = settings
        self._clock = clock
        self._app_id = settings.webhook.get("app_id", "")
        self._gateway = Gateway(settings, clock, vault or MemoryTokenVault(), pace or Pace())
        self._reader = Reader(self._gateway, clock, self._schema_with, self._currency, self._app_id)
        self._feed = Feed(self._gateway, self._reader, str(settings.name), clock, self._schema_with)
        self._writer = Writer(self._gateway, self._reader, self.describe, self._forget)
        self._lock = threading.Lock()
        self._schemas: dict[str, tuple[datetime, ObjectSchema]] = {}
        self._identity: OrgIdentity | None = None
        self._details: Mapping[str, Any] | None = None

    @property
    def name(self) -> ConnectionName:
        """The connection's name."""
        return self._settings.name

    @property
    def capabilities(self) -> Capabilities:
        """What HubSpot can do."""
        return _CAPABILITIES

    def identity(self) -> OrgIdentity:
        """Say which account this is, and as which app we are there."""
        if self._identity is None:
            account = self._account()
            app_id = self._app_id or self._app().app_id
            self._identity = OrgIdentity(
                org_id=str(account["portalId"]),
                user_id=app_id or "unknown app",
                user_name=f"app {app_id}" if app_id else "",
            )
        return self._identity

    def check(self, needs: Sequence[ObjectNeed]) -> tuple[CheckItem, ...]:
        """Prove token, app, scopes, properties, reads, webhooks and quota; never raises."""
        return tuple(
            checking.check(
                needs,
                checking.Account(
                    connection=str(self.name),
                    identity=self.identity,
                    app=self._app,
                    describe=self.describe,
                    sample=self._sample,
                    probe=lambda need: probing.probe(self._gateway, need),
                    synced_since=self._reader.synced_since,
                    budget=self.api_budget,
                    clock=self._clock,
                    webhook=self._settings.webhook,
                ),
            )
        )

    def api_budget(self) -> ApiBudget | None:
        """Tell the daily quota as HubSpot last did."""
        return self._gateway.budget

    def describe(self, object_name: str, *, fresh: bool = False) -> ObjectSchema:
        """Describe an object from its property definitions and its pipelines, where it has any."""
        with self._lock:
            kept = self._schemas.get(object_name)
        if kept is not None and not fresh and self._clock() - kept[0] < _SCHEMA_AGE_MAX:
            return kept[1]
        schema = self._fetch_schema(object_name)
        with self._lock:
            self._schemas[object_name] = (self._clock(), schema)
        return schema

    def create_fields(self, object_name: str, fields: Sequence[FieldSchema]) -> None:
        """Define properties that an object lacks, in a group of their own."""
        provisioning.create(self._gateway, object_name, tuple(fields))
        self._forget(object_name)

    def read(
        self, object_name: str, record_ids: Sequence[str], fields: Sequence[str]
    ) -> Mapping[str, RemoteRecord | Gone]:
        """Read by id; an id that was merged away tells its survivor."""
        return self._reader.read(object_name, record_ids, fields)

    def find(
        self, object_name: str, key_field: str, keys: Sequence[str], fields: Sequence[str]
    ) -> Mapping[str, RemoteRecord]:
        """Look up by a property that demands unique values."""
        return self._reader.find(object_name, key_field, keys, fields)

    def find_gone(
        self, object_name: str, key_field: str, keys: Sequence[str]
    ) -> Mapping[str, Gone]:
        """Tell of nothing, without a call: a record that is gone has no unique value any more."""
        return {}

    def select(
        self, object_name: str, where: Sequence[Condition], fields: Sequence[str], limit: int
    ) -> Selection:
        """Search; text compares without regard to case, and the index lags up to a minute."""
        return self._reader.select(object_name, where, fields, limit)

    def count(self, object_name: str, where: Sequence[Condition]) -> int:
        """Count by search."""
        return self._reader.count(object_name, where)

    def users(self, addresses: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Look owners up by e-mail address, a call for each; archived ones are left out."""
        return owners(self._gateway, addresses)

    def changes(self, object_name: str, fields: Sequence[str], cursor: str | None) -> ChangePage:
        """Hand out changes; those of associations alone are not among them."""
        return self._feed.changes(object_name, fields, cursor)

    def create(
        self, object_name: str, key_field: str, items: Sequence[CreateItem]
    ) -> tuple[Outcome, ...]:
        """Create rows, create-only by a property that demands unique values."""
        return self._writer.create(object_name, key_field, items)

    def update(self, object_name: str, items: Sequence[UpdateItem]) -> tuple[Outcome, ...]:
        """Patch rows by id; `expected_version` is ignored, HubSpot has no preconditions."""
        return self._writer.update(object_name, items)

    def record_url(self, object_name: str, record_id: str) -> str:
        # HubSpot knowledge base, "View record IDs": /contacts/PORTAL/record/TYPE/ID in the app.
        kind = _TYPE_IDS.get(object_name, object_name)
        portal = self.identity().org_id
        return f"https://app.hubspot.com/contacts/{portal}/record/{kind}/{record_id}"

    def history(
        self, object_name: str, record_ids: Sequence[str], fields: Sequence[str], since: datetime
    ) -> tuple[FieldChange, ...]:
        """Read past values of properties."""
        return self._reader.history(object_name, record_ids, fields, since)

    def webhook(self, request: WebhookRequest) -> WebhookDelivery:
        """Verify the signature, v3 unless the connection names an older one, and read the events."""
        return read_delivery(request, self._settings.webhook)

    # --- within

    def _sample(self, need: ObjectNeed) -> None:
        """Read what a need reads: a record, and users where they are looked up."""
        self.select(need.object, (), (), 1)
        if need.names_users:
            self.users(["nobody@example.invalid"])

    def _account(self) -> Mapping[str, Any]:
        """Read what the account says of itself; once."""
        if self._details is None:
            self._details = self._gateway.get("read account", "/account-info/v3/details").body
            self._gateway.time_zone = str(self._details.get("timeZone") or "")
        return self._details

    def _currency(self) -> str:
        return str(self._account().get("companyCurrency") or "")

    def _schema_with(self, object_name: str, fields: Iterable[str]) -> ObjectSchema:
        """Describe an object and vouch that it has these fields, looking again if it has not."""
        schema = self.describe(object_name)
        missing = [name for name in fields if name not in schema.fields]
        if missing:
            self._forget(object_name)
            schema = self.describe(object_name)
            missing = [name for name in missing if name not in schema.fields]
        if missing:
            raise CallRejected(
                f"HubSpot's {object_name} have no property {', '.join(missing)}.",
                connection=str(self.name),
                operation=f"describe {object_name}",
                hint="Create it in HubSpot, or take it out of the mapping.",
            )
        return schema

    def _forget(self, object_name: str) -> None:
        with self._lock:
            self._schemas.pop(object_name, None)

    def _fetch_schema(self, object_name: str) -> ObjectSchema:
        crm, operation = self._gateway.client.crm, f"describe {object_name}"
        try:
            answer = self._gateway.read(operation, crm.properties.core_api.get_all, object_name)
        except CallRejected as error:
            raise CallRejected(
                f"HubSpot has no object {object_name}: {error.message}",
                connection=str(self.name),
                operation=operation,
                request_id=error.request_id,
            ) from error
        definitions, pipelines = answer.body["results"], ()
        if wire.has_pipelines(definitions):
            api = crm.pipelines.pipelines_api
            pipelines = self._gateway.read(operation, api.get_all, object_name).body["results"]
        return wire.object_schema(object_name, definitions, pipelines)

    def _app(self) -> checking.AppFacts:
        """Ask whose token this is; HubSpot tells of OAuth tokens and of old private apps only."""
        tokens = self._gateway.tokens
        if tokens.renewable:
            return checking.AppFacts(scopes=frozenset(tokens.current().details["scopes"].split()))
        try:
            body = self._gateway.post_to_read(
                "read token",
                "/oauth/v2/private-apps/get/access-token-info",
                {"tokenKey": tokens.current().access_token},
            ).body
        except (CallRejected, NotPermitted):
            return checking.AppFacts()
        return checking.AppFacts(
            app_id=str(body.get("appId") or ""),
            scopes=frozenset(map(str, body.get("scopes") or ())),
        )
