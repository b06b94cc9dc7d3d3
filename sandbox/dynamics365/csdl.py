"""`$metadata`: the tables as an OData 4.0 CSDL document.

OASIS, "OData Common Schema Definition Language (CSDL) XML Representation" 4.0; names and types as
in Dataverse developer guide, "Web API types and operations".
"""

from __future__ import annotations

from collections.abc import Iterable
from xml.sax.saxutils import quoteattr

from sandbox.dynamics365.columns import Column, Kind, Table
from sandbox.dynamics365.schema import TABLES

_NAMESPACE = "Microsoft.Dynamics.CRM"
_EDM = {
    Kind.GUID: "Edm.Guid",
    Kind.TEXT: "Edm.String",
    Kind.MEMO: "Edm.String",
    Kind.CHOICES: "Edm.String",
    Kind.INTEGER: "Edm.Int32",
    Kind.PICKLIST: "Edm.Int32",
    Kind.STATE: "Edm.Int32",
    Kind.STATUS: "Edm.Int32",
    Kind.BIGINT: "Edm.Int64",
    Kind.MONEY: "Edm.Decimal",
    Kind.DECIMAL: "Edm.Decimal",
    Kind.BOOLEAN: "Edm.Boolean",
    Kind.DATE: "Edm.Date",
    Kind.DATETIME: "Edm.DateTimeOffset",
    Kind.LOOKUP: "Edm.Guid",
    Kind.OWNER: "Edm.Guid",
    Kind.CUSTOMER: "Edm.Guid",
}
#: The base type of all rows, and what `ownerid` may lead to.
_BASE = "crmbaseentity"


def document() -> str:
    """Word the document; only tables of the stand-in are in it."""
    body = "".join(_entity_type(table) for table in TABLES.values())
    sets = "".join(_entity_set(table) for table in TABLES.values())
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx">'
        "<edmx:DataServices>"
        f'<Schema Namespace="{_NAMESPACE}" Alias="mscrm" '
        'xmlns="http://docs.oasis-open.org/odata/ns/edm">'
        f'<EntityType Name="{_BASE}" Abstract="true"/>{body}'
        f'<EntityContainer Name="System">{sets}</EntityContainer>'
        "</Schema></edmx:DataServices></edmx:Edmx>"
    )


def _element(name: str, /, *children: str, **attributes: str) -> str:
    told = "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items())
    inner = "".join(children)
    return f"<{name}{told}>{inner}</{name}>" if inner else f"<{name}{told}/>"


def _entity_type(table: Table) -> str:
    key = _element("Key", _element("PropertyRef", Name=table.primary_id))
    properties = [_property(column) for column in table.columns]
    return _element(
        "EntityType",
        key,
        *properties,
        *_navigation(table),
        *_alternate_keys(table),
        Name=table.name,
        BaseType=f"mscrm.{_BASE}",
    )


def _property(column: Column) -> str:
    told = {"Name": column.wire_name, "Type": _EDM[column.kind]}
    if column.kind in (Kind.TEXT, Kind.MEMO):
        told["Unicode"] = "false"
    if column.kind in (Kind.MONEY, Kind.DECIMAL):
        told["Scale"] = "variable"
    computed = (
        _element("Annotation", Term="Org.OData.Core.V1.Computed", Bool="true")
        if not column.writable
        else ""
    )
    return _element("Property", computed, **told)


def _navigation(table: Table) -> Iterable[str]:
    """Navigation properties by name; one that leads to several tables leads to their base."""
    found: dict[str, tuple[Column, list[str]]] = {}
    for column in table.columns:
        for target in column.targets:
            if target in TABLES:
                found.setdefault(column.navigation(target), (column, []))[1].append(target)
    for name, (column, targets) in found.items():
        kind = targets[0] if len(column.targets) == 1 or len(targets) == 1 else _BASE
        constraint = _element(
            "ReferentialConstraint",
            Property=column.wire_name,
            ReferencedProperty=TABLES[targets[0]].primary_id,
        )
        yield _element("NavigationProperty", constraint, Name=name, Type=f"mscrm.{kind}")


def _alternate_keys(table: Table) -> Iterable[str]:
    for columns in table.keys.values():
        references = [
            _element(
                "Record",
                _element("PropertyValue", Property="Name", PropertyPath=name),
                _element("PropertyValue", Property="Alias", String=name),
                Type="Keys.PropertyRef",
            )
            for name in columns
        ]
        collection = _element("Collection", *references)
        record = _element(
            "Record",
            _element("PropertyValue", collection, Property="Key"),
            Type="Keys.AlternateKey",
        )
        term = "OData.Community.Keys.V1.AlternateKeys"
        yield _element("Annotation", _element("Collection", record), Term=term)


def _entity_set(table: Table) -> str:
    bindings = {
        column.navigation(target): TABLES[target].set_name
        for column in table.columns
        for target in column.targets
        if target in TABLES and len(column.targets) == 1
    }
    return _element(
        "EntitySet",
        *(
            _element("NavigationPropertyBinding", Path=path, Target=target)
            for path, target in bindings.items()
        ),
        Name=table.set_name,
        EntityType=f"{_NAMESPACE}.{table.name}",
    )
