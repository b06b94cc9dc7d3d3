"""What a column takes and how it is kept: the checks a write meets, and the values a read shows.

Dataverse developer guide, "Web API types and operations", "Associate and disassociate table rows"
(`@odata.bind`), "Behavior and format of the date and time column", "Use an alternate key".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal

from sandbox.dynamics365.columns import CHOICES, LOOKUPS, Column, Kind, Table
from sandbox.dynamics365.errors import (
    WebApiError,
    invalid_argument,
    missing,
    payload_error,
    query_error,
)
from sandbox.dynamics365.schema import BY_SET, TABLES
from sandbox.records import Json, Row

#: Finds the id of the row a key addresses, or None.
Locate = Callable[[Table, str], str | None]

GUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_RECORD_ADDRESS = re.compile(r"(?:https?://[^/]+/api/data/v[\d.]+)?/?(\w+)\((.*)\)")
_BIND = "@odata.bind"
#: Amounts beyond this cannot be kept exactly as JSON numbers with two places.
_MONEY_MAX = 1_000_000_000_000
_INTEGER_MAX = 2**31 - 1


def stamp(moment: datetime) -> str:
    """Word a time as the Web API does: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def etag(row: Row) -> str:
    """The version of a row as an entity tag."""
    return f'W/"{row.version}"'


def from_payload(table: Table, body: Mapping[str, Json], locate: Locate) -> dict[str, Json]:
    """Turn the JSON of a write into stored names and raw values; lookups are resolved."""
    found: dict[str, Json] = {}
    for name, value in body.items():
        if name.startswith("@odata."):
            continue
        if name.endswith(_BIND):
            found.update(_bound(table, name.removesuffix(_BIND), value, locate))
        elif name not in table.by_name:
            raise payload_error(
                table.set_name,
                f"The property '{name}' does not exist on type 'Microsoft.Dynamics.CRM."
                f"{table.name}'. Make sure to only use property names that are defined by the type.",
            )
        elif table.by_name[name].kind in LOOKUPS:
            if value is not None:
                raise payload_error(
                    table.set_name, f"The navigation property '{name}' takes '{name}{_BIND}'."
                )
            found.update(dict.fromkeys(table.by_name[name].stored_names))
        else:
            found[name] = value
    return found


def _bound(table: Table, navigation: str, value: Json, locate: Locate) -> dict[str, Json]:
    if navigation not in table.by_navigation:
        raise payload_error(
            table.set_name,
            f"An undeclared property '{navigation}' which only has property annotations in the "
            "payload but no property value was found in the payload.",
        )
    column, target = table.by_navigation[navigation]
    cleared: dict[str, Json] = dict.fromkeys(column.stored_names)
    if value is None:
        return cleared
    address = _RECORD_ADDRESS.fullmatch(str(value))
    if address is None:
        raise payload_error(table.set_name, f"'{value}' is not the address of a record.")
    set_name, key = address.groups()
    related = BY_SET.get(set_name)
    takes = (target,) if column.kind is Kind.CUSTOMER else column.targets
    if related is None or related.name not in takes:
        raise invalid_argument(f"'{set_name}' cannot be related through '{navigation}'.")
    record_id = locate(related, key)
    if record_id is None:
        raise missing(related.label, key)
    stored = f"{column.name}_{target}" if column.kind is Kind.CUSTOMER else column.name
    return {**cleared, stored: record_id}


def checked(table: Table, values: Mapping[str, Json]) -> dict[str, Json]:
    """Check stored names and raw values against the table and bring them into kept form."""
    found: dict[str, Json] = {}
    for name, value in values.items():
        column = table.by_stored_name.get(name)
        if column is None:
            raise payload_error(
                table.set_name,
                f"The property '{name}' does not exist on type 'Microsoft.Dynamics.CRM.{table.name}'.",
            )
        if not column.writable:
            raise payload_error(table.set_name, f"The property '{name}' is read-only.")
        found[name] = _kept(table, column, value)
    return found


def _kept(table: Table, column: Column, value: Json) -> Json:
    if value is None or value == "":
        return None
    if column.kind in (Kind.TEXT, Kind.MEMO):
        return _text(table, column, value)
    if column.kind is Kind.BOOLEAN:
        if not isinstance(value, bool):
            raise _wrong_type(table, column, value, "Edm.Boolean")
        return value
    if column.kind in (Kind.MONEY, Kind.DECIMAL):
        return _money(table, column, value)
    if column.kind is Kind.CHOICES:
        return _choices(table, column, value)
    if column.kind in CHOICES or column.kind is Kind.INTEGER:
        return _whole(table, column, value)
    if column.kind is Kind.DATE:
        return _date(table, column, value)
    if not isinstance(value, str) or GUID.fullmatch(value) is None:
        raise _wrong_type(table, column, value, "Edm.Guid")
    return value.lower()


def _text(table: Table, column: Column, value: Json) -> str:
    if not isinstance(value, str):
        raise _wrong_type(table, column, value, "Edm.String")
    if column.length is not None and len(value) > column.length:
        raise WebApiError(
            400,
            "0x80044331",
            f"A validation error occurred. The length of the '{column.name}' attribute of the "
            f"'{table.name}' entity exceeded the maximum allowed length of '{column.length}'.",
        )
    return value


def _money(table: Table, column: Column, value: Json) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong_type(table, column, value, "Edm.Decimal")
    if abs(value) > _MONEY_MAX:
        raise WebApiError(
            400,
            "0x80044330",
            f"A validation error occurred. The value of '{column.name}' on record of type "
            f"'{table.name}' is outside the valid range.",
        )
    return float(Decimal(repr(value)).quantize(Decimal("0.01"), ROUND_HALF_EVEN))


def _whole(table: Table, column: Column, value: Json) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong_type(table, column, value, "Edm.Int32")
    taken = [option.value for option in column.options]
    if (taken and value not in taken) or abs(value) > _INTEGER_MAX:
        raise WebApiError(
            400,
            "0x8004431a",
            f"A validation error occurred. The value {value} of '{column.name}' on record of type "
            f"'{table.name}' is outside the valid range. Accepted Values: "
            + ",".join(map(str, taken)),
        )
    return value


def _choices(table: Table, column: Column, value: Json) -> str:
    """Dataverse developer guide, "Use choices columns": numbers joined by commas, as one text."""
    if not isinstance(value, str) or re.fullmatch(r"-?\d+(,-?\d+)*", value) is None:
        raise _wrong_type(table, column, value, "Edm.String")
    return ",".join(map(str, sorted({_whole(table, column, int(n)) for n in value.split(",")})))


def _date(table: Table, column: Column, value: Json) -> str:
    try:
        day = date.fromisoformat(str(value))
    except ValueError:
        raise _wrong_type(table, column, value, "Edm.Date") from None
    if day.year < 1753:
        raise WebApiError(400, "0x80040239", "DateTime is less than minimum value supported.")
    return day.isoformat()


def _wrong_type(table: Table, column: Column, value: Json, edm: str) -> WebApiError:
    return payload_error(
        table.set_name,
        f"Cannot convert the literal '{value}' of '{column.name}' to the expected type '{edm}'.",
    )


def shown(table: Table, row: Row, column: Column) -> Json:
    """Return what a read shows of one column."""
    fixed: dict[str, Json] = {
        table.primary_id: row.id,
        "createdon": stamp(row.created_at),
        "modifiedon": stamp(row.modified_at),
        "versionnumber": row.version,
        "createdby": row.created_by,
        "modifiedby": row.modified_by,
    }
    if column.name in fixed:
        return fixed[column.name]
    return next(
        (row.fields[name] for name in column.stored_names if row.fields.get(name) is not None), None
    )


def property_of(table: Table, name: str) -> Column:
    """Find a column by the name a query gives it."""
    column = table.by_wire_name.get(name)
    if column is None:
        raise query_error(
            f"Could not find a property named '{name}' on type 'Microsoft.Dynamics.CRM.{table.name}'."
        )
    return column


def represent(
    table: Table, row: Row, select: list[str], *, annotate: Callable[[str], bool]
) -> dict[str, Json]:
    """Word a row as JSON: its tag, its id, the selected columns and the annotations asked for."""
    columns = [property_of(table, name) for name in select] or list(table.columns)
    if any(column.kind is Kind.MONEY for column in columns):
        columns.append(table.by_name["transactioncurrencyid"])
    body: dict[str, Json] = {"@odata.etag": etag(row)}
    for column in columns:
        body[column.wire_name] = shown(table, row, column)
        if column.kind in LOOKUPS:
            body.update(_annotations(row, column, annotate))
    body[table.primary_id] = row.id
    return body


def _annotations(row: Row, column: Column, annotate: Callable[[str], bool]) -> dict[str, Json]:
    targets = [
        column.targets[min(place, len(column.targets) - 1)]
        for place, name in enumerate(column.stored_names)
        if row.fields.get(name) is not None
    ]
    if not targets:
        return {}
    found: dict[str, Json] = {
        "Microsoft.Dynamics.CRM.lookuplogicalname": targets[0],
        "Microsoft.Dynamics.CRM.associatednavigationproperty": column.navigation(targets[0]),
    }
    return {f"{column.wire_name}@{name}": v for name, v in found.items() if annotate(name)}


def key_values(table: Table, key: str) -> dict[str, str] | str:
    """Read a record address: the id, or the columns of an alternate key with their values."""
    if GUID.fullmatch(key):
        return key.lower()
    pairs = re.findall(r"(\w+)=('(?:[^']|'')*'|[^,']+)", key)
    values: dict[str, str] = {
        n: v[1:-1].replace("''", "'") if v.startswith("'") else v for n, v in pairs
    }
    if set(values) == {table.primary_id} and GUID.fullmatch(values[table.primary_id]):
        return values[table.primary_id].lower()
    if not values or set(values) not in [set(columns) for columns in table.keys.values()]:
        raise WebApiError(
            400,
            "0x8006088a",
            "The key in the request URI is not valid for resource "
            f"'Microsoft.Dynamics.CRM.{table.name}'. Ensure that the names and number of key "
            "properties match the declared or alternate key properties for the resource.",
        )
    return values


def table_named(name: str) -> Table:
    """Find a table by logical name."""
    table = TABLES.get(name)
    if table is None:
        raise WebApiError(
            404, "0x80060888", f"Could not find an entity with the name '{name}' in the metadata."
        )
    return table
