"""How this stand-in stores a value, and refuses one: types, lengths, picklists, whitespace.

Follows "sObject Rows" and "Status Codes and Error Responses" of the REST API Developer Guide:
text is trimmed, empty text is null, numbers are rounded to the field's scale, and each refusal
has the vendor's own code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from sandbox.records import Json, Row
from sandbox.salesforce.errors import SalesforceError
from sandbox.salesforce.ids import is_id, to_18
from sandbox.salesforce.schema import SalesforceField

NUMBER_TYPES = frozenset({"currency", "double", "percent", "int"})
_COUNTRY = re.compile(r"[A-Z]{2}")


def to_store(field: SalesforceField, value: Json) -> Json:
    """Normalise a value that came over the API; `SalesforceError` where the vendor refuses it."""
    if field.type == "boolean":
        if not isinstance(value, bool):
            raise _cannot_read(field, value)
        return value
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if field.type in NUMBER_TYPES:
        return _number(field, value)
    if field.type == "date":
        return _date(field, value)
    if field.type == "reference":
        return _reference(field, value)
    if field.type == "multipicklist":
        return _options(field, value)
    return _text(field, value)


def _text(field: SalesforceField, value: Json) -> str:
    if not isinstance(value, str):
        raise _cannot_read(field, value)
    text = value.strip()
    if len(text) > field.length:
        raise SalesforceError(
            "STRING_TOO_LONG",
            f"{field.label}: data value too large: {text[:255]} (max length={field.length})",
            (field.name,),
        )
    if field.name == "CurrencyIsoCode" and text not in field.options:
        raise SalesforceError(
            "INVALID_CURRENCY_ISO", f"invalid currency ISO code: {text}", (field.name,)
        )
    if field.restricted and text not in field.options:
        raise SalesforceError(
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            f"{field.label}: bad value for restricted picklist field: {text}",
            (field.name,),
        )
    if field.name == "BillingCountryCode" and not _COUNTRY.fullmatch(text):
        raise SalesforceError(
            "FIELD_INTEGRITY_EXCEPTION",
            f"There's a problem with this country, even though it may appear correct: {text}",
            (field.name,),
        )
    return text


def _options(field: SalesforceField, value: Json) -> str:
    """Keep the options that were chosen in the picklist's own order, each once."""
    chosen = dict.fromkeys(part.strip() for part in _text(field, value).split(";"))
    known = [option for option in field.options if option in chosen]
    return ";".join([*known, *(option for option in chosen if option not in known)])


def _number(field: SalesforceField, value: Json) -> Json:
    if isinstance(value, bool):
        raise _cannot_read(field, value)
    try:
        number = Decimal(str(value))
    except InvalidOperation as wrong:
        raise _cannot_read(field, value) from wrong
    if not number.is_finite() or number.adjusted() >= field.precision - field.scale > 0:
        raise SalesforceError(
            "NUMBER_OUTSIDE_VALID_RANGE",
            f"{field.label}: value outside of valid range on numeric field: {value}",
            (field.name,),
        )
    rounded = number.quantize(Decimal(1).scaleb(-field.scale), ROUND_HALF_UP)
    return int(rounded) if field.type == "int" else float(rounded)


def _date(field: SalesforceField, value: Json) -> str:
    try:
        return date.fromisoformat(str(value)).isoformat()
    except ValueError as wrong:
        raise _cannot_read(field, value) from wrong


def _reference(field: SalesforceField, value: Json) -> str:
    if not is_id(value):
        raise SalesforceError(
            "MALFORMED_ID", f"{field.label}: id value of incorrect type: {value}", (field.name,)
        )
    return to_18(str(value))


def _cannot_read(field: SalesforceField, value: Json) -> SalesforceError:
    kind = {bool: "BOOLEAN", str: "STRING", int: "NUMBER_INT", float: "NUMBER_FLOAT"}.get(
        type(value), "NULL"
    )
    return SalesforceError(
        "JSON_PARSER_ERROR" if value is not None else "INVALID_TYPE_ON_FIELD_IN_RECORD",
        f"Cannot deserialize instance of {field.type} from VALUE_{kind} value {value}",
        (field.name,),
    )


def whole_second(moment: datetime) -> datetime:
    """Salesforce stamps records to the whole second."""
    return moment.replace(microsecond=0)


def wire_datetime(moment: datetime) -> str:
    """Write a time as the REST API does: milliseconds, and an offset without a colon."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000+0000")


_SYSTEM: Mapping[str, Callable[[Row], Json | datetime]] = {
    "Id": lambda row: row.id,
    "IsDeleted": lambda row: row.deleted,
    "CreatedDate": lambda row: whole_second(row.created_at),
    "CreatedById": lambda row: row.created_by,
    "LastModifiedDate": lambda row: whole_second(row.modified_at),
    "LastModifiedById": lambda row: row.modified_by,
    "SystemModstamp": lambda row: whole_second(row.modified_at),
    "MasterRecordId": lambda row: row.merged_into,
}


def value_of(row: Row, field: SalesforceField) -> Json | datetime:
    """Read a field of a record, system fields included; times are whole seconds in UTC."""
    system = _SYSTEM.get(field.name)
    value = system(row) if system else row.fields.get(field.name)
    return False if value is None and field.type == "boolean" else value


def to_wire(row: Row, field: SalesforceField) -> Json:
    """Read a field as the REST API answers it."""
    value = value_of(row, field)
    return wire_datetime(value) if isinstance(value, datetime) else value
