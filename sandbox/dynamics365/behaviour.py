"""What a test may set about the stand-in environment."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta


@dataclass
class Behaviour:
    """What real environments differ in, or the vendor's guide leaves open; tests set it."""

    #: Closed opportunities take changes of other columns through the Web API.
    closed_takes_changes: bool = True
    #: `ExpireChangeTrackingInDays` of the organization table.
    feed_kept: timedelta = timedelta(days=7)
    #: Status and code for a delta token that is older. The guide names none; this one is documented
    #: for the stamps of metadata.
    expiry: tuple[int, str] = (400, "0x80044352")
    #: The app registration has an application user; without one every call is refused.
    application_user: bool = True
    #: (`Create | Write | Read | Append | AppendTo`, table) that the integration user's role lacks.
    revoked: set[tuple[str, str]] = field(default_factory=set)
    #: Depth of a privilege of that role, where it is not `Global`: (access, table) -> depth.
    depths: dict[tuple[str, str], str] = field(default_factory=dict)
    #: Ids of rows of other business units, which a depth below `Global` keeps from our user.
    unseen: set[str] = field(default_factory=set)
    #: Published duplicate detection rules: table -> columns that are the same in two records.
    duplicate_rules: dict[str, tuple[str, ...]] = field(default_factory=dict)
    #: What the definitions lack: (table, "") whole, (table, column), (table, schema name of a key).
    absent: set[tuple[str, str]] = field(default_factory=set)
    #: Tables whose change tracking is off.
    untracked: set[str] = field(default_factory=set)
    #: Tables without optimistic concurrency.
    unversioned: set[str] = field(default_factory=set)
    #: Longest body in bytes; more is answered 413. The guide's "Use bulk operation messages" has
    #: 116.85 MB for the message that is made of it.
    body_max: int = 122_526_105
    #: Operations of a batch behind which each is throttled; None throttles batches as a whole only.
    batch_throttled_after: int | None = None
    #: `EntityKeyIndexStatus` of every alternate key.
    key_status: str = "Active"
