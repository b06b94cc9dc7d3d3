"""The search of the portal: filters over an index that lags by `org.index_lag`.

Sees no archived records and no associations but as a filter; its answers hold what the index
holds, which may be older than the record. Source: HubSpot developer documentation,
"Search the CRM".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from sandbox.hubspot import shapes
from sandbox.hubspot.engine import HubSpotOrg
from sandbox.hubspot.schema import ObjectType, Property, object_type
from sandbox.hubspot.values import HubSpotError, epoch_millis
from sandbox.records import Json, Row

BODY_LENGTH_MAX = 3_000
REACH = 10_000
PAGE_MAX = 200
_GROUPS_MAX, _FILTERS_MAX, _ALL_FILTERS_MAX = 5, 6, 18

_Test = Callable[[Row], bool]


def search(org: HubSpotOrg, kind: ObjectType, body: Mapping[str, Any]) -> dict[str, Any]:
    """Answer one search call; 400 for anything over its limits or unknown."""
    limit, after = int(body.get("limit") or 10), int(body.get("after") or 0)
    if not 0 < limit <= PAGE_MAX:
        raise _bad(f"limit must be between 1 and {PAGE_MAX}")
    if after + limit > REACH:
        raise _bad(f"The search reaches {REACH} records, not {after + limit}")
    groups = [_group(org, kind, group) for group in _groups(body)]
    with org.store.exclusive():
        seen = [row for row in _indexed(org, kind) if not groups or any(g(row) for g in groups)]
        _sort(org, kind, seen, body.get("sorts") or [])
        page = seen[after : after + limit]
        names = body.get("properties") or ()
        answer: dict[str, Any] = {
            "total": len(seen),
            "results": [shapes.record(org, kind, row, names) for row in page],
        }
    if after + limit < len(seen):
        answer["paging"] = {"next": {"after": str(after + limit)}}
    return answer


def _groups(body: Mapping[str, Any]) -> list[list[Mapping[str, Any]]]:
    groups = [list(group.get("filters", ())) for group in body.get("filterGroups") or ()]
    if len(groups) > _GROUPS_MAX or sum(map(len, groups)) > _ALL_FILTERS_MAX:
        raise _bad(f"At most {_GROUPS_MAX} groups and {_ALL_FILTERS_MAX} filters are allowed")
    if any(len(group) > _FILTERS_MAX for group in groups):
        raise _bad(f"At most {_FILTERS_MAX} filters per group are allowed")
    return groups


def _group(org: HubSpotOrg, kind: ObjectType, filters: list[Mapping[str, Any]]) -> _Test:
    tests = [_filter(org, kind, filter_) for filter_ in filters]
    return lambda row: all(test(row) for test in tests)


def _filter(org: HubSpotOrg, kind: ObjectType, filter_: Mapping[str, Any]) -> _Test:
    name, operator = str(filter_.get("propertyName")), str(filter_.get("operator"))
    if name.startswith("associations."):
        return _associated(org, kind, name.removeprefix("associations."), operator, filter_)
    prop = kind.properties.get(name)
    if prop is None:
        raise _bad(f"There was a problem with the request. Property '{name}' does not exist")
    if operator == "HAS_PROPERTY":
        return lambda row: shapes.value(org, row, name) is not None
    if operator == "NOT_HAS_PROPERTY":
        return lambda row: shapes.value(org, row, name) is None
    if operator in ("CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN"):
        return _token(org, name, str(filter_["value"]), contains=operator == "CONTAINS_TOKEN")
    compare = _COMPARISONS.get(operator)
    if compare is None:
        raise _bad(f"Operator '{operator}' is not known")
    try:
        wanted = [_key(prop, raw) for raw in _operands(operator, filter_)]
    except (KeyError, ValueError, InvalidOperation):
        raise _bad(f"The operand of {operator} on '{name}' is missing or not valid") from None

    def test(row: Row) -> bool:
        held = shapes.value(org, row, name)
        if held is None:
            return operator in ("NEQ", "NOT_IN")
        return compare(_key(prop, held), wanted)

    return test


def _operands(operator: str, filter_: Mapping[str, Any]) -> list[Any]:
    if operator == "BETWEEN":
        return [filter_["value"], filter_["highValue"]]
    if operator in ("IN", "NOT_IN"):
        return list(filter_["values"])
    return [filter_["value"]]


_COMPARISONS: Mapping[str, Callable[[Any, list[Any]], bool]] = {
    "EQ": lambda held, wanted: bool(held == wanted[0]),
    "NEQ": lambda held, wanted: bool(held != wanted[0]),
    "LT": lambda held, wanted: bool(held < wanted[0]),
    "LTE": lambda held, wanted: bool(held <= wanted[0]),
    "GT": lambda held, wanted: bool(held > wanted[0]),
    "GTE": lambda held, wanted: bool(held >= wanted[0]),
    "BETWEEN": lambda held, wanted: bool(wanted[0] <= held <= wanted[1]),
    "IN": lambda held, wanted: held in wanted,
    "NOT_IN": lambda held, wanted: held not in wanted,
}


def _key(prop: Property, raw: object) -> Any:
    """A value as it compares: numbers as numbers, times as milliseconds, text without case."""
    text = str(raw)
    if prop.type == "number":
        return Decimal(text)
    if prop.type in ("date", "datetime"):
        if text.lstrip("-").isdigit():
            return int(text)
        moment = datetime.fromisoformat(text)
        return epoch_millis(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    return text if prop.type == "enumeration" else text.lower()


def _token(org: HubSpotOrg, name: str, wanted: str, *, contains: bool) -> _Test:
    pattern = re.compile(re.escape(wanted.lower()).replace(r"\*", ".*"))

    def test(row: Row) -> bool:
        held = str(shapes.value(org, row, name) or "").lower()
        return any(map(pattern.fullmatch, [*re.findall(r"\w+", held), held])) is contains

    return test


def _associated(
    org: HubSpotOrg, kind: ObjectType, far_name: str, operator: str, filter_: Mapping[str, Any]
) -> _Test:
    far = object_type(far_name)
    if far is None or operator not in ("EQ", "IN"):
        raise _bad(f"associations.{far_name} cannot be filtered by {operator}")
    wanted = {str(value) for value in _operands(operator, filter_)}

    def test(row: Row) -> bool:
        return any(other in wanted for other, _ in org.links.of((kind.name, row.id), far.name))

    return test


def _sort(org: HubSpotOrg, kind: ObjectType, rows: list[Row], sorts: list[Any]) -> None:
    if len(sorts) > 1:
        raise _bad("Only one sort is allowed")
    for sort in sorts:
        if isinstance(sort, str):
            name, descending = sort.removeprefix("-"), sort.startswith("-")
        else:
            name, descending = sort["propertyName"], sort.get("direction") == "DESCENDING"
        prop = kind.properties.get(name)
        if prop is None:
            raise _bad(f"Cannot sort by '{name}', it does not exist")
        without = [row for row in rows if shapes.value(org, row, name) is None]
        having = [row for row in rows if shapes.value(org, row, name) is not None]
        having.sort(key=lambda row: _key(prop, shapes.value(org, row, name)), reverse=descending)
        rows[:] = having + without


def _indexed(org: HubSpotOrg, kind: ObjectType) -> list[Row]:
    """The records as the index knows them: as they were `index_lag` ago."""
    if not org.index_lag:
        return org.store.rows(kind.name)
    then = org.clock() - org.index_lag
    return [
        _as_of(row, then)
        for row in org.store.rows(kind.name, deleted=True)
        if row.created_at <= then
        and not (row.deleted and row.deleted_at and row.deleted_at <= then)
    ]


def _as_of(row: Row, then: datetime) -> Row:
    if row.modified_at <= then:
        return row
    fields: dict[str, Json] = {}
    modified_at = row.created_at
    for change in row.history:
        if change.at <= then:
            fields[change.field] = change.new
            modified_at = max(modified_at, change.at)
    return replace(row, fields=fields, modified_at=modified_at, deleted=False, deleted_at=None)


def _bad(message: str) -> HubSpotError:
    return HubSpotError(400, message, "VALIDATION_ERROR")
