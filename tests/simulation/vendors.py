"""Pretended CRMs with the habits of real ones, and everything that goes wrong on the way there.

`stamps` (as Salesforce): whole-second stamps, commits that become visible later than they are
stamped, an overlapping keyset feed that tells of deletes, history, no precondition. `search` (as
HubSpot): a feed and queries that lag behind, no deletes told, history, no precondition. `delta`
(as Dataverse): versions as preconditions, a feed whose tokens expire, no history.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta

from connectors.errors import (
    AuthenticationFailed,
    CallRejected,
    ConnectorError,
    CrmUnavailable,
    FeedExpired,
    RateLimited,
)
from connectors.memory import ABLE, MemoryConnector, MemoryFault
from connectors.memory_org import Stored
from connectors.port import (
    ApiBudget,
    Capabilities,
    ChangePage,
    CreateItem,
    Deferred,
    FeedKind,
    Gone,
    Outcome,
    Refused,
    RemoteRecord,
    Selection,
    Stale,
    UpdateItem,
)
from registration_core.contracts import Condition, Fields
from sync.traffic import budget, guard
from tests.simulation.org import LATEST_SECONDS, SimOrg
from tests.simulation.scheduler import Actor
from tests.simulation.stage import Stage
from tests.simulation.truth import TOKENS, token

CAPABILITIES: Mapping[str, Capabilities] = {
    "stamps": replace(ABLE, precondition=False, feed=FeedKind.KEYSET),
    "search": replace(ABLE, precondition=False, feed=FeedKind.SEARCH, feed_tells_deletes=False),
    "delta": replace(ABLE, history=False),
}
#: Life of a change token.
TOKEN_SECONDS = 90.0
#: How long a call may have been under way when another worker hears that the CRM wants quiet.
IN_FLIGHT_SECONDS = 1.0
#: How long calls are counted after that.
SLOW_SECONDS = 2.0
#: Share of a quota that is kept for checks.
RESERVE_PERCENT = 10
BULK = guard.Lane.BULK
#: A value that this CRM refuses together with the whole call it came in.
POISON = "POISON"


class SimConnector(MemoryConnector):
    """A connection to a pretended CRM, through everything that goes wrong."""

    def __init__(self, name: str, org: SimOrg, stage: Stage) -> None:
        case, able = stage.case, CAPABILITIES[org.habit]
        super().__init__(
            name,
            org,
            capabilities=replace(able, write_batch=case.write_batch),
            feed_page=case.feed_page,
            webhook_secret="secret",
        )
        self.org: SimOrg = org
        self.stage = stage
        #: Writes of the engine so far, in calls.
        self.writes = 0
        #: Calls of the quota that are used, and as far as the engine was told.
        self.used = self.told_used = 0
        #: Until when the CRM has asked to be left alone, since when, and whom.
        self.closed_until = self.closed_since = -SLOW_SECONDS
        self.asked: Actor | None = None
        #: Bulk calls in the first seconds after that.
        self.slow_calls = 0
        self.failed = False

    def api_budget(self) -> ApiBudget | None:
        """Tell the quota as the answer of the last call did."""
        quota = self.stage.case.quotas.get(self.name)
        if quota is None:
            return None
        self.told_used = self.used
        return ApiBudget(self.used, quota, "a day")

    def _count(self, operation: str) -> None:
        """Count a call against the quota, and tell of one that should not have been made."""
        seconds, quota = self.stage.scheduler.seconds, self.stage.case.quotas.get(self.name)
        about = f"{self.name} {operation} at {seconds:.1f}"
        known = self.closed_since + IN_FLIGHT_SECONDS
        told = self.asked is None or self.asked.died_at > known  # who died at once told nobody
        if told and known < seconds < self.closed_until:
            self.stage.truth.forbidden.append(
                f"{about}: it had asked for quiet until {self.closed_until:.1f}"
            )
        for scope in (self.name, "*"):
            since, writes_only = self.stage.truth.stopped_at.get(scope, (seconds, False))
            covered = operation in ("create", "update") or not writes_only
            if seconds > since + IN_FLIGHT_SECONDS and covered:
                self.stage.truth.forbidden.append(f"{about}: it was stopped at {since:.1f}")
        if guard._lane.get() is BULK and 0.0 <= seconds - self.closed_until < SLOW_SECONDS:
            self.slow_calls += 1
            self.stage.truth.probes["a slow start after a CRM asked for quiet"] += 1
            # Those two seconds lie in three by the clock, and each worker may be in a call.
            if self.slow_calls > 3 * budget.FIRST_CALLS + self.stage.case.workers + 1:
                self.stage.truth.forbidden.append(f"{about}: it begins too fast after a quiet")
        if quota is None or self.stage.faults.off:
            return
        self.used += 1
        left, in_flight = quota - self.told_used, self.stage.case.workers + 1
        if left * 100 <= quota * RESERVE_PERCENT:
            self.stage.truth.probes["quota spent down to the reserve"] += 1
        if (left + in_flight) * 100 <= quota * RESERVE_PERCENT and guard._lane.get() is BULK:
            self.stage.truth.forbidden.append(f"{about}: only the reserve was left")

    @contextmanager
    def _call(self, operation: str) -> Iterator[MemoryFault | None]:
        with self._through(operation, ""):
            yield None

    @contextmanager
    def _through(self, operation: str, what: str) -> Iterator[dict[str, float]]:
        stage = self.stage
        me = stage.scheduler.current
        if me is not None:
            me.delayed, me.called_at = False, stage.scheduler.seconds
        stage.scheduler.pause()
        where = f"{self.name} {operation} {self.calls[operation] + 1}"
        self._count(operation)
        stage.ambush(f"{where} before")
        struck = stage.faults.strike(f"{self.name} {operation}")
        stage.scheduler.note(f"calls {self.name} {operation} {what} {' '.join(struck)}".rstrip())
        self.calls[operation] += 1
        if "latency" in struck:
            stage.scheduler.pause(struck["latency"])
        if "stall" in struck:
            self._stall(struck["stall"])
        self._fail_before(operation, struck)
        try:
            yield struck
        except ConnectorError:
            self.failed = True
            raise
        stage.ambush(f"{where} after")
        if "answer_lost" in struck or "part_lost" in struck:
            writes = operation in {"create", "update"}
            self.failed = True
            if writes:
                stage.truth.probes[f"{operation} time-out after success"] += 1
            raise CrmUnavailable(
                "the answer was lost", may_have_happened=writes, connection=self.name
            )
        stage.scheduler.pause()

    def _stall(self, seconds: float) -> None:
        """Stop the caller's whole process for a while, right before the call has its effect."""
        me = self.stage.scheduler.current
        if me is not None and not self.stage.scheduler.is_quiet:
            me.stalled = True
            self.stage.scheduler.pause(seconds)
            me.stalled, me.delayed = False, True

    def _fail_before(self, operation: str, struck: Mapping[str, float]) -> None:
        error: ConnectorError
        if "error_before" in struck:
            error = CrmUnavailable("the CRM is down", connection=self.name, operation=operation)
        elif "throttled" in struck:
            self.closed_since, self.asked = (
                self.stage.scheduler.seconds,
                self.stage.scheduler.current,
            )
            self.closed_until = self.closed_since + struck["throttled"]
            self.slow_calls = 0
            error = RateLimited(
                "too many calls",
                retry_after_seconds=struck["throttled"],
                connection=self.name,
            )
        elif "token_expired" in struck:
            error = AuthenticationFailed("the credentials are refused", connection=self.name)
        else:
            return
        self.failed = True
        raise error

    def read(
        self, object_name: str, record_ids: Sequence[str], fields: Sequence[str]
    ) -> Mapping[str, RemoteRecord | Gone]:
        with self._through("read", f"{object_name} {' '.join(record_ids)}"):
            self._known(object_name, fields)
            found = {each: self._look(object_name, each, fields) for each in record_ids}
        self._seen(found.values())
        return found

    def find(
        self, object_name: str, key_field: str, keys: Sequence[str], fields: Sequence[str]
    ) -> Mapping[str, RemoteRecord]:
        found = super().find(object_name, key_field, keys, fields)
        self._seen(found.values())
        return found

    def select(
        self, object_name: str, where: Sequence[Condition], fields: Sequence[str], limit: int
    ) -> Selection:
        found = super().select(object_name, where, fields, limit)
        return replace(
            found, records=tuple(r for r in found.records if self._findable(r.record_id))
        )

    def create(
        self, object_name: str, key_field: str, items: Sequence[CreateItem]
    ) -> tuple[Outcome, ...]:
        with self._through("create", f"{[item.key for item in items]}") as struck:
            self._batch(len(items))
            self._refuse_poison([item.fields for item in items])
            few = items[: len(items) // 2] if "part_lost" in struck else items
            self.writes += len(few)
            return tuple(
                self._spoiled(place, struck, item.key)
                or self._create_one(object_name, key_field, item)
                for place, item in enumerate(few)
            )

    def update(self, object_name: str, items: Sequence[UpdateItem]) -> tuple[Outcome, ...]:
        with self._through("update", f"{[item.record_id for item in items]}") as struck:
            self._batch(len(items))
            self._wait_for_rows([item.record_id for item in items])
            self._refuse_poison([item.fields for item in items])
            few = items[: len(items) // 2] if "part_lost" in struck else items
            self.writes += len(few)
            return tuple(
                self._spoiled(place, struck, item.record_id) or self._patch(object_name, item)
                for place, item in enumerate(few)
            )

    def _patch(self, object_name: str, item: UpdateItem) -> Outcome:
        outcome = self._update_one(object_name, item)
        if isinstance(outcome, Stale):
            self.stage.truth.probes["precondition refused a stale write"] += 1
        return outcome

    def _spoiled(self, place: int, struck: Mapping[str, float], key: str) -> Outcome | None:
        if place:
            return None
        if "row_locked" in struck:
            return Deferred("the row is locked", struck["row_locked"])
        if "rows_refused" in struck:
            self.stage.truth.probes["partial batch"] += 1
            return Refused("VALIDATION", f"a rule of the CRM refuses {key}")
        return None

    def _refuse_poison(self, rows: Sequence[Fields]) -> None:
        if any(POISON in str(fields.get("Name")) for fields in rows):
            self.stage.truth.probes["batch refused whole"] += 1
            raise CallRejected("a row of the batch is malformed", connection=self.name)

    def changes(self, object_name: str, fields: Sequence[str], cursor: str | None) -> ChangePage:
        with self._through("changes", f"{object_name} from {cursor}") as struck:
            self._known(object_name, fields)
            if "feed_expired" in struck and cursor is not None:
                self.stage.truth.probes["delta token expired"] += 1
                raise FeedExpired("the cursor is too old", connection=self.name)
            size = 1 if "short_page" in struck else self._feed_page
            if self.org.habit == "delta":
                return self._delta(object_name, fields, cursor, size)
            return self._keyset(object_name, fields, cursor, size)

    def _delta(
        self, object_name: str, fields: Sequence[str], cursor: str | None, size: int
    ) -> ChangePage:
        seen, _, issued = (cursor or "0").partition(" ")
        seconds = self.stage.scheduler.seconds
        if issued and seconds - float(issued) > TOKEN_SECONDS and not self.stage.faults.off:
            self.stage.truth.probes["delta token expired"] += 1
            raise FeedExpired("the token has expired", connection=self.name)
        news = [
            r
            for r in self.org.records(object_name, gone=True)
            if r.version > int(seen) and (r.gone is None or cursor is not None)
        ]
        news.sort(key=lambda r: r.version)
        page = news[:size]
        last = page[-1].version if page else int(seen)
        return self._page(object_name, fields, page, f"{last} {seconds}", len(news) > len(page))

    def _keyset(
        self, object_name: str, fields: Sequence[str], cursor: str | None, size: int
    ) -> ChangePage:
        """`since | stamp | id` while pages are read, then the time up to which all was told."""
        now = self.org.clock()
        since, stamp, last_id, until = (cursor or "|||").split("|")
        start = datetime.fromisoformat(since) if since else datetime.min.replace(tzinfo=now.tzinfo)
        until = until or now.isoformat()
        after = (datetime.fromisoformat(stamp), last_id) if stamp else (start, "")
        news = [
            r
            for r in self.org.records(object_name, gone=True)
            if (r.modified_at, r.record_id) > after and self._findable(r.record_id)
        ]
        news.sort(key=lambda r: (r.modified_at, r.record_id))
        page = news[:size]
        more = len(news) > len(page)
        if more:
            mark = f"{page[-1].modified_at.isoformat()}|{page[-1].record_id}"
            following = f"{since}|{mark}|{until}"
        else:
            told = datetime.fromisoformat(until) - timedelta(seconds=LATEST_SECONDS + 1)
            following = f"{told.isoformat()}|||"
        return self._page(object_name, fields, page, following, more)

    def _page(
        self,
        object_name: str,
        fields: Sequence[str],
        page: Sequence[Stored],
        cursor: str,
        more: bool,
    ) -> ChangePage:
        tells = self.capabilities.feed_tells_deletes
        lag = 0.0 if self.org.habit == "delta" else LATEST_SECONDS
        return ChangePage(
            records=tuple(
                self.org.as_remote(object_name, r, fields) for r in page if r.gone is None
            ),
            gone=tuple(r.gone for r in page if r.gone is not None and tells),
            cursor=cursor,
            more=more,
            as_of=self.org.clock() - timedelta(seconds=lag),
        )

    def _findable(self, record_id: str) -> bool:
        return self.org.found_at.get(record_id, 0.0) <= self.stage.scheduler.seconds

    def _wait_for_rows(self, record_ids: Sequence[str]) -> None:
        """Wait for the transaction of a user that holds a row."""
        seconds = self.stage.scheduler.seconds
        until = max((self.org.held_until.get(r, 0.0) for r in record_ids), default=0.0)
        if until > seconds and not self.stage.scheduler.is_quiet:
            self.stage.truth.probes["commit visible later than stamped"] += 1
            self.stage.scheduler.pause(until - seconds + 0.001)

    def _seen(self, found: Iterable[RemoteRecord | Gone]) -> None:
        for record in found:
            if isinstance(record, RemoteRecord) and record.object == "Deal":
                for theirs, ours in {**TOKENS, "Stage": "Stage"}.items():
                    if theirs in record.fields:
                        place = f"{self.name} {record.record_id} {ours}"
                        self.stage.truth.last_read[place] = token(ours, record.fields[theirs])
