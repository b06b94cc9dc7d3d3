"""What the environment says about its tables, read once and kept: names, types, keys, privileges.

A field is presented under its logical name, with two exceptions: a lookup whose target decides its
navigation property (`customerid`) is one field per navigation property (`customerid_account`), and
`transactioncurrencyid` is the ISO code. An owner, user or team, is read and not written; where it
is a user, it is written as `ownerid_systemuser`. Dataverse developer guide, "Query table
definitions using the Web API".
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from connectors.dynamics365 import batch
from connectors.dynamics365.errors import call_error
from connectors.dynamics365.transport import Transport
from connectors.errors import CallRejected, CrmUnavailable
from registration_core.contracts import FieldSchema, FieldType, ObjectSchema

CURRENCY = "transactioncurrencyid"
USER = "systemuser"
#: `Column.kind` of an owner where it is a user.
USER_OWNER = "UserOwner"
#: What a lead became: Dynamics 365 table reference, "Lead".
QUALIFIED_TO, OPPORTUNITY = "qualifyingopportunityid", "opportunity"
_ISO_LENGTH = 3
_OPERATION = "describe"
_TYPES = {
    "String": FieldType.TEXT,
    "Memo": FieldType.TEXT,
    "Uniqueidentifier": FieldType.TEXT,
    "Integer": FieldType.NUMBER,
    "BigInt": FieldType.NUMBER,
    "Decimal": FieldType.NUMBER,
    "Double": FieldType.NUMBER,
    "Money": FieldType.NUMBER,
    "Boolean": FieldType.BOOLEAN,
    "DateTime": FieldType.DATETIME,
    "Picklist": FieldType.PICKLIST,
    "State": FieldType.PICKLIST,
    "Status": FieldType.PICKLIST,
    "MultiSelectPicklist": FieldType.MULTI_PICKLIST,
    "Lookup": FieldType.REFERENCE,
    "Owner": FieldType.REFERENCE,
    "Customer": FieldType.REFERENCE,
}
_LOOKUPS = frozenset({"Lookup", "Owner", "Customer"})
_WHOLE = frozenset({"Integer", "BigInt"})
_DETAILS = {
    "StringAttributeMetadata": "MaxLength",
    "MemoAttributeMetadata": "MaxLength",
    "MoneyAttributeMetadata": "Precision",
    "DecimalAttributeMetadata": "Precision",
    "DoubleAttributeMetadata": "Precision",
    "DateTimeAttributeMetadata": "DateTimeBehavior",
    "LookupAttributeMetadata": "Targets",
}
_CHOICES = ("Picklist", "State", "Status", "MultiSelectPicklist")


@dataclass(frozen=True)
class Column:
    """One presented field and how it travels."""

    schema: FieldSchema
    #: `AttributeType` of the column behind it.
    kind: str
    #: Property name in answers, `$select` and `$filter`.
    wire_name: str
    #: Navigation properties a reference is written through, by target table.
    navigation: Mapping[str, str] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """The column takes whole numbers only."""
        return self.kind in _WHOLE

    @property
    def logical_name(self) -> str:
        """Name of the column behind it, which a lookup has several fields for."""
        return (
            self.wire_name.removeprefix("_").removesuffix("_value")
            if self.navigation
            else self.wire_name
        )

    @property
    def changes(self) -> bool:
        """A user may change it."""
        return self.schema.updateable or self.ambiguous

    @property
    def ambiguous(self) -> bool:
        """Several tables lie behind one navigation property, and an id does not say which: owners."""
        return self.kind == "Owner" or len(self.navigation) > 1


@dataclass(frozen=True)
class Table:
    """One table as our user sees it."""

    schema: ObjectSchema
    set_name: str
    primary_id: str
    columns: Mapping[str, Column]
    #: Set names of the tables its lookups point at.
    target_sets: Mapping[str, str]
    #: Columns of each alternate key -> is its index `Active`.
    keys: Mapping[tuple[str, ...], bool]
    #: Access right (`Create`, `Read`, `Write`) -> name and id of the privilege.
    privileges: Mapping[str, tuple[str, str]]
    change_tracking: bool
    optimistic_concurrency: bool
    #: State -> status reason it gets when none is named.
    default_status: Mapping[int, int]

    @property
    def merges(self) -> bool:
        """Losers of a merge stay as rows that point at the winner."""
        return {"merged", "masterid"} <= self.columns.keys()

    @property
    def qualifies(self) -> bool:
        """Rows become opportunities, and stay as rows that point at them: leads."""
        return {QUALIFIED_TO, "statecode"} <= self.columns.keys()


class Tables:
    """The table definitions of one environment; thread-safe, read at first use."""

    def __init__(self, transport: Transport, connection: str) -> None:
        self._transport = transport
        self._connection = connection
        self._lock = threading.Lock()
        self._known: dict[str, Table] = {}
        self._sets: dict[str, str] = {}

    def table(self, name: str, fields: Iterable[str] = ()) -> Table:
        """Return a table that has these fields; `CallRejected` names what does not exist.

        A field that is not known is looked for once more in the environment.
        """
        with self._lock:
            wanted = set(fields)
            table = self._known.get(name)
            if table is None or not wanted <= table.columns.keys():
                table = self._known[name] = self._read(name)
            unknown = sorted(wanted - table.columns.keys())
            if unknown:
                raise CallRejected(
                    f"Dynamics 365 table {name} has no column {', '.join(unknown)}.",
                    connection=self._connection,
                    operation=_OPERATION,
                    hint="Correct the field mapping, or make the column: docs/dynamics.md says how.",
                )
            return table

    def forget(self, name: str) -> None:
        """Read a table's definition again at its next use."""
        with self._lock:
            self._known.pop(name, None)

    def _read(self, name: str) -> Table:
        root = f"EntityDefinitions(LogicalName='{name}')"
        if not name.replace("_", "").isalnum() or not name.isascii():
            raise self._unknown(name)
        attributes = f"{root}/Attributes"
        queries = {
            "definition": f"{root}?$select=LogicalName,EntitySetName,PrimaryIdAttribute,DisplayName,"
            "ChangeTrackingEnabled,IsOptimisticConcurrencyEnabled,Privileges",
            "attributes": f"{attributes}?$select=LogicalName,AttributeType,AttributeTypeName,"
            "AttributeOf,IsValidForRead,IsValidForCreate,IsValidForUpdate,RequiredLevel,SourceType,"
            "DisplayName",
            "keys": f"{root}/Keys?$select=SchemaName,KeyAttributes,EntityKeyIndexStatus",
            "relations": f"{root}/ManyToOneRelationships?$select=ReferencingAttribute,"
            "ReferencedEntity,ReferencingEntityNavigationPropertyName",
        }
        for cast, detail in _DETAILS.items():
            queries[cast] = (
                f"{attributes}/Microsoft.Dynamics.CRM.{cast}?$select=LogicalName,{detail}"
            )
        for kind in _CHOICES:
            queries[kind] = (
                f"{attributes}/Microsoft.Dynamics.CRM.{kind}AttributeMetadata?$select=LogicalName"
                "&$expand=OptionSet($select=Options),GlobalOptionSet($select=Options)"
            )
        answers = self._ask(name, queries)
        details: dict[str, dict[str, Any]] = {}
        for key in (*_DETAILS, *_CHOICES):
            for row in answers[key]["value"]:
                details.setdefault(row["LogicalName"], {}).update(row)
        relations = answers["relations"]["value"]
        return _table(answers, details, relations, self._set_names(relations))

    def _ask(self, name: str, queries: Mapping[str, str]) -> dict[str, Any]:
        parts = [batch.Part("GET", f"{self._transport.api_path}{q}") for q in queries.values()]
        headers = {
            "Content-Type": batch.content_type(),
            "Prefer": "odata.continue-on-error",
            # Read past the metadata cache, or a column made a minute ago would be missing.
            "Consistency": "Strong",
        }
        reply = self._transport.read_batch(batch.compose(parts), _OPERATION, headers)
        try:
            replies = dict(zip(queries, batch.parse(reply), strict=True))
            for one in replies.values():
                if one.status == 404:
                    raise self._unknown(name)
                if one.status != 200:
                    raise call_error(one, self._connection, _OPERATION, writes=False)
            return {key: one.json() for key, one in replies.items()}
        except ValueError as error:
            raise CrmUnavailable(
                f"Dynamics 365 gave an unreadable answer to {_OPERATION}.",
                connection=self._connection,
                operation=_OPERATION,
            ) from error

    def _set_names(self, relations: Iterable[Mapping[str, Any]]) -> Mapping[str, str]:
        missing = {r["ReferencedEntity"] for r in relations} - self._sets.keys()
        if missing:
            address = "EntityDefinitions?$select=LogicalName,EntitySetName"
            rows = self._transport.get_json(address, _OPERATION)["value"]
            self._sets = {row["LogicalName"]: row["EntitySetName"] for row in rows}
        return self._sets

    def _unknown(self, name: str) -> CallRejected:
        return CallRejected(
            f"Dynamics 365 has no table {name}, or our user may not see it.",
            connection=self._connection,
            operation=_OPERATION,
            hint="Use the logical name (for example `opportunity`), and check the security role.",
        )


def _table(
    answers: Mapping[str, Any],
    details: Mapping[str, Mapping[str, Any]],
    relations: list[Mapping[str, Any]],
    sets: Mapping[str, str],
) -> Table:
    definition = answers["definition"]
    keys = {
        tuple(key["KeyAttributes"]): key["EntityKeyIndexStatus"] == "Active"
        for key in answers["keys"]["value"]
    }
    columns: dict[str, Column] = {}
    for row in answers["attributes"]["value"]:
        navigation = {
            r["ReferencedEntity"]: r["ReferencingEntityNavigationPropertyName"]
            for r in relations
            if r["ReferencingAttribute"] == row["LogicalName"]
        }
        unique = keys.get((row["LogicalName"],), False)
        for column in _columns(row, details.get(row["LogicalName"], {}), navigation, unique):
            columns[column.schema.name] = column
    states = _options(details.get("statecode", {}))
    return Table(
        schema=ObjectSchema(
            name=definition["LogicalName"],
            label=_label(definition),
            fields={name: column.schema for name, column in columns.items()},
        ),
        set_name=definition["EntitySetName"],
        primary_id=definition["PrimaryIdAttribute"],
        columns=columns,
        target_sets=sets,
        keys=keys,
        privileges={
            row["PrivilegeType"]: (row["Name"], row["PrivilegeId"])
            for row in definition.get("Privileges") or ()
        },
        change_tracking=bool(definition.get("ChangeTrackingEnabled")),
        optimistic_concurrency=bool(definition.get("IsOptimisticConcurrencyEnabled")),
        default_status={
            o["Value"]: o["DefaultStatus"] for o in states if o.get("DefaultStatus") is not None
        },
    )


def _columns(
    row: Mapping[str, Any],
    detail: Mapping[str, Any],
    navigation: Mapping[str, str],
    unique: bool,  # noqa: FBT001
) -> list[Column]:
    name, kind = row["LogicalName"], row["AttributeType"]
    if kind == "Virtual":  # multi-select choices have a type name only
        kind = str((row.get("AttributeTypeName") or {}).get("Value", "")).removesuffix("Type")
    # `AttributeOf` marks the shadow of another column, such as the name of a lookup's record.
    if kind not in _TYPES or row.get("AttributeOf") or not row["IsValidForRead"]:
        return []
    schema = _schema(row, detail, kind, unique)
    if kind not in _LOOKUPS:
        return [Column(schema, kind, name)]
    wire_name = f"_{name}_value"
    if name == CURRENCY:
        text = replace(schema, type=FieldType.TEXT, length=_ISO_LENGTH, references=())
        return [Column(text, kind, wire_name, navigation)]
    if len(set(navigation.values())) <= 1:
        column = Column(schema, kind, wire_name, navigation)
        return _owner(column) if column.ambiguous else [column]
    return [
        Column(
            replace(schema, name=property_name, references=(target,)),
            kind,
            wire_name,
            {target: property_name},
        )
        for target, property_name in navigation.items()
    ]


def _owner(column: Column) -> list[Column]:
    """Present an owner as it is read, and the same where it is a user, which can be written."""
    schema = column.schema
    locked = replace(column, schema=replace(schema, createable=False, updateable=False))
    if USER not in schema.references or not column.navigation:
        return [locked]
    user = replace(
        schema,
        name=f"{schema.name}_{USER}",
        label=f"{schema.label} (user)",
        references=(USER,),
        required=False,
    )
    by = {USER: next(iter(column.navigation.values()))}
    return [locked, Column(user, USER_OWNER, column.wire_name, by)]


def _schema(
    row: Mapping[str, Any],
    detail: Mapping[str, Any],
    kind: str,
    unique: bool,  # noqa: FBT001
) -> FieldSchema:
    field_type = _TYPES[kind]
    if kind == "DateTime" and (detail.get("DateTimeBehavior") or {}).get("Value") == "DateOnly":
        field_type = FieldType.DATE
    options: tuple[str, ...] | None = None
    labels: tuple[str, ...] = ()
    if field_type in (FieldType.PICKLIST, FieldType.MULTI_PICKLIST):
        choices = _options(detail)
        options = tuple(str(option["Value"]) for option in choices)
        labels = tuple(_words(option.get("Label")) for option in choices)
    return FieldSchema(
        name=row["LogicalName"],
        type=field_type,
        label=_label(row),
        length=detail.get("MaxLength"),
        scale=0 if kind in _WHOLE else detail.get("Precision"),
        required=(row.get("RequiredLevel") or {}).get("Value")
        in ("ApplicationRequired", "SystemRequired"),
        createable=bool(row["IsValidForCreate"]),
        updateable=bool(row["IsValidForUpdate"]),
        unique=unique,
        options=options,
        option_labels=labels,
        references=tuple(detail.get("Targets") or ()),
        calculated=row.get("SourceType") in (1, 2),
    )


def _options(detail: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    choices = detail.get("OptionSet") or detail.get("GlobalOptionSet") or {}
    return list(choices.get("Options") or ())


def _label(row: Mapping[str, Any]) -> str:
    return _words(row.get("DisplayName"))


def _words(label: Mapping[str, Any] | None) -> str:
    localized = (label or {}).get("UserLocalizedLabel") or {}
    return str(localized.get("Label") or "")
