"""Which literals of a `$filter` a column may be compared with.

Dataverse developer guide, "Filter rows using OData" and "Web API types and operations": texts are
quoted, numbers, times and yes/no are not, ids are in either way.
"""

from __future__ import annotations

import re

from sandbox.dynamics365.columns import LOOKUPS, Column, Kind
from sandbox.dynamics365.errors import query_error
from sandbox.dynamics365.values import GUID

_NUMBERS = frozenset(
    {
        Kind.INTEGER,
        Kind.BIGINT,
        Kind.MONEY,
        Kind.DECIMAL,
        Kind.PICKLIST,
        Kind.STATE,
        Kind.STATUS,
    }
)
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def require_comparable(column: Column, kind: str, text: str) -> None:
    """Refuse a literal of another type than the column's; `kind` is that of its token."""
    if not _comparable(column, kind, text):
        raise query_error(
            "A binary operator with incompatible types was detected: "
            f"'{column.wire_name}' is no {kind}, as {text} is."
        )


def _comparable(column: Column, kind: str, text: str) -> bool:
    if text == "null" and kind == "name":
        return True
    if column.kind in _NUMBERS:
        return kind == "number"
    if column.kind is Kind.BOOLEAN:
        return kind == "name"
    if column.kind is Kind.GUID or column.kind in LOOKUPS:
        return kind == "guid" or (kind == "text" and GUID.fullmatch(text[1:-1]) is not None)
    if column.kind is Kind.DATE:
        return kind == "time" and _DAY.fullmatch(text) is not None
    if column.kind is Kind.DATETIME:
        return kind == "time"
    return kind == "text"
