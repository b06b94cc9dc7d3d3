"""Every call to a CRM goes through here: never inside a transaction, pinned to its org, and
with its failures known to all workers.

A failure pauses the connection for everybody (`connection_state`): as long as the CRM asks
when it throttles, five minutes when credentials are refused, and from one second doubling to
half a minute when it is away. The first success lifts the pause. How many calls go out otherwise
is for `budget`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from connectors.deliveries import WebhookDelivery, WebhookRequest
from connectors.errors import ConnectorError, RateLimited
from connectors.port import (
    ApiBudget,
    Capabilities,
    ChangePage,
    CheckItem,
    CreateItem,
    CrmConnector,
    Deferred,
    FieldChange,
    Gone,
    ObjectNeed,
    OrgIdentity,
    Outcome,
    RemoteRecord,
    Selection,
    UpdateItem,
)
from registration_core.contracts import Condition, ConnectionName, FieldSchema, ObjectSchema
from registration_core.errors import SyncError
from registration_core.store.database import Database
from sync.ledger.tables import ConnectionStateRow
from sync.traffic import budget, connection_state, switch

T = TypeVar("T")


class OrgMismatch(SyncError):
    """The org that answered is not the one this connection is pinned to; nothing was read."""

    code = "org_mismatch"

    def __init__(
        self, connection: str, pinned: str, answered: str, *, configured: bool = False
    ) -> None:
        super().__init__(
            f"{connection} is pinned to the org {pinned}, but {answered} answered.",
            hint=f"Check base_url and org_id of {connection} in connections.yaml. A sandbox that was "
            f"refreshed on purpose: dealreg connection rebind {connection}, then restart.",
        )
        self.pinned, self.answered = pinned, answered
        #: It is connections.yaml that pins it.
        self.configured = configured


class ConnectionPaused(ConnectorError):
    """The connection is paused after a failure; it goes on by itself."""

    code = "connection_paused"


class Lane(StrEnum):
    """What a call is for: checks may use the reserve of a quota, all else may not."""

    CHECK = "check"
    BULK = "bulk"
    #: A person looks at what would happen, also while everything is stopped.
    LOOK = "look"


#: Calls that change the CRM.
_WRITES = frozenset({"create", "update"})

_lane: ContextVar[Lane] = ContextVar("lane", default=Lane.BULK)


@contextmanager
def lane(which: Lane) -> Iterator[None]:
    """Make the calls of this block calls of a lane."""
    token = _lane.set(which)
    try:
        yield
    finally:
        _lane.reset(token)


class CallMetrics:
    """Counts and times of calls to CRMs."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("connection", "operation")
        self.calls = Counter("dealreg_crm_calls", "Calls to a CRM", labels, registry=registry)
        self.failures = Counter(
            "dealreg_crm_failures", "Failed calls to a CRM", (*labels, "code"), registry=registry
        )
        self.seconds = Histogram(
            "dealreg_crm_seconds", "Seconds a call to a CRM took", labels, registry=registry
        )
        self.feed_lag = Gauge(
            "dealreg_crm_feed_lag_seconds",
            "Age of the last change that a feed is certain to have told of, by object",
            ("connection", "object"),
            registry=registry,
        )


class GuardedConnector:
    """A connector with the guard around each call; satisfies `CrmConnector` itself."""

    def __init__(
        self,
        inner: CrmConnector,
        database: Database,
        metrics: CallMetrics,
        pinned_org: str | None = None,
        reserve_percent: int = 10,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._inner = inner
        self._database = database
        self._metrics = metrics
        self._configured_org = pinned_org
        self._reserve_percent = reserve_percent
        self._slices = budget.Slices(database, inner.name)
        self._sleep = sleep
        self._told_used: int | None = None
        self._pinned: str | None = None

    @property
    def name(self) -> ConnectionName:
        """The connection's name."""
        return self._inner.name

    @property
    def capabilities(self) -> Capabilities:
        """What the CRM can do."""
        return self._inner.capabilities

    def identity(self) -> OrgIdentity:
        """Say which org this is, and refuse if it is not the pinned one."""
        identity = self._guarded("identity", self._inner.identity)
        self._pin(identity)
        return identity

    def check(self, needs: Sequence[ObjectNeed]) -> tuple[CheckItem, ...]:
        """Prove the set-up; not stopped by a pause, because it explains one."""
        self._database.require_no_transaction(f"check of {self.name}")
        return self._inner.check(needs)

    def api_budget(self) -> ApiBudget | None:
        """Tell the quota as last said; no call."""
        return self._inner.api_budget()

    def webhook(self, request: WebhookRequest) -> WebhookDelivery:
        """Verify a delivery; no call."""
        return self._inner.webhook(request)

    def describe(self, object_name: str, *, fresh: bool = False) -> ObjectSchema:
        """Describe an object."""
        return self._call("describe", lambda: self._inner.describe(object_name, fresh=fresh))

    def create_fields(self, object_name: str, fields: Sequence[FieldSchema]) -> None:
        """Define fields that an object lacks."""
        self._call("create_fields", lambda: self._inner.create_fields(object_name, fields))

    def read(
        self, object_name: str, record_ids: Sequence[str], fields: Sequence[str]
    ) -> Mapping[str, RemoteRecord | Gone]:
        """Read records by id; none asked, none called."""
        if not record_ids:
            return {}
        return self._call("read", lambda: self._inner.read(object_name, record_ids, fields))

    def find(
        self, object_name: str, key_field: str, keys: Sequence[str], fields: Sequence[str]
    ) -> Mapping[str, RemoteRecord]:
        """Look records up by key; none asked, none called."""
        if not keys:
            return {}
        return self._call("find", lambda: self._inner.find(object_name, key_field, keys, fields))

    def find_gone(
        self, object_name: str, key_field: str, keys: Sequence[str]
    ) -> Mapping[str, Gone]:
        """Say what became of records that are gone; none asked, none called."""
        if not keys:
            return {}
        return self._call("find_gone", lambda: self._inner.find_gone(object_name, key_field, keys))

    def select(
        self, object_name: str, where: Sequence[Condition], fields: Sequence[str], limit: int
    ) -> Selection:
        """Read records by conditions."""
        return self._call("select", lambda: self._inner.select(object_name, where, fields, limit))

    def count(self, object_name: str, where: Sequence[Condition]) -> int:
        """Count records by conditions."""
        return self._call("count", lambda: self._inner.count(object_name, where))

    def users(self, addresses: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Look users up by e-mail address; none asked, none called."""
        return self._call("users", lambda: self._inner.users(addresses)) if addresses else {}

    def changes(self, object_name: str, fields: Sequence[str], cursor: str | None) -> ChangePage:
        """Read one page of the change feed."""
        page = self._call("changes", lambda: self._inner.changes(object_name, fields, cursor))
        if not page.more:
            lag = (self._database.clock() - page.as_of).total_seconds()
            self._metrics.feed_lag.labels(self.name, object_name).set(lag)
        return page

    def create(
        self, object_name: str, key_field: str, items: Sequence[CreateItem]
    ) -> tuple[Outcome, ...]:
        """Create records."""
        return self._write("create", lambda: self._inner.create(object_name, key_field, items))

    def update(self, object_name: str, items: Sequence[UpdateItem]) -> tuple[Outcome, ...]:
        """Patch records."""
        return self._write("update", lambda: self._inner.update(object_name, items))

    def record_url(self, object_name: str, record_id: str) -> str:
        """Say where a person opens a record."""
        return self._call("record_url", lambda: self._inner.record_url(object_name, record_id))

    def history(
        self, object_name: str, record_ids: Sequence[str], fields: Sequence[str], since: datetime
    ) -> tuple[FieldChange, ...]:
        """Read past changes."""
        return self._call(
            "history", lambda: self._inner.history(object_name, record_ids, fields, since)
        )

    def _write(
        self, operation: str, call: Callable[[], tuple[Outcome, ...]]
    ) -> tuple[Outcome, ...]:
        """Write, and pause the connection as for a throttled call where a row was throttled."""
        outcomes = self._call(operation, call)
        throttled = [o for o in outcomes if isinstance(o, Deferred) and o.throttled]
        if throttled:
            told = max(throttled, key=lambda one: one.retry_after_seconds)
            error = RateLimited(
                f"The CRM asks to slow down: {told.reason}",
                retry_after_seconds=told.retry_after_seconds,
                connection=self.name,
            )
            connection_state.note_failure(self._database, self.name, error)
        return outcomes

    def _call(self, operation: str, call: Callable[[], T]) -> T:
        if self._pinned is None:
            self.identity()
        return self._guarded(operation, call)

    def _guarded(self, operation: str, call: Callable[[], T]) -> T:
        self._database.require_no_transaction(f"{operation} of {self.name}")
        troubles = self._admit(operation)
        self._metrics.calls.labels(self.name, operation).inc()
        try:
            with self._metrics.seconds.labels(self.name, operation).time():
                answer = call()
        except ConnectorError as error:
            self._metrics.failures.labels(self.name, operation, error.code).inc()
            connection_state.note_failure(self._database, self.name, error)
            raise
        if troubles is not None:
            connection_state.note_success(self._database, self.name, troubles)
        self._note_budget()
        return answer

    def _admit(self, operation: str) -> int | None:
        """Refuse a call that may not be made now, or wait a second for its turn in a slow start.

        Returns the failures that its success ends; None where the last call ended well: there is
        nothing to note then.
        """
        while True:
            row = self._open_door(operation)
            if row is None:
                return 0
            if seconds := self._seconds_to_wait(row):
                self._sleep(seconds)
                continue
            return None if row.seen_at is not None and not row.failures else row.failures

    def _open_door(self, operation: str) -> ConnectionStateRow | None:
        """Return what all workers know of the connection, unless it is stopped or paused."""
        writing = operation in _WRITES
        with self._database.read() as session:
            row = session.get(ConnectionStateRow, self.name)
            if writing or _lane.get() is not Lane.LOOK:
                switch.require_going(session, self.name, writing=writing)
        if row is not None and self._pinned and row.org_id not in (None, self._pinned):
            # It was rebound meanwhile; this process still has the other org's token.
            raise OrgMismatch(self.name, str(row.org_id), self._pinned)
        if row is not None and row.paused_until and row.paused_until > self._database.clock():
            raise ConnectionPaused(
                f"{self.name} is paused until {row.paused_until:%H:%M:%S} UTC: {row.reason}",
                connection=self.name,
            )
        return row

    def _seconds_to_wait(self, row: ConnectionStateRow) -> float:
        if _lane.get() is Lane.CHECK:
            return 0.0
        now = self._database.clock()
        budget.keep_reserve(row, now, self._reserve_percent)
        calls = budget.calls_per_second(row.quiet_until, now)
        return 0.0 if calls is None else self._slices.take(calls)

    def _note_budget(self) -> None:
        """Tell all workers what the CRM said of its quota, when it moved by a thousandth."""
        told = self._inner.api_budget()
        if told is None or not told.allowed:
            return
        step = max(told.allowed // 1000, 1)
        if self._told_used is not None and abs(told.used - self._told_used) < step:
            return
        self._told_used = told.used
        with self._database.begin() as unit:
            row = connection_state.held(unit, self.name)
            row.calls_used, row.calls_allowed = told.used, told.allowed
            row.calls_told_at = unit.now

    def _pin(self, identity: OrgIdentity) -> None:
        with self._database.begin() as unit:
            row = connection_state.held(unit, self.name)
            pins = [pin for pin in (self._configured_org, row.org_id) if pin]
            wrong = [pin for pin in pins if pin != identity.org_id]
            if not wrong:
                row.org_id = identity.org_id
        if wrong:
            configured = wrong[0] == self._configured_org
            raise OrgMismatch(self.name, wrong[0], identity.org_id, configured=configured)
        self._pinned = identity.org_id
