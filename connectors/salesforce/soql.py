"""Words SOQL. Names are checked against the schema, values are escaped, URLs stay short enough.

A query travels in the URL, and Salesforce takes 16,384 bytes of URL and headers together (REST
API Developer Guide, "Query"): long lists of values are split over several queries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import quote_plus

from connectors.salesforce.wire import literal
from registration_core.contracts import Condition, FieldSchema, FieldType, Value

#: Longest list of values in one query, in URL-encoded characters.
VALUES_MAX = 8_000
#: Nothing has an empty id: a condition that no record fits.
NOTHING = "Id = null"


def chunks(field: FieldSchema, values: Sequence[Value]) -> Iterator[list[Value]]:
    """Split values so that each part fits into one query; text that differs in case stays one."""
    seen = set()
    part: list[Value] = []
    length = 0
    for value in values:
        word = literal(field, value)
        same = word.casefold() if field.type in (FieldType.TEXT, FieldType.PICKLIST) else word
        if same in seen:
            continue
        seen.add(same)
        size = len(quote_plus(word)) + len(quote_plus(","))
        if part and length + size > VALUES_MAX:
            yield part
            part, length = [], 0
        part.append(value)
        length += size
    if part:
        yield part


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


def where_clauses(fields: Sequence[FieldSchema], conditions: Sequence[Condition]) -> Iterator[str]:
    """Word conditions joined by AND, as one or more WHERE clauses that fit no record twice.

    Only the condition with the most values is split; multi-picklists never are, because one
    record could fit several parts.
    """
    if not conditions:
        yield ""
        return
    pairs = list(zip(fields, conditions, strict=True))
    longest = max(
        range(len(pairs)),
        key=lambda i: (pairs[i][0].type is not FieldType.MULTI_PICKLIST, len(pairs[i][1].values)),
    )
    rest = [one_of(f, c.values) for i, (f, c) in enumerate(pairs) if i != longest]
    field, condition = pairs[longest]
    parts: list[list[Value]]
    if field.type is FieldType.MULTI_PICKLIST:
        parts = [list(condition.values)]
    else:
        parts = list(chunks(field, condition.values)) or [[]]
    for part in parts:
        yield " AND ".join([one_of(field, part), *rest])


def select(fields: Sequence[str], object_name: str, where: str = "", tail: str = "") -> str:
    """Put a query together; `tail` is ORDER BY and LIMIT."""
    words = ["SELECT", ", ".join(fields), "FROM", object_name]
    if where:
        words += ["WHERE", where]
    if tail:
        words.append(tail)
    return " ".join(words)
