"""Values to and from the REST API's JSON and SOQL literals, by the field's own schema.

Formats are those of the REST API Developer Guide ("Valid Date and DateTime Formats") and the
SOQL and SOSL Reference ("Quoted String Escape Sequences"). A date has no zone and is never
shifted; a time goes out in UTC with milliseconds; text is NFC both ways.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from simple_salesforce.format import quote_soql_value

from registration_core.contracts import FieldSchema, FieldType, Value

Json = str | int | float | bool | None
_ID = re.compile(r"[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?", re.ASCII)
_CHECKSUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
#: Line ends of Unicode, by their codes: a literal stands on one line.
_LINE_ENDS = str.maketrans({"\u2028": "\\u2028", "\u2029": "\\u2029"})
_DATE_LENGTH = len("2026-01-31")


class WireError(ValueError):
    """A value that this field cannot hold or the CRM cannot have meant; says which field."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


def is_id(text: str) -> bool:
    """Tell whether a text has the shape of a record id, of 15 or 18 characters."""
    return _ID.fullmatch(text) is not None


def to_18(record_id: str) -> str:
    """Give the 18-character form of an id: the 15 characters and a checksum of their case."""
    core = record_id[:15]
    groups = (core[0:5], core[5:10], core[10:15])
    indexes = (sum(1 << bit for bit, c in enumerate(g) if "A" <= c <= "Z") for g in groups)
    return core + "".join(_CHECKSUM[index] for index in indexes)


def from_wire(field: FieldSchema, raw: Any) -> Value:
    """Turn a value of the API's JSON into a typed value; `WireError` if it is not one."""
    if raw is None or raw == "":
        return None
    try:
        return _read(field, raw)
    except (ValueError, InvalidOperation, TypeError) as wrong:
        raise WireError(field.name, f"the CRM sent {raw!r}, no {field.type.value}") from wrong


def _read(field: FieldSchema, raw: Any) -> Value:
    match field.type:
        case FieldType.BOOLEAN:
            if not isinstance(raw, bool):
                raise TypeError
            return raw
        case FieldType.NUMBER:
            return _rounded(field, Decimal(str(raw)))
        case FieldType.DATE:
            return date.fromisoformat(str(raw)[:_DATE_LENGTH])
        case FieldType.DATETIME:
            return read_time(str(raw))
        case FieldType.MULTI_PICKLIST:
            return tuple(sorted(unicodedata.normalize("NFC", v) for v in str(raw).split(";") if v))
        case FieldType.REFERENCE:
            return to_18(str(raw)) if is_id(str(raw)) else str(raw)
        case FieldType.TEXT | FieldType.PICKLIST:
            return unicodedata.normalize("NFC", str(raw))


def _rounded(field: FieldSchema, number: Decimal) -> Decimal:
    """Cut binary noise off at the field's own scale, so that equal amounts compare equal."""
    if field.scale is None or not number.is_finite():
        return number
    return number.quantize(Decimal(1).scaleb(-field.scale), ROUND_HALF_UP)


def read_time(text: str) -> datetime:
    """Read a time of the API as aware UTC; `ValueError` if it is none."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time without offset: {text}")
    return moment.astimezone(UTC)


def to_wire(field: FieldSchema, value: Value) -> Json:
    """Turn a typed value into the API's JSON; `WireError` where the field cannot hold it.

    None clears. Numbers go as JSON numbers and are refused when a double would change them.
    """
    if value is None:
        if field.type is FieldType.BOOLEAN:
            raise WireError(field.name, "a checkbox cannot be empty")
        return None
    match field.type, value:
        case FieldType.BOOLEAN, bool():
            return value
        case FieldType.NUMBER, Decimal():
            return _number(field, value)
        case FieldType.DATETIME, datetime():
            return write_time(value)
        case FieldType.DATE, date() if not isinstance(value, datetime):
            return value.isoformat()
        case FieldType.MULTI_PICKLIST, tuple():
            if any(";" in option for option in value):
                raise WireError(field.name, "an option may not contain a semicolon")
            return ";".join(value) or None
        case ((FieldType.TEXT | FieldType.PICKLIST | FieldType.REFERENCE), str()):
            return unicodedata.normalize("NFC", value)
    raise WireError(field.name, f"{value!r} is no {field.type.value}")


def _number(field: FieldSchema, value: Decimal) -> int | float:
    if not value.is_finite():
        raise WireError(field.name, f"{value} is no number")
    if value == value.to_integral_value():
        return int(value)
    if Decimal(repr(float(value))) != value:
        raise WireError(field.name, f"{value} has more digits than the API carries")
    return float(value)


def write_time(moment: datetime) -> str:
    """Write an aware time as the API and SOQL take it; never with a `+`, which a URL would eat."""
    utc = moment.astimezone(UTC).replace(tzinfo=None)
    return f"{utc.isoformat(timespec='milliseconds')}Z"


def literal(field: FieldSchema, value: Value) -> str:
    """Word a value as a SOQL literal, escaped; `WireError` where the field cannot be compared to it."""
    if value is None or value == "":
        return "null"
    raw = to_wire(field, value)
    if field.type in (FieldType.DATE, FieldType.DATETIME):
        return str(raw)
    if field.type is FieldType.NUMBER and isinstance(value, Decimal):
        return format(value, "f")
    return str(quote_soql_value(raw)).translate(_LINE_ENDS)
