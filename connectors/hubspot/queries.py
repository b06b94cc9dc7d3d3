"""Conditions worded as HubSpot searches.

HubSpot joins filters by *and*; each *or* becomes a search of its own here, because the record
found twice is cheaper than a body over the 3,000 characters that a search may have. Source:
HubSpot developer documentation, "Search the CRM" (filters, limits).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from connectors.hubspot.links import is_link, links_of
from connectors.hubspot.wire import to_wire
from registration_core.contracts import Condition, FieldSchema, FieldType, ObjectSchema, Value

#: Records on one page.
PAGE_SIZE = 200
#: Filters that may be joined, less the two of the keyset.
CONDITIONS_MAX = 4
#: Characters of values in one filter, so that a body of four of them stays under 3,000.
_VALUES_LENGTH_MAX = 500

Filter = dict[str, Any]


class NotSearchable(ValueError):
    """HubSpot's search cannot say this condition; the message says why."""


def filter_sets(schema: ObjectSchema, where: Sequence[Condition]) -> Iterator[list[Filter]]:
    """Word conditions as sets of filters; what fits any one set fits them all. None if no value.

    Raises `NotSearchable`.
    """
    if len(where) > CONDITIONS_MAX:
        raise NotSearchable(f"a search takes at most {CONDITIONS_MAX} conditions")
    for chosen in itertools.product(*(_alternatives(schema, each) for each in where)):
        yield list(chosen)


def body(
    filters: Iterable[Filter],
    after_id: str,
    *,
    limit: int = PAGE_SIZE,
    properties: Sequence[str] = ("hs_object_id",),
) -> dict[str, Any]:
    """Word one page of a search in the order of ids, after an id; asks for little but ids."""
    keyset = [_filter("hs_object_id", "GT", after_id)] if after_id else []
    joined = [*filters, *keyset]
    return {
        "filterGroups": [{"filters": joined}] if joined else [],
        "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
        "properties": list(properties),
        "limit": limit,
        "after": "0",
    }


def modified_since(property_name: str, millis: int) -> Filter:
    """Word "changed at or after"."""
    return _filter(property_name, "GTE", str(millis))


def modified_before(property_name: str, millis: int) -> Filter:
    """Word "changed before"."""
    return _filter(property_name, "LT", str(millis))


def _alternatives(schema: ObjectSchema, condition: Condition) -> list[Filter]:
    field = schema.fields[condition.field]
    values = list(dict.fromkeys(condition.values))
    if is_link(field.name):
        if None in values:
            raise NotSearchable(f"a search cannot find {schema.name} by {field.name} being empty")
        name = links_of(schema.name)[field.name].searched_as
        return [_filter(name, "EQ", str(value)) for value in values]
    alternatives = [_filter(field.name, "NOT_HAS_PROPERTY")] if None in values else []
    words = [_operand(field, value) for value in values if value is not None]
    for chunk in _chunks(dict.fromkeys(words)):
        if len(chunk) == 1:
            alternatives.append(_filter(field.name, "EQ", chunk[0]))
        else:
            alternatives.append({"propertyName": field.name, "operator": "IN", "values": chunk})
    return alternatives


def _operand(field: FieldSchema, value: Value) -> str:
    """Word a value; text in lower case, because `IN` compares text only so."""
    word = to_wire(value, field)
    return word.lower() if field.type is FieldType.TEXT else word


def _chunks(words: Iterable[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    length = 0
    for word in words:
        if chunk and length + len(word) > _VALUES_LENGTH_MAX:
            yield chunk
            chunk, length = [], 0
        chunk.append(word)
        length += len(word) + 3
    if chunk:
        yield chunk


def _filter(name: str, operator: str, value: str | None = None) -> Filter:
    found = {"propertyName": name, "operator": operator}
    return found if value is None else found | {"value": value}
