"""Words SOQL. Names are checked against the schema, values are escaped, no query grows too long.

A query travels in the URL, and Salesforce takes 16,384 bytes of URL and headers together (REST
API Developer Guide, "Query"): conditions with many values are split over several queries.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from urllib.parse import quote_plus

from connectors.salesforce.wire import literal
from registration_core.contracts import FieldSchema, FieldType, Value

#: Longest query, URL-encoded. The path, the token and all other headers have the rest.
QUERY_MAX = 12_000
#: Longest list of columns, URL-encoded; the conditions have the rest.
COLUMNS_MAX = 6_000
#: Nothing has an empty id: a condition that no record fits.
NOTHING = "Id = null"

#: That a field is one of values.
Asked = tuple[FieldSchema, tuple[Value, ...]]
#: What one query asks, joined by AND.
Part = tuple[Asked, ...]


def length(text: str) -> int:
    """Count the bytes that a text takes in a URL."""
    return len(quote_plus(text))


def parts(asked: Sequence[Asked], frame: str) -> Iterator[Part]:
    """Split conditions so that each part fits into a query that is `frame` without them.

    Every value of one condition meets every value of the others in exactly one part, so no record
    fits two parts, save by a multi-picklist. Text that differs in case alone is asked for once.
    What cannot be split any further may still be too long.
    """
    lists = [_sized(field, values) for field, values in asked]
    frames = [length(f"({f.name} = null OR {f.name} INCLUDES ()) AND ") for f, _ in asked]
    least = [max(sized.values(), default=0) for sized in lists]
    more = [sum(sized.values()) - most for sized, most in zip(lists, least, strict=True)]
    shares = _shares(more, QUERY_MAX - length(frame) - sum(frames) - sum(least))
    split = [
        [(field, chunk) for chunk in _chunks(sized, most + share)]
        for (field, _), sized, most, share in zip(asked, lists, least, shares, strict=True)
    ]
    yield from itertools.product(*split)


def _sized(field: FieldSchema, values: Sequence[Value]) -> dict[Value, int]:
    """Measure values as list entries; without those that are the same to Salesforce."""
    sized: dict[Value, int] = {}
    seen = set()
    for value in values:
        word = literal(field, value)
        same = word.lower() if field.type in (FieldType.TEXT, FieldType.PICKLIST) else word
        if same not in seen:
            seen.add(same)
            sized[value] = length(f"{word},")
    return sized


def _shares(wants: Sequence[int], room: int) -> list[int]:
    """Share room out: who wants little has it all, the others have equal parts of the rest."""
    shares = [0] * len(wants)
    waiting = sorted(range(len(wants)), key=wants.__getitem__)
    for served, i in enumerate(waiting):
        shares[i] = min(wants[i], max(room, 0) // (len(waiting) - served))
        room -= shares[i]
    return shares


def _chunks(sized: dict[Value, int], room: int) -> Iterator[tuple[Value, ...]]:
    """Cut values into lists that fit; one empty list where there are none."""
    chunk: list[Value] = []
    used = 0
    for value, size in sized.items():
        if chunk and used + size > room:
            yield tuple(chunk)
            chunk, used = [], 0
        chunk.append(value)
        used += size
    yield tuple(chunk)


def halves(part: Part) -> tuple[Part, Part] | None:
    """Split the condition with the most values in two; None where each has one at most."""
    longest = max(range(len(part)), key=lambda i: len(part[i][1]), default=0)
    if not part or len(part[longest][1]) < 2:
        return None
    field, values = part[longest]
    middle = len(values) // 2
    before, after = part[:longest], part[longest + 1 :]
    return (
        (*before, (field, values[:middle]), *after),
        (*before, (field, values[middle:]), *after),
    )


def where(part: Part) -> str:
    """Word what a query asks; a list of ANDs that more may be put behind."""
    return " AND ".join(one_of(field, values) for field, values in part)


def one_of(field: FieldSchema, values: Sequence[Value]) -> str:
    """Word `field is one of values`, as one term that may stand between ANDs."""
    if not values:
        return NOTHING
    words = [literal(field, value) for value in values]
    set_words = [word for word in words if word != "null"]
    terms = [f"{field.name} = null"] if len(set_words) < len(words) else []
    if field.type is FieldType.MULTI_PICKLIST and set_words:
        terms.append(f"{field.name} INCLUDES ({','.join(set_words)})")
    elif field.type is FieldType.BOOLEAN or len(set_words) == 1:
        terms.extend(f"{field.name} = {word}" for word in set_words)
    elif set_words:
        terms.append(f"{field.name} IN ({','.join(set_words)})")
    return terms[0] if len(terms) == 1 else f"({' OR '.join(terms)})"


def select(columns: Sequence[str], object_name: str, where: str = "", tail: str = "") -> str:
    """Put a query together; `tail` is ORDER BY and LIMIT."""
    words = ["SELECT", ", ".join(columns), "FROM", object_name]
    if where:
        words += ["WHERE", where]
    if tail:
        words.append(tail)
    return " ".join(words)
