"""The one door into a CRM: what every connector offers, and the values that pass through it.

All names of objects and fields are the CRM's own. All values are typed (`contracts.Value`):
the connector turns them to and from the wire by the CRM's own schema (numbers are `Decimal`,
dates `date`, times aware UTC, multi-picklists sorted tuples, empty is `None`). A connector
keeps no state but caches and tokens, does nothing when it is built, sets a time-out on every
call, and may be used by several threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from connectors.deliveries import WebhookDelivery, WebhookRequest
from registration_core.contracts import (
    Condition,
    ConnectionName,
    Fields,
    FieldSchema,
    ObjectSchema,
    Value,
)


@dataclass(frozen=True)
class ConnectionSettings:
    """All a connector is built from; secrets are already resolved from the environment."""

    name: ConnectionName
    #: `production` or `sandbox`: what the admin says this org is.
    environment: str
    #: API root of the org, for example `https://acme.my.salesforce.com`.
    base_url: str
    #: Token endpoint or authority; empty where the kind derives it from `base_url`.
    token_url: str = ""
    #: PEM bundle to trust instead of the system's; empty for the system's.
    ca_file: str = ""
    api_version: str = ""
    #: `client_id`, `client_secret`, `access_token`, … by kind.
    credentials: Mapping[str, str] = field(default_factory=dict)
    #: Kind-specific secrets and options of the webhook door.
    webhook: Mapping[str, str] = field(default_factory=dict)
    connect_timeout_seconds: float = 5.0
    read_timeout_seconds: float = 30.0
    #: From this many records on, writes go as one bulk job where the kind has one; 0 = never.
    bulk_from: int = 0


class FeedKind(StrEnum):
    """How a CRM tells what changed."""

    KEYSET = "keyset"  #: modified stamp and id, with overlap
    DELTA = "delta"  #: a token the CRM hands out
    SEARCH = "search"  #: a search index that lags behind


@dataclass(frozen=True)
class Capabilities:
    """What a CRM can do, as data; callers branch on these and never on the kind."""

    #: Most records one write call takes.
    write_batch: int
    #: Most ids one `read` or `find` call takes; callers pass any number, connectors split.
    read_batch: int
    #: An update may carry the version it was planned on, and the CRM refuses it when stale.
    precondition: bool
    #: Past values of (some) fields can be read, to audit overwrites.
    history: bool
    feed: FeedKind
    #: Feeds also tell of deletions; where False, deletions are found by reading by id.
    feed_tells_deletes: bool
    #: Fields that cost a call of their own wherever they are read.
    costly: frozenset[str] = frozenset()
    #: From `load_from` records on, one write call takes `load_batch` of them, for minutes; 0: never.
    load_from: int = 0
    load_batch: int = 0
    #: Whose CRM it is, in one word, for those that another CRM's own sync reaches.
    vendor: str = ""
    #: What its feeds and queries answer is at best this old, in seconds.
    lag_seconds: int = 0


@dataclass(frozen=True)
class RemoteRecord:
    """One record as the CRM holds it now."""

    object: str
    record_id: str
    fields: Fields
    #: Opaque; an update that carries it is refused once the record has moved on. None if none.
    version: str | None
    created_at: datetime | None
    modified_at: datetime
    #: The last writer was the user this connection signs in as; None where it cannot be told.
    modified_by_us: bool | None = None


class Absence(StrEnum):
    """Why a record that was asked for by id is not there. Never the same as empty fields."""

    DELETED = "deleted"
    MERGED = "merged"
    #: Became a record of another object, as a lead becomes an opportunity.
    CONVERTED = "converted"
    #: Unknown id, or not visible to our user: the CRM does not say which.
    NOT_FOUND = "not_found"


@dataclass(frozen=True)
class Gone:
    """A record that is not there any more; also the outcome of a write to such a record."""

    record_id: str
    absence: Absence
    #: Id of the survivor of a merge or of what it was converted to, where the CRM tells.
    merged_into: str | None = None
    #: Object of that record, where it is another one than that of this record; else empty.
    object: str = ""


@dataclass(frozen=True)
class CreateItem:
    """One record to create; `fields` carries our unique key."""

    key: str
    fields: Fields


@dataclass(frozen=True)
class UpdateItem:
    """A minimal patch of one record: only the fields that change."""

    record_id: str
    fields: Fields
    #: Version of the record that the patch was planned on, if it carried one.
    expected_version: str | None = None
    #: Refuse it if the record was modified after this; for CRMs that take such a condition of single
    #: records only (Salesforce). Others take no notice.
    unmodified_since: datetime | None = None


@dataclass(frozen=True)
class Written:
    """The CRM confirmed the write."""

    record_id: str
    version: str | None = None
    modified_at: datetime | None = None


@dataclass(frozen=True)
class AlreadyExists:
    """A create was refused because a record with our key is there already: read and adopt it."""

    record_id: str | None = None


@dataclass(frozen=True)
class Stale:
    """The precondition failed: somebody changed the record since it was read."""

    record_id: str


@dataclass(frozen=True)
class Refused:
    """The CRM will not take this row however often it is sent."""

    code: str
    message: str
    field: str | None = None
    #: Ids of the records of the same object that the CRM takes for a create that it refused.
    duplicates: tuple[str, ...] = ()
    #: What a person has to do about it, where the code tells; empty where the message has to do.
    remedy: str = ""


@dataclass(frozen=True)
class Deferred:
    """This row was not written but may be later (lock, row-level throttle)."""

    reason: str
    retry_after_seconds: float = 0.0
    #: False where the CRM has not looked at the row yet, so that it has lost no attempt.
    tried: bool = True
    throttled: bool = False  #: the CRM is asked too much: all workers of the connection wait


Outcome = Written | AlreadyExists | Stale | Gone | Refused | Deferred


@dataclass(frozen=True)
class Selection:
    """The answer to a query."""

    records: tuple[RemoteRecord, ...]
    complete: bool  #: False when `limit` cut it short or the CRM did not give every page
    #: The CRM's own clock: changes up to here are certain to be in the answer.
    as_of: datetime


@dataclass(frozen=True)
class ChangePage:
    """One page of a change feed."""

    records: tuple[RemoteRecord, ...]
    gone: tuple[Gone, ...]
    #: Opaque; hand it back to get the next page or, later, the next changes.
    cursor: str
    more: bool  #: more pages are waiting right now
    #: The CRM's own clock: everything changed up to here has been handed out once `more` is False.
    as_of: datetime


@dataclass(frozen=True)
class FieldChange:
    """One past change of one field, from the CRM's own history."""

    record_id: str
    field: str
    value: Value
    changed_at: datetime
    by_us: bool
    old_value: Value = None


@dataclass(frozen=True)
class OrgIdentity:
    """Which org answered, and as whom we are signed in."""

    org_id: str
    user_id: str
    user_name: str = ""


@dataclass(frozen=True)
class ApiBudget:
    """Calls used and allowed in the CRM's own window, as it last said."""

    used: int
    allowed: int
    window: str


@dataclass(frozen=True)
class ObjectNeed:
    """What we will want of an object, for `check`."""

    object: str
    #: The unique field that carries our registration id; None for objects that are only read.
    key_field: str | None = None
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    #: Of `writes`, what goes to another vendor's CRM too: a sync of theirs would carry it twice.
    written_elsewhere: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: Of `writes`, what comes here when it changes there: without history, a loss cannot be proven.
    two_way: tuple[str, ...] = ()
    #: What is written names users, who are looked up by e-mail address.
    names_users: bool = False


@dataclass(frozen=True)
class CheckItem:
    """One step of `connection check`."""

    step: str
    ok: bool
    detail: str = ""
    #: What an admin has to do, in the CRM or here; empty when `ok`.
    remedy: str = ""
    #: Not a failure, but worth knowing (a two-way field without history).
    warning: bool = False


class CrmConnector(Protocol):
    """One connection to one CRM org.

    Every method may raise `ConnectorError` (see `connectors/errors.py`). Reads are idempotent
    and are retried inside for a few seconds; writes are sent exactly once per call.
    """

    @property
    def name(self) -> ConnectionName: ...

    @property
    def capabilities(self) -> Capabilities: ...

    def identity(self) -> OrgIdentity:
        """Say which org this is and who we are in it. One call, cached after the first."""

    def check(self, needs: Sequence[ObjectNeed]) -> tuple[CheckItem, ...]:
        """Prove credentials, permissions, key fields and API budget; never raises ConnectorError."""

    def api_budget(self) -> ApiBudget | None:
        """Tell what the CRM last said of our quota, or None if it has said nothing yet."""

    def describe(self, object_name: str, *, fresh: bool = False) -> ObjectSchema:
        """Describe an object as our user sees it; `CallRejected` if it does not exist.

        Kept for some minutes, unless it has to be `fresh`.
        """

    def create_fields(self, object_name: str, fields: Sequence[FieldSchema]) -> None:
        """Define fields that an object lacks; one that is there already is left as it is.

        `CallRejected` where that is not done over the API: the page of the CRM says how it is.
        """

    def read(
        self, object_name: str, record_ids: Sequence[str], fields: Sequence[str]
    ) -> Mapping[str, RemoteRecord | Gone]:
        """Read records by id, authoritatively. Every id asked for is a key of the answer."""

    def find(
        self, object_name: str, key_field: str, keys: Sequence[str], fields: Sequence[str]
    ) -> Mapping[str, RemoteRecord]:
        """Look records up by a unique field; keys nobody has are missing from the answer.

        Strongly consistent: sees a record as soon as its create was answered.
        """

    def find_gone(
        self, object_name: str, key_field: str, keys: Sequence[str]
    ) -> Mapping[str, Gone]:
        """Say what became of records that had these keys and are not there any more.

        As far as the CRM remembers: a key that is missing from the answer proves nothing.
        """

    def select(
        self, object_name: str, where: Sequence[Condition], fields: Sequence[str], limit: int
    ) -> Selection:
        """Read the records that fit every condition, at most `limit`, in order of id."""

    def count(self, object_name: str, where: Sequence[Condition]) -> int:
        """Count the records that fit every condition."""

    def users(self, addresses: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Return the ids of the active users with each e-mail address, whatever its case.

        Every address that was asked for is a key of the answer; nobody active has it: no id.
        """

    def changes(self, object_name: str, fields: Sequence[str], cursor: str | None) -> ChangePage:
        """Hand out one page of what changed since `cursor`; None starts with everything.

        At-least-once, any order; `FeedExpired` when the cursor is too old.
        """

    def create(
        self, object_name: str, key_field: str, items: Sequence[CreateItem]
    ) -> tuple[Outcome, ...]:
        """Create records, create-only by `key_field`; one outcome per item, in their order.

        An item whose key is there already is `AlreadyExists` and changes nothing. At most
        `write_batch` items (more: `load_from`). After `CrmUnavailable(may_have_happened=True)`
        look every key up before anything else.
        """

    def update(self, object_name: str, items: Sequence[UpdateItem]) -> tuple[Outcome, ...]:
        """Patch records by the CRM's own id; never creates. One outcome per item, in order."""

    def record_url(self, object_name: str, record_id: str) -> str:
        """Return where a person opens a record in their browser; may ask `identity` first."""

    def history(
        self, object_name: str, record_ids: Sequence[str], fields: Sequence[str], since: datetime
    ) -> tuple[FieldChange, ...]:
        """Read past changes of these fields since a time of the CRM's clock, oldest first.

        Empty where `capabilities.history` is False or a field is not tracked.
        """

    def webhook(self, request: WebhookRequest) -> WebhookDelivery:
        """Verify and read one delivery, with no call out; `WebhookRejected` if not authentic."""
