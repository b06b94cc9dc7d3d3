"""The Web API as calls on the engine: addresses, query options, preferences, conditions, batches.

Knows requests and answers but no server; `app.py` puts it behind HTTP. Routes are those that the
connector, the Python SDK of Dataverse or DynamicsWebApi send; all else answers 501. Sources, in the
Dataverse developer guide where nothing else is said:

| Route | Page |
|---|---|
| `WhoAmI`, `RetrieveUserPrivileges` | Web API reference, functions of these names |
| `POST set`, `GET set(key)` | "Create a table row", "Retrieve a table row" |
| `PATCH set(key)`, `DELETE set(key)` | "Update and delete table rows", "Conditional operations", "Use Upsert" |
| `GET set`, `set/$count` | "Query data using the Web API", see `reading.py` |
| `WinOpportunity`, `LoseOpportunity` | Web API reference, actions of these names |
| `EntityDefinitions` | "Query table definitions", see `metadata.py` |
| all others | in the module each leads to |
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sandbox.dynamics365 import batches, bulk, csdl, customising, duplicates, metadata, reading
from sandbox.dynamics365.calls import API, Answer, Call, refusal
from sandbox.dynamics365.columns import Table
from sandbox.dynamics365.engine import DynamicsOrg
from sandbox.dynamics365.errors import (
    WebApiError,
    exists,
    missing,
    not_permitted,
    payload_error,
    stale,
)
from sandbox.dynamics365.query import parse_filter, parse_select
from sandbox.dynamics365.schema import BY_SET, TABLES
from sandbox.dynamics365.values import etag, from_payload, key_values, represent
from sandbox.records import Row

_CAST = "Microsoft.Dynamics.CRM."
_DEFINITIONS = frozenset({"EntityDefinitions", "RelationshipDefinitions", "PublishXml"})
#: Query options that one row takes: Dataverse developer guide, "Retrieve a table row".
_OF_A_ROW = frozenset({"$select"})
_CLOSING = {"WinOpportunity": 1, "LoseOpportunity": 2}


def not_built(call: Call) -> Answer:
    """Say plainly that the stand-in has no such operation."""
    message = f"The stand-in does not implement {call.method} {API}{call.path}."
    return refusal(WebApiError(501, "0x80040315", message))


def _split(path: str) -> tuple[str, str | None, str]:
    """Split `set(key)/rest`; a key may hold slashes in quotes."""
    match = re.fullmatch(r"(\$?\w+)(?:\(((?:[^')]|'(?:[^']|'')*')*)\))?(?:/(.*?)(?:\(\))?)?", path)
    if match is None:
        raise WebApiError(404, "0x80060888", f"Resource not found for the segment '{path}'.")
    return match.group(1), match.group(2), match.group(3) or ""


def _picked(call: Call, body: dict[str, Any]) -> dict[str, Any]:
    select = parse_select(call.query.get("$select", ""))
    expand = re.findall(r"(\w+)(?:\([^)]*\))?", call.query.get("$expand", ""))
    return metadata.picked(body, select, expand)


def _listed(call: Call, bodies: list[dict[str, Any]]) -> Answer:
    if "$filter" in call.query:
        asked = parse_filter(call.query["$filter"])
        bodies = [body for body in bodies if asked.fits(body.get)]
    return Answer(200, {"value": [_picked(call, body) for body in bodies]})


class WebApi:
    """Answers calls on one environment; each call is one transaction."""

    def __init__(self, org: DynamicsOrg) -> None:
        self.org = org

    def handle(self, call: Call) -> Answer:
        """Answer one call; refusals become answers."""
        try:
            if call.method == "POST" and call.path == "$batch":
                with self.org.store.exclusive():
                    return batches.answer(self.org, call, self.handle)
            with self.org.store.transaction(), self.org.tagging(call.query.get("tag", "")):
                return self._routed(call)
        except WebApiError as error:
            return refusal(error)

    def _routed(self, call: Call) -> Answer:
        if call.method == "GET" and call.path in ("WhoAmI", "WhoAmI()"):
            body = {
                "BusinessUnitId": self.org.business_unit_id,
                "UserId": call.user_id,
                "OrganizationId": self.org.org_id,
            }
            return Answer(200, body, {"x-ms-dop-hint": "4"})
        if call.method == "GET" and call.path == "$metadata":
            return Answer(200, csdl.document(), {"Content-Type": "application/xml"})
        if call.method == "GET" and call.path == duplicates.FUNCTION:
            return duplicates.answer(self.org, call)
        if call.method == "POST" and call.path in _CLOSING:
            return self._close(call, _CLOSING[call.path])
        if call.path.split("(")[0].split("/")[0] in _DEFINITIONS:
            if call.method == "GET":
                return self._definitions(call)
            return customising.answer(self.org, call) or not_built(call)
        set_name, key, rest = _split(call.path)
        table = BY_SET.get(set_name)
        if table is None:
            raise WebApiError(
                404, "0x80060888", f"Resource not found for the segment '{set_name}'."
            )
        if key is None:
            return self._set(call, table, rest)
        if rest == f"{_CAST}RetrieveUserPrivileges" and table.name == "systemuser":
            return self._privileges(call, key)
        if rest:
            return not_built(call)
        verbs: dict[str, Callable[[Call, Table, str], Answer]] = {
            "GET": self._get,
            "PATCH": self._patch,
            "DELETE": self._delete,
        }
        handler = verbs.get(call.method)
        return handler(call, table, key) if handler else not_built(call)

    # Sets and rows -----------------------------------------------------------------------------

    def _set(self, call: Call, table: Table, rest: str) -> Answer:
        if call.method == "POST" and not rest:
            self.org.require("Create", table, call.user_id)
            values = from_payload(table, call.json(table.set_name), self.org.locate)
            return self._written(
                call, table, self.org.create(table, values, call.user_id), created=True
            )
        if call.method == "POST":
            return bulk.answer(self.org, call, table, rest) or not_built(call)
        if call.method != "GET" or rest not in ("", "$count"):
            return not_built(call)
        self.org.require("Read", table, call.user_id)
        if rest == "$count" and "$deltatoken" in call.query:
            return not_built(call)
        if rest == "$count":
            return Answer(200, str(len(reading.filtered(self.org, table, call))))
        if reading.tracked(call):
            return reading.changes(self.org, table, call)
        return reading.rows(self.org, table, call)

    def _find(self, table: Table, key: str) -> Row:
        record_id = self.org.locate(table, key)
        row = self.org.store.get(table.name, record_id) if record_id else None
        if row is None:
            if isinstance(key_values(table, key), str):
                raise missing(table.label, key)
            raise WebApiError(
                404, "0x80060891", f"A record with the specified key values does not exist in {key}"
            )
        return row

    def _get(self, call: Call, table: Table, key: str) -> Answer:
        self.org.require("Read", table, call.user_id)
        reading.require_known(call, _OF_A_ROW)
        row = self._find(table, key)
        if row.id in self.org.behaviour.unseen:
            raise not_permitted(call.user_id, f"prvRead{table.schema_name}")
        headers = {"ETag": etag(row)}
        if call.headers.get("if-none-match") == etag(row):
            return Answer(304, None, headers)
        select = parse_select(call.query.get("$select", ""))
        body = represent(table, row, select, annotate=call.annotates)
        context = {"@odata.context": f"{call.root}$metadata#{table.set_name}/$entity"}
        return Answer(200, {**context, **body}, headers)

    def _patch(self, call: Call, table: Table, key: str) -> Answer:
        values = from_payload(table, call.json(table.set_name), self.org.locate)
        address = key_values(table, key)
        record_id = self.org.locate(table, key)
        match = call.headers.get("if-match")
        if record_id is None:
            if match is not None:
                raise missing(table.label, key)
            self.org.require("Create", table, call.user_id)
            # For a row that is not there the body wins over the address.
            values = values if isinstance(address, str) else {**address, **values}
            new_id = address if isinstance(address, str) else None
            duplicates.require_none(self.org, call, table, values)
            row = self.org.create(table, values, call.user_id, new_id)
            return self._written(call, table, row, created=True, key=key)
        if call.headers.get("if-none-match") == "*":
            raise exists()
        self.org.require("Write", table, call.user_id)
        row = self._find(table, key)
        if match not in (None, "*", etag(row)):
            raise stale()
        if not isinstance(address, str):
            values = {name: value for name, value in values.items() if name not in address}
        row = self.org.update(table, row, values, call.user_id)
        return self._written(call, table, row, created=False, key=key)

    def _written(
        self, call: Call, table: Table, row: Row, *, created: bool, key: str | None = None
    ) -> Answer:
        headers = {"ETag": etag(row)}
        address = f"{call.root}{table.set_name}({row.id})"
        if call.prefers("return=representation"):
            select = parse_select(call.query.get("$select", ""))
            body = represent(table, row, select, annotate=call.annotates)
            headers["Preference-Applied"] = "return=representation"
            return Answer(201 if created else 200, body, headers, address if created else "")
        # An upsert by alternate key repeats the key, not the id.
        headers["OData-EntityId"] = f"{call.root}{table.set_name}({key or row.id})"
        if created:
            headers["Location"] = headers["OData-EntityId"]
        return Answer(204, None, headers, address if created else "")

    def _delete(self, call: Call, table: Table, key: str) -> Answer:
        self.org.require("Delete", table, call.user_id)
        row = self._find(table, key)
        if call.headers.get("if-match") not in (None, "*", etag(row)):
            raise stale()
        self.org.delete(table, row, call.user_id)
        return Answer(204, None)

    def _close(self, call: Call, state: int) -> Answer:
        table = TABLES["opportunity"]
        self.org.require("Write", table, call.user_id)
        self.org.require("AppendTo", table, call.user_id)
        for access in ("Create", "Append"):
            self.org.require(access, TABLES["opportunityclose"], call.user_id)
        body = call.json(table.set_name)
        close = body.get("OpportunityClose")
        if not isinstance(close, dict):
            raise payload_error(table.set_name, "The parameter 'OpportunityClose' is missing.")
        address = re.fullmatch(
            r"/?opportunities\((.*)\)", str(close.get("opportunityid@odata.bind"))
        )
        if address is None:
            raise payload_error(table.set_name, "'opportunityid@odata.bind' names no opportunity.")
        status = body.get("Status")
        row = self._find(table, address.group(1))
        self.org.close_opportunity(
            row, state, close, None if status is None else int(str(status)), call.user_id
        )
        return Answer(204, None)

    # Metadata ----------------------------------------------------------------------------------

    def _privileges(self, call: Call, user_id: str) -> Answer:
        self.org.require("Read", TABLES["systemuser"], call.user_id)
        if self.org.store.get("systemuser", user_id) is None:
            raise missing("User", user_id)
        privileges = [
            {
                "Depth": self.org.depth(access, table),
                "PrivilegeId": metadata.privilege_id(access, table),
                "BusinessUnitId": self.org.business_unit_id,
                "PrivilegeName": f"prv{access}{table.schema_name}",
            }
            for table in TABLES.values()
            for access in ("Create", "Read", "Write", "Append", "AppendTo")
            if (access, table.name) not in self.org.behaviour.revoked
        ]
        return Answer(200, {"RolePrivileges": privileges})

    def _definition(self, table: Table) -> dict[str, Any]:
        versioned = table.name not in self.org.behaviour.unversioned
        return metadata.definition(table, tracked=self.org.tracks(table), versioned=versioned)

    def _definitions(self, call: Call) -> Answer:
        absent = self.org.behaviour.absent
        match = re.fullmatch(
            r"EntityDefinitions(?:\(LogicalName='(\w+)'\))?(?:/(\w+))?(?:/([\w.]+))?", call.path
        )
        if match is None:
            return not_built(call)
        name, part, cast = match.groups()
        if name is None:
            return _listed(call, [self._definition(table) for table in TABLES.values()])
        table = TABLES.get(name)
        if table is None or (name, "") in absent:
            message = f"Could not find an entity with the specified entity name: {name}."
            raise WebApiError(404, "0x80041102", message)
        if part is None:
            return Answer(200, _picked(call, self._definition(table)))
        listings: dict[str, list[dict[str, Any]] | None] = {
            "Keys": metadata.keys(table, self.org.behaviour.key_status),
            "ManyToOneRelationships": metadata.many_to_one(table),
            "Attributes": metadata.attributes(table, cast and cast.removeprefix(_CAST)),
        }
        listing = listings.get(part)
        if listing is None:
            return not_built(call)
        names = ("LogicalName", "SchemaName", "ReferencingAttribute")
        there = [row for row in listing if absent.isdisjoint((name, row.get(n)) for n in names)]
        return _listed(call, there)
