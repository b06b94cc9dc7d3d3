"""What changed in a table: by change tracking, or by modification time where tracking is off.

Tracked: a delta link hands out new, changed and deleted rows, and lasts as long as the environment
keeps changes (seven days by default). Stamped: rows by `modifiedon` and id, deletions never, with
two minutes of overlap because a row is stamped before its transaction ends. A cursor of one kind is
no cursor of the other. Dataverse developer guide, "Use change tracking to synchronize data with
external systems".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.dynamics365 import wire
from connectors.dynamics365.errors import feed_expired
from connectors.dynamics365.reading import Reader
from connectors.dynamics365.tables import Table
from connectors.dynamics365.transport import Reply, Transport
from connectors.errors import CallRejected, FeedExpired
from connectors.port import Absence, ChangePage, Gone, RemoteRecord

_PAGE = 1000
#: Longest time a transaction of the platform lasts.
_OVERLAP = timedelta(minutes=2)
_STAMP = "modifiedon"
_OPERATION = "changes"


class Feed:
    """The change feeds of one environment; keeps nothing, the cursor holds it all."""

    def __init__(
        self,
        transport: Transport,
        reader: Reader,
        connection: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._transport = transport
        self._reader = reader
        self._connection = connection
        self._clock = clock

    def changes(self, table: Table, fields: Sequence[str], cursor: str | None) -> ChangePage:
        """Read one page; see `CrmConnector.changes`.

        The cursor holds the link of the next page or of the next changes, the columns it was made
        for, the kind of feed, and the time of the window's first page.
        """
        select = self._reader.select(table, fields)
        kind = "tracked" if table.change_tracking else "stamped"
        state = {"kind": kind, "select": select, "link": "", "as_of": "", "since": ""}
        if cursor is not None:
            state = self._parsed(cursor)
        if state["kind"] != kind:
            raise self._expired("change tracking was switched on")
        if state["select"] != select:
            raise self._expired("the fields to read have changed")
        read = self._tracked if table.change_tracking else self._stamped
        return read(table, fields, state)

    def _tracked(self, table: Table, fields: Sequence[str], state: dict[str, str]) -> ChangePage:
        first = "" if state["link"] else wire.query(table, select=state["select"])
        body, reply = self._page(state, first, "odata.track-changes," if first else "")
        deleted = [row for row in body["value"] if "reason" in row and table.primary_id not in row]
        rows = [row for row in body["value"] if table.primary_id in row]
        following = body.get("@odata.nextLink")
        as_of = state["as_of"] or reply.as_of(self._clock()).isoformat()
        state["link"] = following or body.get("@odata.deltaLink") or state["link"] or first
        state["as_of"] = as_of if following else ""
        gone = [Gone(str(row["id"]).lower(), Absence.DELETED) for row in deleted]
        return self._handed_out(table, rows, fields, gone, state, as_of, following)

    def _stamped(self, table: Table, fields: Sequence[str], state: dict[str, str]) -> ChangePage:
        if _STAMP not in table.columns:
            raise CallRejected(
                f"Dynamics 365 table {table.schema.name} has neither change tracking nor {_STAMP}.",
                connection=self._connection,
                operation=_OPERATION,
                hint=f"Switch on Track changes for the table {table.schema.name}.",
            )
        body, reply = self._page(state, self._window(table, state), "")
        following = body.get("@odata.nextLink")
        as_of = state["as_of"] or (reply.as_of(self._clock()) - _OVERLAP).isoformat()
        state["link"] = following or ""
        state["as_of"] = as_of if following else ""
        if not following:
            state["since"] = as_of
        return self._handed_out(table, body["value"], fields, [], state, as_of, following)

    def _window(self, table: Table, state: Mapping[str, str]) -> str:
        since = state["since"]
        moment = datetime.fromisoformat(since).astimezone(UTC) if since else None
        return wire.query(
            table,
            select=state["select"],
            filter=f"{_STAMP} ge {moment:%Y-%m-%dT%H:%M:%SZ}" if moment else "",
            orderby=f"{_STAMP} asc,{table.primary_id} asc",
        )

    def _page(
        self, state: Mapping[str, str], first: str, preferences: str
    ) -> tuple[dict[str, Any], Reply]:
        headers = {"Prefer": f"{preferences}odata.maxpagesize={_PAGE},{wire.ANNOTATIONS}"}
        if not state["link"]:
            reply = self._transport.get(first, _OPERATION, headers)
            return self._transport.decoded(reply, _OPERATION), reply
        try:
            reply = self._transport.follow(state["link"], _OPERATION, headers)
        except CallRejected as error:  # it leads to another host, or to nothing the service has
            raise self._expired(error.message.removesuffix(".")) from error
        return self._transport.decoded(reply, _OPERATION), reply

    def _handed_out(
        self,
        table: Table,
        rows: Sequence[Mapping[str, Any]],
        fields: Sequence[str],
        gone: Sequence[Gone],
        state: Mapping[str, str],
        as_of: str,
        following: object,
    ) -> ChangePage:
        records = self._reader.records(table, rows, fields)
        return ChangePage(
            records=tuple(record for record in records if isinstance(record, RemoteRecord)),
            gone=(*(record for record in records if isinstance(record, Gone)), *gone),
            cursor=json.dumps(state),
            more=bool(following),
            as_of=datetime.fromisoformat(as_of),
        )

    def _parsed(self, cursor: str) -> dict[str, str]:
        try:
            state = json.loads(cursor)
            return {name: str(state[name]) for name in ("kind", "select", "link", "as_of", "since")}
        except (ValueError, KeyError, TypeError) as error:
            raise self._expired("the cursor cannot be read") from error

    def _expired(self, reason: str) -> FeedExpired:
        return feed_expired(reason, self._connection, _OPERATION)
