"""OData query options as the Web API takes them: `$filter`, `$orderby`, `$select`.

Operators and functions: Dataverse developer guide, "Filter rows using OData". Text compares without
regard to case. What is not listed there is refused, never guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.dynamics365.errors import WebApiError, query_error
from sandbox.records import Json

#: Reads one property of the row in hand by its name in the query; raises for unknown names.
Read = Callable[[str], Json]
Predicate = Callable[[Read], bool]

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^']|'')*')
    | (?P<list>\[[^\]]*\])
    | (?P<guid>[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12})
    | (?P<time>\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d))?)
    | (?P<number>-?\d+(?:\.\d+)?)
    | (?P<name>[A-Za-z_][\w./]*)
    | (?P<mark>[(),=])
    )""",
    re.VERBOSE,
)
_COMPARE: dict[str, Callable[[Json, Json], bool]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "gt": lambda a, b: a is not None and b is not None and a > b,  # type: ignore[operator]
    "ge": lambda a, b: a is not None and b is not None and a >= b,  # type: ignore[operator]
    "lt": lambda a, b: a is not None and b is not None and a < b,  # type: ignore[operator]
    "le": lambda a, b: a is not None and b is not None and a <= b,  # type: ignore[operator]
}
_TEXT_FUNCTIONS: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda text, part: part in text,
    "startswith": lambda text, part: text.startswith(part),
    "endswith": lambda text, part: text.endswith(part),
}
#: Dataverse developer guide, "Filter rows using OData", "Condition limits".
_CONDITIONS_MAX = 500
_IN = "Microsoft.Dynamics.CRM.In"
#: Web API reference, "ContainValues Function": one of the values is among those of a choices column.
_CONTAINS = "Microsoft.Dynamics.CRM.ContainValues"


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str


def _tokens(source: str) -> list[_Token]:
    found, at = [], 0
    while at < len(source.rstrip()):
        match = _TOKEN.match(source, at)
        if match is None or match.lastgroup is None:
            raise query_error(f"Syntax error at position {at} in '{source}'.")
        found.append(_Token(match.lastgroup, match.group(match.lastgroup)))
        at = match.end()
    return found


def _folded(value: Json) -> Json:
    return value.casefold() if isinstance(value, str) else value


def _listed(source: str) -> list[str]:
    """Read a list of texts in single or in double quotes; both are in use."""
    if "'" in source and '"' not in source:
        return [text.replace("''", "'") for text in re.findall(r"'((?:[^']|'')*)'", source)]
    try:
        return [str(value) for value in json.loads(source)]
    except ValueError:
        raise query_error(f"'{source}' is not a list of values.") from None


class _Parser:
    """Recursive descent over one `$filter`."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.rest = _tokens(source)
        self.names: set[str] = set()
        #: What each property is compared with: the kind of the literal, and its text.
        self.literals: list[tuple[str, str, str]] = []
        self.conditions = 0

    def whole(self) -> Predicate:
        predicate = self._either()
        if self.rest:
            raise self._unexpected()
        if self.conditions > _CONDITIONS_MAX:
            message = "Number of conditions in query exceeded maximum limit."
            raise WebApiError(400, "0x8004430c", message)
        return predicate

    def _unexpected(self) -> Exception:
        what = self.rest[0].text if self.rest else "end of expression"
        return query_error(f"Syntax error: '{what}' not expected in '{self.source}'.")

    def _is(self, text: str) -> bool:
        return bool(self.rest) and self.rest[0].text == text and self.rest[0].kind != "text"

    def _take(self, kind: str, text: str | None = None) -> str:
        if not self.rest or self.rest[0].kind != kind or text not in (None, self.rest[0].text):
            raise self._unexpected()
        return self.rest.pop(0).text

    def _either(self) -> Predicate:
        parts = [self._both()]
        while self._is("or"):
            self.rest.pop(0)
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else lambda read: any(part(read) for part in parts)

    def _both(self) -> Predicate:
        parts = [self._one()]
        while self._is("and"):
            self.rest.pop(0)
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else lambda read: all(part(read) for part in parts)

    def _one(self) -> Predicate:
        if self._is("not"):
            self.rest.pop(0)
            inner = self._one()
            return lambda read: not inner(read)
        if self._is("("):
            self.rest.pop(0)
            inner = self._either()
            self._take("mark", ")")
            return inner
        self.conditions += 1
        name = self._take("name")
        if name in _TEXT_FUNCTIONS:
            return self._text_function(name)
        if name in (_IN, _CONTAINS):
            return self._among(name)
        operator = self._take("name")
        if operator not in _COMPARE:
            raise query_error(f"The operator '{operator}' is not supported.")
        self.names.add(name)
        compare, literal = _COMPARE[operator], _folded(self._literal(name))
        return lambda read: compare(_folded(read(name)), literal)

    def _text_function(self, function: str) -> Predicate:
        self._take("mark", "(")
        name = self._take("name")
        self.names.add(name)
        self._take("mark", ",")
        part = str(self._literal(name)).casefold()
        self._take("mark", ")")
        test = _TEXT_FUNCTIONS[function]
        return lambda read: test(str(read(name) or "").casefold(), part)

    def _among(self, function: str) -> Predicate:
        self._take("mark", "(")
        self._take("name", "PropertyName")
        self._take("mark", "=")
        name = str(self._literal())
        self.names.add(name)
        self._take("mark", ",")
        self._take("name", "PropertyValues")
        self._take("mark", "=")
        values = {value.casefold() for value in _listed(self._take("list"))}
        self._take("mark", ")")
        if function == _CONTAINS:
            return lambda read: not values.isdisjoint(str(read(name)).split(","))
        return lambda read: str(read(name)).casefold() in values

    def _literal(self, about: str = "") -> Json:
        if not self.rest:
            raise self._unexpected()
        token = self.rest.pop(0)
        if about:
            self.literals.append((about, token.kind, token.text))
        if token.kind == "text":
            return token.text[1:-1].replace("''", "'")
        if token.kind == "number":
            return float(token.text) if "." in token.text else int(token.text)
        if token.kind in ("guid", "time"):
            return token.text
        if token.text in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[token.text]
        raise query_error(f"'{token.text}' is not a literal in '{self.source}'.")


@dataclass(frozen=True)
class Filter:
    """A `$filter` that was understood."""

    fits: Predicate
    #: The properties it reads.
    names: frozenset[str]
    #: Property, kind of the literal (`text`, `guid`, `time`, `number`, `name`) and its text.
    literals: tuple[tuple[str, str, str], ...]


def parse_filter(source: str) -> Filter:
    """Read a `$filter`; 400 where it cannot be understood."""
    parser = _Parser(source)
    return Filter(parser.whole(), frozenset(parser.names), tuple(parser.literals))


def parse_orderby(source: str) -> list[tuple[str, bool]]:
    """Turn an `$orderby` into (name, descending) pairs."""
    pairs = []
    for part in filter(None, (piece.strip() for piece in source.split(","))):
        name, _, direction = part.partition(" ")
        if direction.strip() not in ("", "asc", "desc"):
            raise query_error(f"Syntax error in $orderby '{source}'.")
        pairs.append((name, direction.strip() == "desc"))
    return pairs


def parse_select(source: str) -> list[str]:
    """Turn a `$select` into names."""
    return [name.strip() for name in source.split(",") if name.strip()]


def sort_key(value: Json) -> tuple[int, str | float]:
    """A total order over stored values, nothing first as SQL Server sorts it."""
    if value is None:
        return (0, 0.0)
    if isinstance(value, str):
        return (2, value.casefold())
    return (1, float(value))
