"""Duplicate detection: rules that refuse a new record, and what they take for it.

Dataverse developer guide, "Detect duplicate data using the Web API": rules are left out unless the
header `MSCRM.SuppressDuplicateDetection` is `false`; text compares without regard to case.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sandbox.dynamics365.calls import Answer, Call
from sandbox.dynamics365.columns import Table
from sandbox.dynamics365.engine import DynamicsOrg
from sandbox.dynamics365.errors import WebApiError, invalid_argument
from sandbox.dynamics365.schema import TABLES
from sandbox.dynamics365.values import represent
from sandbox.records import Json, Row

FUNCTION = "RetrieveDuplicates(BusinessEntity=@p1,MatchingEntityName=@p2,PagingInfo=@p3)"


def require_none(org: DynamicsOrg, call: Call, table: Table, values: Mapping[str, Json]) -> None:
    """Refuse a record that a rule finds, where the caller asked for rules."""
    asked = call.headers.get("mscrm.suppressduplicatedetection", "").lower() == "false"
    if asked and _found(org, table, values):
        message = (
            "A record was not created or updated because a duplicate of the current record already "
            "exists."
        )
        raise WebApiError(412, "0x80040333", message)


def answer(org: DynamicsOrg, call: Call) -> Answer:
    """Answer the function: the records that the rules take for the one described."""
    entity = _parameter(call, "@p1")
    table = TABLES.get(str(entity.get("@odata.type")).rpartition(".")[2])
    if table is None or call.query.get("@p2") != f"'{table.name}'":
        raise invalid_argument(
            "BusinessEntity and MatchingEntityName have to be of one table here."
        )
    org.require("Read", table, call.user_id)
    count = int(_parameter(call, "@p3").get("Count", 50))
    rows = _found(org, table, entity)[:count]
    shown = [represent(table, row, [], annotate=call.annotates) for row in rows]
    return Answer(200, {"value": shown})


def _found(org: DynamicsOrg, table: Table, values: Mapping[str, Any]) -> list[Row]:
    columns = org.behaviour.duplicate_rules.get(table.name, ())
    wanted = [str(values.get(column) or "").casefold() for column in columns]
    if not columns or not all(wanted):
        return []
    return [
        row
        for row in org.store.rows(table.name)
        if [str(row.fields.get(column) or "").casefold() for column in columns] == wanted
    ]


def _parameter(call: Call, alias: str) -> dict[str, Any]:
    try:
        found = json.loads(call.query.get(alias, ""))
    except ValueError:
        raise invalid_argument(f"The parameter {alias} is not JSON.") from None
    if not isinstance(found, dict):
        raise invalid_argument(f"The parameter {alias} is not a JSON object.")
    return found
