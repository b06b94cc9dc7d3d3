"""Reading many rows: filters, order, pages, counts, and the tracked feed.

Dataverse developer guide, "Page results using OData" and "Use change tracking to synchronize data
with external systems".
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any
from urllib.parse import quote

from sandbox.dynamics365 import feed
from sandbox.dynamics365.calls import Answer, Call
from sandbox.dynamics365.columns import Table
from sandbox.dynamics365.engine import DynamicsOrg
from sandbox.dynamics365.errors import WebApiError, not_permitted, query_error
from sandbox.dynamics365.literals import require_comparable
from sandbox.dynamics365.query import parse_filter, parse_orderby, parse_select, sort_key
from sandbox.dynamics365.values import property_of, represent, shown
from sandbox.records import Json, Row

_KNOWN = {"$select", "$filter", "$orderby", "$top", "$count", "$skiptoken", "$deltatoken"}
_COUNT_MAX = 5000


class _Descending:
    """Turns the order of one sort key round."""

    def __init__(self, key: tuple[int, str | float]) -> None:
        self.key = key

    def __lt__(self, other: _Descending) -> bool:
        return other.key < self.key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Descending) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def require_known(call: Call, known: Collection[str]) -> None:
    """Refuse query options that are not known here."""
    unknown = {name for name in call.query if name.startswith("$")} - set(known)
    if unknown:
        raise query_error(f"Query option '{min(unknown)}' is not supported.")


def filtered(org: DynamicsOrg, table: Table, call: Call) -> list[Row]:
    """Return the rows that fit the `$filter`, of those that our user sees."""
    require_known(call, _KNOWN)
    unseen = org.behaviour.unseen
    found = [row for row in org.store.rows(table.name) if row.id not in unseen]
    if "$filter" not in call.query:
        return found
    asked = parse_filter(call.query["$filter"])
    columns = {name: property_of(table, name) for name in asked.names}
    for name, kind, text in asked.literals:
        require_comparable(columns[name], kind, text)
    return [
        row
        for row in found
        if asked.fits(
            {name: shown(table, row, column) for name, column in columns.items()}.__getitem__
        )
    ]


def _order(table: Table, call: Call) -> list[tuple[str, bool]]:
    order = parse_orderby(call.query.get("$orderby", ""))
    for name, _ in order:
        property_of(table, name)
    return [*order, (table.primary_id, False)]


def _cookie(call: Call) -> dict[str, Any] | None:
    token = call.query.get("$skiptoken")
    if token is None:
        return None
    match = re.fullmatch(
        r'<cookie pagenumber="(\d+)" pagingcookie="(.*)" istracking="(?:True|False)" />', token
    )
    if match is None:
        raise query_error("Invalid $skiptoken.")
    found: dict[str, Any] = json.loads(match.group(2).replace("&quot;", '"'))
    return {**found, "page": int(match.group(1))}


def _next_link(call: Call, table: Table, page: int, state: dict[str, Any], tracking: str) -> str:
    kept = {n: v for n, v in call.query.items() if n not in ("$skiptoken", "$deltatoken")}
    inner = json.dumps(state).replace('"', "&quot;")
    kept["$skiptoken"] = (
        f'<cookie pagenumber="{page}" pagingcookie="{inner}" istracking="{tracking}" />'
    )
    return _link(call, table, kept)


def _link(call: Call, table: Table, query: dict[str, str]) -> str:
    return f"{call.root}{table.set_name}?" + "&".join(f"{n}={quote(v)}" for n, v in query.items())


def _context(call: Call, table: Table) -> str:
    select = call.query.get("$select", "")
    return f"{call.root}$metadata#{table.set_name}" + (f"({select})" if select else "")


def rows(org: DynamicsOrg, table: Table, call: Call) -> Answer:
    """Answer a query; pages follow a cookie that holds the sort key of the last row given."""
    found = filtered(org, table, call)
    order = _order(table, call)

    def key(row: Row) -> list[Any]:
        values = [(sort_key(shown(table, row, property_of(table, n))), d) for n, d in order]
        return [_Descending(value) if descending else value for value, descending in values]

    found.sort(key=key)
    total = len(found)
    cookie = _cookie(call)
    if cookie is not None:
        kept = [(tuple(value), descending) for value, descending in cookie["last"]]
        last = [_Descending(value) if descending else value for value, descending in kept]
        found = [row for row in found if last < key(row)]
    # With a page size asked for, `$top` is ignored.
    paged = "odata.maxpagesize" in call.headers.get("prefer", "")
    if "$top" in call.query and not paged:
        found = found[: int(call.query["$top"])]
    select = parse_select(call.query.get("$select", ""))
    shown_rows = found[: call.page_size]
    body: dict[str, Any] = {"@odata.context": _context(call, table)}
    if call.query.get("$count") == "true":
        body["@odata.count"] = min(total, _COUNT_MAX)
    body["value"] = [represent(table, row, select, annotate=call.annotates) for row in shown_rows]
    if len(found) > len(shown_rows):
        values = [
            (sort_key(shown(table, shown_rows[-1], property_of(table, n))), d) for n, d in order
        ]
        page = (cookie["page"] if cookie else 1) + 1
        body["@odata.nextLink"] = _next_link(call, table, page, {"last": values}, "False")
    return Answer(200, body)


def tracked(call: Call) -> bool:
    """Tell whether a query is one of the tracked feed: its first, a further page, or a later one."""
    return (
        call.prefers("odata.track-changes")
        or "$deltatoken" in call.query
        or 'istracking="True"' in call.query.get("$skiptoken", "")
    )


def changes(org: DynamicsOrg, table: Table, call: Call) -> Answer:
    """Answer the first or a later page of the tracked feed; the delta link is on the last one."""
    for option in ("$filter", "$orderby", "$expand", "$top"):
        if option in call.query:
            message = (
                f'The "{option}" query parameter isn\'t supported when Change Tracking is enabled.'
            )
            raise WebApiError(400, "0x80060888", message)
    if org.depth("Read", table) != "Global":
        raise not_permitted(call.user_id, f"prvRead{table.schema_name}")
    if not org.tracks(table):
        raise WebApiError(400, "0x80040203", f"Change tracking is not enabled for '{table.name}'.")
    cookie, token = _cookie(call), call.query.get("$deltatoken")
    if cookie is not None:
        deleted, version = cookie["after"]
        mark = feed.resumed(cookie["token"], cookie["since"], (deleted, version))
    elif token is not None:
        mark = feed.from_token(token, org.store, org.behaviour.feed_kept, org.behaviour.expiry)
    else:
        mark = feed.Mark(0, org.store.version, org.clock())
    page = feed.page(org.store, table.name, mark, call.page_size)
    select = parse_select(call.query.get("$select", ""))
    context = _context(call, table)
    values: list[dict[str, Json]] = [
        represent(table, row, select, annotate=call.annotates) for row in page.rows
    ]
    values += [
        {
            "@odata.context": f"{call.root}$metadata#{table.set_name}/$deletedEntity",
            "id": row.id,
            "reason": "deleted",
        }
        for row in page.gone
    ]
    body: dict[str, Any] = {
        "@odata.context": context if mark.since == 0 else f"{context}/$delta",
        "value": values,
    }
    if page.following is None:
        link = {n: v for n, v in call.query.items() if n == "$select"}
        body["@odata.deltaLink"] = _link(
            call, table, {**link, "$deltatoken": page.mark.delta_token}
        )
    else:
        number = (cookie["page"] if cookie else 1) + 1
        state = {
            "since": mark.since,
            "token": mark.delta_token,
            "after": list(page.following.after),
        }
        body["@odata.nextLink"] = _next_link(call, table, number, state, "True")
    return Answer(200, body, {"Preference-Applied": "odata.track-changes"})
