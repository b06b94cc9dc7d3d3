"""Table definitions as the Web API gives them (`EntityDefinitions`).

Dataverse developer guide, "Query table definitions using the Web API".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid5

from sandbox.dynamics365.columns import CHOICES, LOOKUPS, Column, Kind, Table

_NAMES = UUID("3f0d8d9e-55a7-4c8c-8a43-0d365d365d36")
_TYPED = {
    "StringAttributeMetadata": {Kind.TEXT},
    "MemoAttributeMetadata": {Kind.MEMO},
    "IntegerAttributeMetadata": {Kind.INTEGER},
    "MoneyAttributeMetadata": {Kind.MONEY},
    "DecimalAttributeMetadata": {Kind.DECIMAL},
    "DoubleAttributeMetadata": set[Kind](),
    "BooleanAttributeMetadata": {Kind.BOOLEAN},
    "DateTimeAttributeMetadata": {Kind.DATE, Kind.DATETIME},
    "LookupAttributeMetadata": set(LOOKUPS),
    "PicklistAttributeMetadata": {Kind.PICKLIST},
    "StateAttributeMetadata": {Kind.STATE},
    "StatusAttributeMetadata": {Kind.STATUS},
    "MultiSelectPicklistAttributeMetadata": {Kind.CHOICES},
}
_ACCESS = ("Create", "Read", "Write", "Delete", "Append", "AppendTo", "Assign", "Share")


def privilege_id(access: str, table: Table) -> str:
    """The id of a table's privilege; the same in every environment here."""
    return str(uuid5(_NAMES, f"prv{access}{table.schema_name}"))


def _label(text: str) -> dict[str, Any]:
    localized = {"Label": text, "LanguageCode": 1033, "IsManaged": False}
    return {"LocalizedLabels": [localized], "UserLocalizedLabel": localized}


def definition(table: Table, *, tracked: bool, versioned: bool) -> dict[str, Any]:
    """`EntityMetadata`, the properties a client asks for."""
    return {
        "MetadataId": str(uuid5(_NAMES, table.name)),
        "LogicalName": table.name,
        "SchemaName": table.schema_name,
        "EntitySetName": table.set_name,
        "PrimaryIdAttribute": table.primary_id,
        "PrimaryNameAttribute": table.primary_name,
        "ChangeTrackingEnabled": tracked,
        "IsOptimisticConcurrencyEnabled": versioned,
        "DisplayName": _label(table.label),
        "Privileges": [
            {
                "CanBeBasic": True,
                "CanBeGlobal": True,
                "Name": f"prv{access}{table.schema_name}",
                "PrivilegeId": privilege_id(access, table),
                "PrivilegeType": access,
            }
            for access in _ACCESS
        ],
    }


def attribute(column: Column, table: Table) -> dict[str, Any]:
    """`AttributeMetadata` with the properties of its own type."""
    kind = "DateTime" if column.kind is Kind.DATE else column.kind.value
    found: dict[str, Any] = {
        "MetadataId": str(uuid5(_NAMES, f"{table.name}.{column.name}")),
        "LogicalName": column.name,
        "SchemaName": column.schema_name,
        # Newer types have a type name only.
        "AttributeType": "Virtual" if column.kind is Kind.CHOICES else kind,
        "AttributeTypeName": {"Value": f"{kind}Type"},
        "AttributeOf": None,
        "IsValidForRead": True,
        "IsValidForCreate": column.writable,
        "IsValidForUpdate": column.writable,
        "RequiredLevel": {"Value": "ApplicationRequired" if column.required else "None"},
        "SourceType": 0,
        "DisplayName": _label(column.label),
    }
    if column.length is not None:
        found["MaxLength"] = column.length
    if column.kind is Kind.MONEY:
        found |= {"Precision": 2, "PrecisionSource": 0}
    if column.kind is Kind.DECIMAL:
        found["Precision"] = 2
    if column.kind in (Kind.DATE, Kind.DATETIME):
        behaviour = "DateOnly" if column.kind is Kind.DATE else "UserLocal"
        found["DateTimeBehavior"] = {"Value": behaviour}
    if column.kind in LOOKUPS:
        found["Targets"] = list(column.targets)
    if column.kind in CHOICES:
        found["OptionSet"] = {"Options": [_option(o, column, table) for o in column.options]}
        found["GlobalOptionSet"] = None
    return found


def _option(option: Any, column: Column, table: Table) -> dict[str, Any]:
    found = {"Value": option.value, "Label": _label(option.label), "Color": None}
    if column.kind is Kind.STATUS:
        found["State"] = option.state
    if column.kind is Kind.STATE:
        found["DefaultStatus"] = table.default_status[option.value]
    return found


def attributes(table: Table, cast: str | None) -> list[dict[str, Any]] | None:
    """All columns, or those of one type with that type's properties; None for an unknown type."""
    kinds = set(Kind) if cast is None else _TYPED.get(cast)
    if kinds is None:
        return None
    return [attribute(column, table) for column in table.columns if column.kind in kinds]


def keys(table: Table, status: str) -> list[dict[str, Any]]:
    """`EntityKeyMetadata` of the alternate keys."""
    return [
        {
            "SchemaName": name,
            "LogicalName": name.lower(),
            "KeyAttributes": list(columns),
            "EntityKeyIndexStatus": status,
        }
        for name, columns in table.keys.items()
    ]


def many_to_one(table: Table) -> list[dict[str, Any]]:
    """`OneToManyRelationshipMetadata` of the lookups, with their navigation properties."""
    return [
        {
            "SchemaName": f"{table.name}_{column.name}_{target}",
            "ReferencingEntity": table.name,
            "ReferencingAttribute": column.name,
            "ReferencedEntity": target,
            "ReferencingEntityNavigationPropertyName": column.navigation(target),
        }
        for column in table.columns
        for target in column.targets
    ]


def picked(body: Mapping[str, Any], select: list[str], expand: list[str]) -> dict[str, Any]:
    """Keep what `$select` and `$expand` name; complex properties of a definition are selected."""
    hidden = {"OptionSet", "GlobalOptionSet"} - set(expand)
    kept = {n: v for n, v in body.items() if n not in hidden}
    if not select:
        return kept
    return {n: v for n, v in kept.items() if n in {*select, *expand, "MetadataId"}}
