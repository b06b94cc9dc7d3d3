"""Change tracking: what changed in a table since a token, in pages.

Dataverse developer guide, "Use change tracking to synchronize data with external systems": new and
changed rows come first in order of version, deletions last; a row made and deleted between two
tokens shows only as a deletion; tokens expire after `ExpireChangeTrackingInDays`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sandbox.dynamics365.errors import WebApiError, invalid_argument
from sandbox.records import RecordStore, Row

_TOKEN = re.compile(r"(\d+)!(\d\d/\d\d/\d{4} \d\d:\d\d:\d\d)")
_TIME = "%m/%d/%Y %H:%M:%S"


@dataclass(frozen=True)
class Mark:
    """Where a reader stands: a window of versions, `since < version <= upto`, and the last row seen."""

    since: int
    upto: int
    at: datetime
    #: Whether the last row handed out was a deletion, and its version.
    after: tuple[bool, int] = (False, 0)

    @property
    def delta_token(self) -> str:
        """The token that asks for everything after this mark's window."""
        return f"{self.upto}!{self.at.astimezone(UTC).strftime(_TIME)}"


@dataclass(frozen=True)
class FeedPage:
    """One page; `following` is None on the last one."""

    rows: list[Row]
    gone: list[Row]
    mark: Mark
    following: Mark | None


def from_token(token: str, store: RecordStore, keep: timedelta, expiry: tuple[int, str]) -> Mark:
    """Open a window at a token; 400 when it is not one, `expiry` when changes are not kept so long."""
    since, given_at = _parsed(token)
    now = store.clock()
    if now - given_at > keep:
        raise WebApiError(
            *expiry,
            "Version stamp associated with the client has expired. Please perform a full sync.",
        )
    return Mark(since, store.version, now)


def resumed(token: str, since: int, after: tuple[bool, int]) -> Mark:
    """Go on in the window that ends at a token, behind the last row given."""
    upto, at = _parsed(token)
    return Mark(since, upto, at, after)


def _parsed(token: str) -> tuple[int, datetime]:
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise invalid_argument(f"The delta token '{token}' is not valid.")
    at = datetime.strptime(match.group(2), _TIME).replace(tzinfo=UTC)
    return int(match.group(1)), at


def page(store: RecordStore, table: str, mark: Mark, size: int) -> FeedPage:
    """Hand out the next rows of a window; what changes meanwhile belongs to the next window."""
    rows = [r for r in store.rows(table, deleted=True) if mark.since < r.version <= mark.upto]
    if mark.since == 0:
        rows = [row for row in rows if not row.deleted]
    rows = [row for row in rows if (row.deleted, row.version) > mark.after]
    rows.sort(key=lambda row: (row.deleted, row.version))
    taken = rows[:size]
    last = (taken[-1].deleted, taken[-1].version) if taken else mark.after
    return FeedPage(
        rows=[row for row in taken if not row.deleted],
        gone=[row for row in taken if row.deleted],
        mark=mark,
        following=replace(mark, after=last) if size < len(rows) else None,
    )
