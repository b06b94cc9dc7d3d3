"""Values to and from the JSON and the queries of the Web API, by the type of the column.

Formats: Dataverse developer guide, "Web API types and operations" and "Filter rows using OData".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from connectors.dynamics365.tables import CURRENCY, USER_OWNER, Column, Table
from registration_core.contracts import FieldType, Value

#: Asks for the table a lookup points at, where several are possible.
ANNOTATIONS = 'odata.include-annotations="Microsoft.Dynamics.CRM.lookuplogicalname"'
_CHOICE = re.compile(r"-?\d+")
_IN = "Microsoft.Dynamics.CRM.In"
_CONTAINS = "Microsoft.Dynamics.CRM.ContainValues"
_LOGICAL_NAME = "@Microsoft.Dynamics.CRM.lookuplogicalname"
_GUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
#: Kinds of columns that stand for records of one table among several.
_DIVIDED = ("Customer", USER_OWNER)
#: Characters that an alternate key may not hold when a record is addressed by it.
_NOT_IN_KEYS = frozenset("/<>*%&:\\?+")


class UnfitValueError(Exception):
    """A value cannot be sent in this column; the message says why."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


def moment(text: str) -> datetime:
    """Read a time as the Web API words it."""
    return datetime.fromisoformat(text).astimezone(UTC)


def from_wire(column: Column, body: Mapping[str, Any], codes: Mapping[str, str]) -> Value:
    """Read one field of a row; `codes` are the ISO codes of the currencies by id."""
    raw = body.get(column.wire_name)
    if raw is None or raw == "":
        return None
    kind = column.schema.type
    if column.schema.name == CURRENCY:
        return codes[str(raw)]
    if kind is FieldType.REFERENCE:
        target = body.get(column.wire_name + _LOGICAL_NAME)
        elsewhere = column.kind in _DIVIDED and target not in column.navigation
        return None if elsewhere else str(raw).lower()
    if kind is FieldType.NUMBER:
        return Decimal(raw)
    if kind is FieldType.BOOLEAN:
        return bool(raw)
    if kind is FieldType.DATE:
        return date.fromisoformat(str(raw)[:10])
    if kind is FieldType.DATETIME:
        return moment(str(raw))
    if kind is FieldType.MULTI_PICKLIST:
        return tuple(sorted(str(raw).split(",")))
    return unicodedata.normalize("NFC", str(raw))


def to_wire(table: Table, name: str, value: Value, ids: Mapping[str, str]) -> dict[str, Any]:
    """Word one field for a write; `ids` are the ids of the currencies by ISO code.

    Raises `UnfitValueError` for a value that the column cannot hold.
    """
    column = table.columns[name]
    if column.navigation:
        return _bound(table, column, value, ids)
    return {column.wire_name: None if value is None else _scalar(column, value)}


def _bound(table: Table, column: Column, value: Value, ids: Mapping[str, str]) -> dict[str, Any]:
    if column.ambiguous:
        raise UnfitValueError(column.schema.name, "an id does not say which table it is of")
    ((target, property_name),) = column.navigation.items()
    if value is None:
        return {f"{property_name}@odata.bind": None}
    if column.schema.name == CURRENCY:
        record_id = _currency_id(column, value, ids)
    else:
        record_id = _guid(column, value)
    return {f"{property_name}@odata.bind": f"/{table.target_sets[target]}({record_id})"}


def is_guid(text: str) -> bool:
    """Tell whether a text can be the id of a record."""
    return _GUID.fullmatch(text) is not None


def _guid(column: Column, value: Value) -> str:
    if not is_guid(str(value)):
        raise UnfitValueError(column.schema.name, f"{value!r} is not a record id")
    return str(value).lower()


def _currency_id(column: Column, value: Value, ids: Mapping[str, str]) -> str:
    found = ids.get(str(value))
    if found is None:
        raise UnfitValueError(
            column.schema.name, f"the environment has no currency {value}: add it there first"
        )
    return found


def _scalar(column: Column, value: Value) -> Any:
    kind, name = column.schema.type, column.schema.name
    if kind is FieldType.NUMBER:
        return _number(column, value)
    if kind is FieldType.PICKLIST:
        try:
            return int(str(value))
        except ValueError:
            raise UnfitValueError(name, f"{value!r} is not the number of a choice") from None
    if kind is FieldType.MULTI_PICKLIST and isinstance(value, tuple):
        return ",".join(value)
    if kind is FieldType.BOOLEAN and isinstance(value, bool):
        return value
    if kind is FieldType.DATETIME and isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    # A datetime is a date too, but the column takes a day only.
    if kind is FieldType.DATE and isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    if kind is FieldType.TEXT and isinstance(value, str):
        return value
    raise UnfitValueError(name, f"{value!r} does not fit the type {kind}")


def _number(column: Column, value: Value) -> int | float:
    if not isinstance(value, Decimal) or not value.is_finite():
        raise UnfitValueError(column.schema.name, f"{value!r} is not a number")
    if column.whole or value == value.to_integral_value():
        whole = int(value)
        if whole != value:
            raise UnfitValueError(column.schema.name, f"{value} is not a whole number")
        return whole
    number = float(value)
    if Decimal(repr(number)) != value:
        raise UnfitValueError(
            column.schema.name, f"{value} has more digits than JSON numbers carry exactly"
        )
    return number


def literal(column: Column, value: Value, ids: Mapping[str, str]) -> str:
    """Word a value for `$filter`; quotes in text are doubled, so no value can end its literal."""
    kind = column.schema.type
    if value is None:
        return "null"
    if column.schema.name == CURRENCY:
        return _currency_id(column, value, ids)
    if kind is FieldType.REFERENCE or column.kind == "Uniqueidentifier":
        return _guid(column, value)
    scalar = _scalar(column, value)
    if isinstance(scalar, bool):
        return "true" if scalar else "false"
    if isinstance(scalar, int | float):
        return format(Decimal(repr(scalar)), "f")
    if kind in (FieldType.DATE, FieldType.DATETIME):
        return str(scalar)
    return quoted(str(scalar))


def equals(column: Column, value: Value, ids: Mapping[str, str]) -> str:
    """Word that a column has a value; for a multi-select choice, that the value is among its own."""
    if column.schema.type is FieldType.MULTI_PICKLIST and value is not None:
        if not isinstance(value, str) or not _CHOICE.fullmatch(value):
            raise UnfitValueError(column.schema.name, f"{value!r} is not the number of a choice")
        return f"{_CONTAINS}(PropertyName='{column.wire_name}',PropertyValues=['{value}'])"
    return f"{column.wire_name} eq {literal(column, value, ids)}"


def among(column: Column, ids: Iterable[Value]) -> str:
    """Word that an id is one of many, as one condition."""
    told = ",".join(f'"{_guid(column, one)}"' for one in ids)
    return f"{_IN}(PropertyName='{column.wire_name}',PropertyValues=[{told}])"


def quoted(text: str) -> str:
    """Word a text literal."""
    return "'" + text.replace("'", "''") + "'"


def address_by_key(table: Table, key_field: str, key: str) -> str:
    """Word the address of a record by an alternate key; `UnfitValueError` if the key cannot be one."""
    bad = sorted(_NOT_IN_KEYS & set(key))
    if bad or not key:
        reason = f"a key may not hold {' '.join(bad)}" if bad else "the key is empty"
        raise UnfitValueError(key_field, reason)
    return f"{table.set_name}({key_field}={quote(quoted(key))})"


def query(table: Table, **options: str) -> str:
    """Word a query on a table's set; options are given without their dollar sign."""
    return address(table.set_name, **options)


def address(set_name: str, **options: str) -> str:
    """Word a query on a set; options are given without their dollar sign, empty ones left out."""
    given = [f"${name}={quote(value, safe=',')}" for name, value in options.items() if value]
    return f"{set_name}?{'&'.join(given)}"


def either(terms: Iterable[str]) -> str:
    """Join terms of a filter by *or*."""
    return "(" + " or ".join(terms) + ")"
