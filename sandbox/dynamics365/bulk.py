"""`CreateMultiple`, `UpdateMultiple` and `UpsertMultiple` of standard tables: all or nothing.

Dataverse developer guide, "Use bulk operation messages"; which key columns a body may hold is told
in "Use Upsert to create or update a record".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from sandbox.dynamics365.calls import Answer, Call
from sandbox.dynamics365.columns import Table
from sandbox.dynamics365.engine import DynamicsOrg
from sandbox.dynamics365.errors import WebApiError, invalid_argument, missing, payload_error
from sandbox.dynamics365.values import from_payload, key_values
from sandbox.records import Row

_CAST = "Microsoft.Dynamics.CRM."


def answer(org: DynamicsOrg, call: Call, table: Table, action: str) -> Answer | None:
    """Answer a bulk action, or None when it is not one."""
    actions: Mapping[str, Callable[[DynamicsOrg, Call, Table, dict[str, Any]], Row]] = {
        "CreateMultiple": _create,
        "UpdateMultiple": _update,
        "UpsertMultiple": _upsert,
    }
    carry_out = actions.get(action.removeprefix(_CAST))
    if carry_out is None or not action.startswith(_CAST):
        return None
    rows = [carry_out(org, call, table, target) for target in _targets(call, table)]
    if carry_out is _upsert and len({row.id for row in rows}) < len(rows):
        raise invalid_argument("Targets holds the same record twice.")
    if carry_out is not _create:
        return Answer(204, None)
    context = f"{call.root}$metadata#{_CAST}CreateMultipleResponse"
    return Answer(200, {"@odata.context": context, "Ids": [row.id for row in rows]})


def _targets(call: Call, table: Table) -> list[dict[str, Any]]:
    targets = call.json(table.set_name).get("Targets")
    if not isinstance(targets, list) or not targets:
        raise invalid_argument("The required parameter 'Targets' is missing or empty.")
    for target in targets:
        named = target.get("@odata.type") if isinstance(target, dict) else None
        if str(named).removeprefix("#") != f"{_CAST}{table.name}":
            raise payload_error(table.set_name, "An item of Targets needs its '@odata.type'.")
    return targets


def _create(org: DynamicsOrg, call: Call, table: Table, target: dict[str, Any]) -> Row:
    org.require("Create", table, call.user_id)
    return org.create(table, from_payload(table, target, org.locate), call.user_id)


def _update(org: DynamicsOrg, call: Call, table: Table, target: dict[str, Any]) -> Row:
    org.require("Write", table, call.user_id)
    record_id = str(target.get(table.primary_id) or "")
    row = org.store.get(table.name, record_id.lower())
    if row is None:
        raise missing(table.label, record_id)
    fields = {name: value for name, value in target.items() if name != table.primary_id}
    return org.update(table, row, from_payload(table, fields, org.locate), call.user_id)


def _upsert(org: DynamicsOrg, call: Call, table: Table, target: dict[str, Any]) -> Row:
    address = re.fullmatch(rf".*?{table.set_name}\((.*)\)", str(target.get("@odata.id")))
    if address is None:
        raise payload_error(table.set_name, "An item of Targets needs its '@odata.id'.")
    key = key_values(table, address.group(1))
    record_id = org.locate(table, address.group(1))
    values = from_payload(table, target, org.locate)
    row = org.store.get(table.name, record_id) if record_id else None
    if row is not None:
        org.require("Write", table, call.user_id)
        kept = {n: v for n, v in values.items() if isinstance(key, str) or n not in key}
        return org.update(table, row, kept, call.user_id)
    org.require("Create", table, call.user_id)
    if isinstance(key, str):
        return org.create(table, values, call.user_id, key)
    if set(key) & set(values):
        # Seen with the official SDK: microsoft/PowerPlatform-DataverseClient-Python#127.
        raise WebApiError(400, "0x80040216", "An unexpected error occurred.")
    return org.create(table, {**key, **values}, call.user_id)
