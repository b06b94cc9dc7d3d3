"""The vendor-neutral twin: a `CrmConnector` over a `MemoryOrg`, for fast tests of what is above.

Behaves like the CRMs where they agree, can be given the abilities of any of them, and fails on
demand. Nothing happens outside this process; the same clock and calls give the same answers.
"""

from __future__ import annotations

import hmac
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from connectors.deliveries import ChangeNotice, WebhookDelivery, WebhookRequest
from connectors.errors import (
    AuthenticationFailed,
    CallRejected,
    ConnectorError,
    CrmUnavailable,
    FeedExpired,
    RateLimited,
    WebhookRejected,
)
from connectors.memory_org import MemoryOrg, Stored, fits
from connectors.people import by_address
from connectors.port import (
    Absence,
    AlreadyExists,
    ApiBudget,
    Capabilities,
    ChangePage,
    CheckItem,
    CreateItem,
    FeedKind,
    FieldChange,
    Gone,
    ObjectNeed,
    OrgIdentity,
    Outcome,
    Refused,
    RemoteRecord,
    Selection,
    Stale,
    UpdateItem,
    Written,
)
from registration_core.contracts import Condition, ConnectionName, FieldSchema, ObjectSchema

#: A CRM that can do everything; take abilities away with `dataclasses.replace`.
ABLE = Capabilities(
    write_batch=50,
    read_batch=200,
    precondition=True,
    history=True,
    feed=FeedKind.DELTA,
    feed_tells_deletes=True,
)

#: Header that carries the shared secret of a delivery.
SECRET_HEADER = "x-memory-secret"  # noqa: S105 - a name, no secret


class MemoryFault(StrEnum):
    """How a call can go wrong."""

    #: Nothing happens, and the caller knows.
    UNAVAILABLE = "unavailable"
    #: It happens, but the answer is lost.
    ANSWER_LOST = "answer_lost"
    RATE_LIMITED = "rate_limited"
    AUTHENTICATION = "authentication"
    #: `update`: every row is stale.
    STALE = "stale"
    #: `changes`: the cursor is too old.
    FEED_EXPIRED = "feed_expired"


@dataclass(frozen=True)
class _Planned:
    kind: MemoryFault
    operation: str
    times: int | None


class MemoryConnector:
    """One connection to a `MemoryOrg`; its faults and counts are its own, the records the org's."""

    def __init__(
        self,
        name: str,
        org: MemoryOrg,
        *,
        capabilities: Capabilities = ABLE,
        feed_page: int = 100,
        webhook_secret: str = "",
        budget_allowed: int | None = None,
    ) -> None:
        self.org = org
        #: Calls so far, by method.
        self.calls: Counter[str] = Counter()
        #: Called with the method's name at the start of each call: a place for a race.
        self.on_call: Callable[[str], None] | None = None
        self._name, self._capabilities = ConnectionName(name), capabilities
        self._feed_page, self._webhook_secret = feed_page, webhook_secret
        self._budget_allowed = budget_allowed
        self._faults: list[_Planned] = []

    def fail(self, kind: MemoryFault, operation: str = "", *, times: int | None = 1) -> None:
        """Make the next `times` calls of `operation` (any if empty) go wrong; None = until `recover`."""
        self._faults.append(_Planned(kind, operation, times))

    def recover(self) -> None:
        """Take every fault away."""
        self._faults.clear()

    @property
    def name(self) -> ConnectionName:
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def identity(self) -> OrgIdentity:
        with self._call("identity"):
            return OrgIdentity(self.org.org_id, self.org.us, self.org.us)

    def check(self, needs: Sequence[ObjectNeed]) -> tuple[CheckItem, ...]:
        try:
            with self._call("check"):
                items = [CheckItem("sign in", ok=True, detail=f"as {self.org.us}")]
                for need in needs:
                    items.extend(self._check_object(need))
                return tuple(items)
        except ConnectorError as error:
            return (CheckItem("sign in", ok=False, detail=str(error), remedy="see the error"),)

    def api_budget(self) -> ApiBudget | None:
        if self._budget_allowed is None:
            return None
        return ApiBudget(self.calls.total(), self._budget_allowed, "test")

    def describe(self, object_name: str, *, fresh: bool = False) -> ObjectSchema:
        with self._call("describe"):  # nothing is kept here, so that every answer is fresh
            return self._schema(object_name)

    def create_fields(self, object_name: str, fields: Sequence[FieldSchema]) -> None:
        """Define fields that an object lacks."""
        with self._call("create_fields"):
            self.org.define(object_name, fields)

    def read(
        self, object_name: str, record_ids: Sequence[str], fields: Sequence[str]
    ) -> Mapping[str, RemoteRecord | Gone]:
        with self._call("read"):
            self._known(object_name, fields)
            return {each: self._look(object_name, each, fields) for each in record_ids}

    def find(
        self, object_name: str, key_field: str, keys: Sequence[str], fields: Sequence[str]
    ) -> Mapping[str, RemoteRecord]:
        with self._call("find"):
            self._key(object_name, key_field)
            self._known(object_name, fields)
            holders = {key: self.org.holder(object_name, key_field, key) for key in keys}
            return {
                key: self.org.as_remote(object_name, holder, fields)
                for key, holder in holders.items()
                if holder is not None
            }

    def find_gone(
        self, object_name: str, key_field: str, keys: Sequence[str]
    ) -> Mapping[str, Gone]:
        with self._call("find_gone"):
            self._key(object_name, key_field)
            if not self.capabilities.feed_tells_deletes:
                return {}  # this one forgets
            buried = self.org.records(object_name, gone=True)
            return {
                str(record.fields[key_field]): record.gone
                for record in buried
                if record.gone is not None and record.fields[key_field] in keys
            }

    def select(
        self, object_name: str, where: Sequence[Condition], fields: Sequence[str], limit: int
    ) -> Selection:
        with self._call("select"):
            fitting = self._fitting(object_name, where)
            self._known(object_name, fields)
            records = [self.org.as_remote(object_name, r, fields) for r in fitting[:limit]]
            return Selection(tuple(records), len(fitting) <= limit, self.org.clock())

    def count(self, object_name: str, where: Sequence[Condition]) -> int:
        with self._call("count"):
            return len(self._fitting(object_name, where))

    def users(self, addresses: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        with self._call("users"):
            return by_address(addresses, ((at, each) for each, at in self.org.users.items()))

    def changes(self, object_name: str, fields: Sequence[str], cursor: str | None) -> ChangePage:
        with self._call("changes"):
            self._known(object_name, fields)
            if cursor is not None and not cursor.isdecimal():
                raise FeedExpired(f"no such cursor: {cursor!r}", connection=self.name)
            seen = int(cursor or 0)
            news = [r for r in self.org.records(object_name, gone=True) if r.version > seen]
            news.sort(key=lambda record: record.version)
            page, tells = news[: self._feed_page], self._capabilities.feed_tells_deletes
            return ChangePage(
                records=tuple(
                    self.org.as_remote(object_name, r, fields) for r in page if r.gone is None
                ),
                # A feed that starts with everything starts with what is there.
                gone=tuple(r.gone for r in page if r.gone is not None and tells and cursor),
                cursor=str(page[-1].version if page else seen),
                more=len(news) > len(page),
                as_of=self.org.clock(),
            )

    def create(
        self, object_name: str, key_field: str, items: Sequence[CreateItem]
    ) -> tuple[Outcome, ...]:
        with self._call("create"):
            self._batch(len(items))
            self._key(object_name, key_field)
            return tuple(self._create_one(object_name, key_field, item) for item in items)

    def update(self, object_name: str, items: Sequence[UpdateItem]) -> tuple[Outcome, ...]:
        with self._call("update") as fault:
            self._batch(len(items))
            self._schema(object_name)
            if fault is MemoryFault.STALE:
                return tuple(Stale(item.record_id) for item in items)
            return tuple(self._update_one(object_name, item) for item in items)

    def record_url(self, object_name: str, record_id: str) -> str:
        return f"memory://{self.name}/{object_name}/{record_id}"

    def history(
        self, object_name: str, record_ids: Sequence[str], fields: Sequence[str], since: datetime
    ) -> tuple[FieldChange, ...]:
        with self._call("history"):
            self._known(object_name, fields)
            if not self._capabilities.history:
                return ()
            records = [self.org.record(object_name, each) for each in record_ids]
            changes = (change for r in records if r is not None for change in r.history)
            wanted = (c for c in changes if c.field in fields and c.changed_at >= since)
            return tuple(sorted(wanted, key=lambda change: change.changed_at))

    def webhook(self, request: WebhookRequest) -> WebhookDelivery:
        shown = {name.lower(): value for name, value in request.headers.items()}
        secret = shown.get(SECRET_HEADER, "")
        if not hmac.compare_digest(secret.encode(), self._webhook_secret.encode()) or not secret:
            raise WebhookRejected("the delivery does not carry the shared secret", status=401)
        try:
            body = json.loads(request.body)
            notices = tuple(ChangeNotice(**notice) for notice in body["notices"])
            return WebhookDelivery(str(body["org_id"]), notices)
        except (ValueError, KeyError, TypeError) as error:
            raise WebhookRejected("the delivery cannot be read", status=400) from error

    def delivery(self, notices: Sequence[ChangeNotice]) -> WebhookRequest:
        """Word a delivery as this org would send it, for `webhook` to read."""
        body = {"org_id": self.org.org_id, "notices": [vars(notice) for notice in notices]}
        return WebhookRequest(
            method="POST",
            url=f"http://127.0.0.1/webhooks/{self.name}",
            headers={SECRET_HEADER: self._webhook_secret},
            body=json.dumps(body).encode(),
            received_at=self.org.clock(),
        )

    @contextmanager
    def _call(self, operation: str) -> Iterator[MemoryFault | None]:
        """Count a call, hold the org still during it, and let it fail as planned."""
        self.calls[operation] += 1
        if self.on_call is not None:
            self.on_call(operation)
        fault = self._take(operation)
        if fault is not None and fault in _BEFORE:
            raise _BEFORE[fault](self.name, operation)
        with self.org.lock:
            yield fault
        if fault is MemoryFault.ANSWER_LOST:
            raise CrmUnavailable(
                "the answer was lost",
                may_have_happened=operation in {"create", "update"},
                connection=self.name,
                operation=operation,
            )

    def _take(self, operation: str) -> MemoryFault | None:
        for place, planned in enumerate(self._faults):
            if planned.operation in {"", operation} and planned.times != 0:
                if planned.times is not None:
                    self._faults[place] = replace(planned, times=planned.times - 1)
                return planned.kind
        return None

    def _schema(self, object_name: str) -> ObjectSchema:
        if object_name not in self.org.schemas:
            raise CallRejected(f"the org has no object {object_name}", connection=self.name)
        return self.org.schemas[object_name]

    def _known(self, object_name: str, fields: Sequence[str]) -> None:
        for name in fields:
            if name not in self._schema(object_name).fields:
                raise CallRejected(f"{object_name} has no field {name}", connection=self.name)

    def _key(self, object_name: str, key_field: str) -> None:
        self._known(object_name, [key_field])
        if not self._schema(object_name).fields[key_field].unique:
            raise CallRejected(f"{object_name}.{key_field} is not unique", connection=self.name)

    def _batch(self, size: int) -> None:
        limit = max(self._capabilities.write_batch, self._capabilities.load_batch)
        if size > limit:
            raise CallRejected(f"{size} rows in one call, {limit} fit", connection=self.name)

    def _fitting(self, object_name: str, where: Sequence[Condition]) -> list[Stored]:
        self._known(object_name, [condition.field for condition in where])
        return [record for record in self.org.records(object_name) if fits(record, where)]

    def _look(self, object_name: str, record_id: str, fields: Sequence[str]) -> RemoteRecord | Gone:
        record = self.org.record(object_name, record_id)
        if record is None:
            return Gone(record_id, Absence.NOT_FOUND)
        return record.gone or self.org.as_remote(object_name, record, fields)

    def _create_one(self, object_name: str, key_field: str, item: CreateItem) -> Outcome:
        if (holder := self.org.holder(object_name, key_field, item.key)) is not None:
            return AlreadyExists(holder.record_id)
        made = self.org.insert(object_name, {**item.fields, key_field: item.key}, self.org.us)
        return made if isinstance(made, Refused) else _written(made)

    def _update_one(self, object_name: str, item: UpdateItem) -> Outcome:
        record = self.org.record(object_name, item.record_id)
        if record is None:
            return Gone(item.record_id, Absence.NOT_FOUND)
        if record.gone is not None:
            return record.gone
        expected = item.expected_version if self._capabilities.precondition else None
        if expected is not None and expected != str(record.version):
            return Stale(item.record_id)
        refused = self.org.patch(object_name, record, item.fields, self.org.us)
        return refused or _written(record)

    def _check_object(self, need: ObjectNeed) -> list[CheckItem]:
        schema = self.org.schemas.get(need.object)
        if schema is None:
            return [CheckItem(need.object, ok=False, detail="no such object", remedy="create it")]
        items = []
        for name in dict.fromkeys([*need.reads, *need.writes, *filter(None, [need.key_field])]):
            if name not in schema.fields:
                step = f"{need.object}.{name}"
                items.append(CheckItem(step, ok=False, detail="no such field", remedy="create it"))
        known = {name: schema.fields[name] for name in need.writes if name in schema.fields}
        for name, each in known.items():
            step = f"{need.object}.{name}"
            if not each.updateable:
                items.append(
                    CheckItem(step, ok=False, detail="read only", remedy="make it writable")
                )
            elif name in need.two_way and not (each.history_kept and self._capabilities.history):
                detail = "no history is kept: an overwrite would be unproven"
                items.append(CheckItem(step, ok=True, detail=detail, warning=True))
        key = schema.fields.get(need.key_field or "")
        if key is not None and not key.unique:
            step = f"{need.object}.{key.name}"
            items.append(CheckItem(step, ok=False, detail="not unique", remedy="make it unique"))
        return items or [CheckItem(need.object, ok=True)]


#: Faults that strike before anything happens.
_BEFORE: Mapping[MemoryFault, Callable[[str, str], ConnectorError]] = {
    MemoryFault.UNAVAILABLE: lambda name, operation: CrmUnavailable(
        "the CRM is down", connection=name, operation=operation
    ),
    MemoryFault.RATE_LIMITED: lambda name, operation: RateLimited(
        "too many calls", retry_after_seconds=5.0, connection=name, operation=operation
    ),
    MemoryFault.AUTHENTICATION: lambda name, operation: AuthenticationFailed(
        "the credentials are refused", connection=name, operation=operation
    ),
    MemoryFault.FEED_EXPIRED: lambda name, operation: FeedExpired(
        "the cursor is too old", connection=name, operation=operation
    ),
}


def _written(record: Stored) -> Written:
    return Written(record.record_id, str(record.version), record.modified_at)
