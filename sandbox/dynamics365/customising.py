"""Making what an environment lacks of its customisation: tables, columns, lookups, alternate keys.

The stand-in knows its tables by heart; an environment that lacks some of them is one whose
`Behaviour.absent` says so. A definition that is posted must be the one the stand-in knows, and is
there from then on; anything else is not built. Dataverse developer guide, "Create and update table
definitions using the Web API", "Create and update column definitions", "Define alternate keys".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sandbox.dynamics365.calls import Answer, Call
from sandbox.dynamics365.columns import Column, Kind, Table
from sandbox.dynamics365.engine import DynamicsOrg
from sandbox.dynamics365.errors import WebApiError, invalid_argument
from sandbox.dynamics365.schema import TABLES

_CAST = "Microsoft.Dynamics.CRM."
_TYPES = {
    Kind.TEXT: "StringAttributeMetadata",
    Kind.MONEY: "MoneyAttributeMetadata",
    Kind.DATE: "DateTimeAttributeMetadata",
    Kind.BOOLEAN: "BooleanAttributeMetadata",
    Kind.LOOKUP: "LookupAttributeMetadata",
}


def answer(org: DynamicsOrg, call: Call) -> Answer | None:
    """Answer a change of the definitions, or None when it is not one that is built."""
    body = call.json("EntityDefinitions")
    match = re.fullmatch(
        r"EntityDefinitions\(LogicalName='(\w+)'\)(?:/(Attributes|Keys))?", call.path
    )
    table = TABLES.get(match.group(1)) if match else None
    if call.method == "POST" and call.path == "EntityDefinitions":
        return _made(org, _new_table(org, body))
    if call.method == "POST" and call.path == "RelationshipDefinitions":
        return _made(org, _new_lookup(body))
    if call.method == "POST" and call.path == "PublishXml":
        return Answer(204, None) if "ParameterXml" in body else None
    if match is None or table is None:
        return None
    if call.method == "PUT" and match.group(2) is None:
        return _replaced(org, table, body)
    if call.method == "POST" and match.group(2) == "Attributes":
        return _made(org, _new_column(table, body))
    if call.method == "POST" and match.group(2) == "Keys":
        return _made(org, _new_key(table, body))
    return None


def _made(org: DynamicsOrg, what: tuple[str, str]) -> Answer:
    if what not in org.behaviour.absent:
        raise WebApiError(400, "0x80044363", f"{what[1] or what[0]} already exists.")
    org.behaviour.absent.discard(what)
    return Answer(204, None)


def _new_table(org: DynamicsOrg, body: Mapping[str, Any]) -> tuple[str, str]:
    table = next((t for t in TABLES.values() if t.schema_name == body.get("SchemaName")), None)
    if table is None:
        raise _unknown(body)
    primary = [a for a in body.get("Attributes", ()) if a.get("IsPrimaryName")]
    if len(primary) != 1 or _new_column(table, primary[0]) != (table.name, table.primary_name):
        raise invalid_argument("A table needs the definition of its primary column.")
    if body.get("ChangeTrackingEnabled"):
        org.behaviour.untracked.discard(table.name)
    org.behaviour.absent.discard((table.name, table.primary_name))
    return (table.name, "")


def _new_column(table: Table, body: Mapping[str, Any]) -> tuple[str, str]:
    name = str(body.get("SchemaName"))
    column = table.by_name.get(name.lower())
    if column is None or column.schema_name != name:
        raise _unknown(body)
    known: dict[str, Any] = {"@odata.type": f"{_CAST}{_TYPES.get(column.kind)}"}
    if column.length is not None:
        known["MaxLength"] = column.length
    if column.kind is Kind.DATE:
        known["DateTimeBehavior"] = {"Value": "DateOnly"}
    for key, value in known.items():
        if body.get(key) != value:
            raise invalid_argument(
                f"{key} of {name} is {body.get(key)}, here it has to be {value}."
            )
    if not body.get("DisplayName"):
        raise invalid_argument(f"{name} needs a DisplayName.")
    return (table.name, column.name)


def _new_lookup(body: Mapping[str, Any]) -> tuple[str, str]:
    table = TABLES.get(str(body.get("ReferencingEntity")))
    lookup = body.get("Lookup")
    if table is None or not isinstance(lookup, dict):
        raise _unknown(body)
    name, column_name = _new_column(table, lookup)
    column: Column = table.by_name[column_name]
    if column.targets != (body.get("ReferencedEntity"),):
        raise invalid_argument(f"{column_name} leads to {column.targets[0]}.")
    return (name, column_name)


def _new_key(table: Table, body: Mapping[str, Any]) -> tuple[str, str]:
    name = str(body.get("SchemaName"))
    if table.keys.get(name) != tuple(body.get("KeyAttributes", ())):
        raise _unknown(body)
    return (table.name, name)


def _replaced(org: DynamicsOrg, table: Table, body: Mapping[str, Any]) -> Answer | None:
    """Switch change tracking on, the only change to a definition that is built."""
    if body.get("LogicalName") != table.name or not body.get("MetadataId"):
        raise invalid_argument("A definition is replaced as a whole.")
    if not body.get("ChangeTrackingEnabled"):
        return None
    org.behaviour.untracked.discard(table.name)
    return Answer(204, None)


def _unknown(body: Mapping[str, Any]) -> WebApiError:
    message = f"The stand-in cannot make {body.get('SchemaName')}: it has its own tables only."
    return WebApiError(501, "0x80040315", message)
