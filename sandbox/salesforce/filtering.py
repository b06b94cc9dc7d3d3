"""Turns a parsed WHERE clause into a predicate over records, with SOQL's own comparisons.

Text compares without case unless the field says otherwise, ids exactly, nulls never with `<`
or `>`; a literal of the wrong kind is refused as the vendor refuses it (SOQL and SOSL
Reference, "fieldExpression Syntax").
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any as AnyValue

from sandbox.records import Json, Row
from sandbox.salesforce.errors import SalesforceError, Unsupported
from sandbox.salesforce.ids import is_id, to_18
from sandbox.salesforce.schema import SalesforceField, SalesforceObject
from sandbox.salesforce.soql import All, Any, Comparison, Expression, Literal, Not, Ordering
from sandbox.salesforce.values import NUMBER_TYPES, value_of

Predicate = Callable[[Row], bool]
_ID_TYPES = frozenset({"id", "reference"})


def field_of(thing: SalesforceObject, name: str) -> SalesforceField:
    """Find a field by its name in any case; INVALID_FIELD in the vendor's words if there is none."""
    found = thing.fields.get(name)
    if found is None:
        found = next((f for n, f in thing.fields.items() if n.lower() == name.lower()), None)
    if found is not None:
        return found
    if "." in name:
        raise Unsupported(f"SOQL relationship path {name} is not played by the Salesforce stand-in")
    raise SalesforceError(
        "INVALID_FIELD",
        f"No such column '{name}' on entity '{thing.name}'. If you are attempting to use a custom "
        "field, be sure to append the '__c' after the custom field name.",
    )


def predicate(thing: SalesforceObject, where: Expression | None) -> Predicate:
    """Compile a WHERE clause; checks every field and literal first, as the vendor does."""
    if where is None:
        return lambda _row: True
    if isinstance(where, Not):
        inner = predicate(thing, where.part)
        return lambda row: not inner(row)
    if isinstance(where, All):
        parts = [predicate(thing, part) for part in where.parts]
        return lambda row: all(part(row) for part in parts)
    if isinstance(where, Any):
        parts = [predicate(thing, part) for part in where.parts]
        return lambda row: any(part(row) for part in parts)
    return _comparison(thing, where)


def _comparison(thing: SalesforceObject, test: Comparison) -> Predicate:
    field = field_of(thing, test.field)
    if not field.filterable:
        raise SalesforceError(
            "INVALID_FIELD", f"field '{field.name}' can not be filtered in a query call"
        )
    wanted = [_comparable_literal(field, literal) for literal in test.literals]
    if test.operator in ("INCLUDES", "EXCLUDES"):
        return _includes(field, test.operator, wanted)
    if test.operator == "LIKE":
        pattern = _like(str(test.literals[0]))
        return lambda row: pattern.fullmatch(str(_comparable(row, field) or "")) is not None
    if test.operator in ("=", "IN"):
        among = set(wanted)
        return lambda row: _comparable(row, field) in among
    if test.operator in ("!=", "NOT IN"):
        among = set(wanted)
        return lambda row: _comparable(row, field) not in among
    limit: AnyValue = wanted[0]
    if limit is None:
        raise SalesforceError(
            "INVALID_QUERY_FILTER_OPERATOR", f"null is only valid with = and != on {field.name}"
        )
    return _ordered(field, test.operator, limit)


def _includes(field: SalesforceField, operator: str, wanted: list[AnyValue]) -> Predicate:
    """`INCLUDES ('A;B', 'C')`: A and B, or C (SOQL and SOSL Reference, "Query Multi-Select Picklists")."""
    if field.type != "multipicklist":
        raise SalesforceError(
            "INVALID_QUERY_FILTER_OPERATOR",
            f"includes/excludes operators only valid on multipicklist field: {field.name}",
        )
    if operator == "EXCLUDES":
        raise Unsupported("EXCLUDES is not played by the Salesforce stand-in")
    sets = [set(str(literal).split(";")) for literal in wanted]

    def test(row: Row) -> bool:
        chosen = set(str(_comparable(row, field) or "").split(";"))
        return any(each <= chosen for each in sets)

    return test


def _ordered(field: SalesforceField, operator: str, limit: AnyValue) -> Predicate:
    compare: Callable[[AnyValue], bool] = {
        "<": lambda value: bool(value < limit),
        "<=": lambda value: bool(value <= limit),
        ">": lambda value: bool(value > limit),
        ">=": lambda value: bool(value >= limit),
    }[operator]

    def test(row: Row) -> bool:
        value = _comparable(row, field)
        return value is not None and compare(value)

    return test


def _comparable(row: Row, field: SalesforceField) -> AnyValue:
    return _fold(field, value_of(row, field))


def _fold(field: SalesforceField, value: Json | datetime) -> AnyValue:
    if value is None or isinstance(value, bool | datetime) or field.type in _ID_TYPES:
        return value
    if field.type in NUMBER_TYPES:
        return Decimal(str(value))
    return value if field.case_sensitive else str(value).casefold()


def _comparable_literal(field: SalesforceField, literal: Literal) -> AnyValue:
    if literal is None:
        return False if field.type == "boolean" else None
    if field.type in _ID_TYPES:
        if not is_id(literal):
            raise SalesforceError(
                "INVALID_QUERY_FILTER_OPERATOR", f"invalid ID field: {str(literal)[:40]}"
            )
        return to_18(str(literal))
    if field.type == "datetime" and isinstance(literal, datetime):
        return literal
    if field.type == "date" and isinstance(literal, date) and not isinstance(literal, datetime):
        return literal.isoformat()
    if field.type == "boolean" and isinstance(literal, bool):
        return literal
    if field.type in NUMBER_TYPES and isinstance(literal, Decimal):
        return literal
    if field.type not in {"datetime", "date", "boolean", *NUMBER_TYPES} and isinstance(
        literal, str
    ):
        return _fold(field, literal)
    quoting = "" if isinstance(literal, str) else " and should be enclosed in quotes"
    raise SalesforceError(
        "INVALID_FIELD",
        f"value of filter criterion for field '{field.name}' must be of type {field.type}{quoting}",
    )


def _like(pattern: str) -> re.Pattern[str]:
    parts = []
    escaped = False
    for char in pattern.casefold():
        if not escaped and char == "\\":
            escaped = True
            continue
        wild = {"%": ".*", "_": "."}.get(char) if not escaped else None
        parts.append(wild or re.escape(char))
        escaped = False
    return re.compile("".join(parts), re.DOTALL)


def in_order(thing: SalesforceObject, rows: list[Row], order: tuple[Ordering, ...]) -> list[Row]:
    """Sort rows by ORDER BY keys; without any, in order of id (the vendor promises none)."""
    result = sorted(rows, key=lambda row: row.id)
    for key in reversed(order):
        field = field_of(thing, key.field)

        def rank(
            row: Row, field: SalesforceField = field, key: Ordering = key
        ) -> tuple[bool, AnyValue]:
            value = _comparable(row, field)
            nulls_high = key.nulls_last != key.descending
            return ((value is None) == nulls_high, "" if value is None else value)

        result.sort(key=rank, reverse=key.descending)
    return result
