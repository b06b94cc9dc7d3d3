"""A parser for the part of SOQL that clients of this stand-in send.

`SELECT fields | COUNT() FROM object [WHERE …] [ORDER BY …] [LIMIT n] [OFFSET n]`, with
comparisons, `LIKE`, `IN`, `NOT IN`, `INCLUDES`, `EXCLUDES`, `AND`, `OR`, `NOT` and parentheses.
Like the vendor, it refuses `AND` and `OR` side by side without parentheses. Functions,
subqueries, `GROUP BY` and date words are `Unsupported`, never guessed. See the SOQL and SOSL
Reference, "SOQL SELECT Syntax".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import NoReturn

from sandbox.salesforce.errors import SalesforceError, Unsupported

Literal = str | Decimal | bool | date | datetime | None


@dataclass(frozen=True)
class Comparison:
    """`field operator literal`; for IN, NOT IN, INCLUDES and EXCLUDES several literals."""

    field: str
    operator: str
    literals: tuple[Literal, ...]


@dataclass(frozen=True)
class All:
    """Every part holds."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Any:
    """At least one part holds."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Not:
    """The part does not hold."""

    part: Expression


Expression = Comparison | All | Any | Not


@dataclass(frozen=True)
class Ordering:
    """One `ORDER BY` key."""

    field: str
    descending: bool = False
    nulls_last: bool = False


@dataclass(frozen=True)
class Query:
    """A parsed query; `count` for `SELECT COUNT()`."""

    object: str
    fields: tuple[str, ...]
    count: bool = False
    where: Expression | None = None
    order: tuple[Ordering, ...] = ()
    limit: int | None = None
    offset: int = 0


_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>'(?:[^'\\]|\\.)*')
      | (?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))
      | (?P<date>\d{4}-\d\d-\d\d)(?![\dT])
      | (?P<number>[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![A-Za-z_])
      | (?P<name>[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)*)
      | (?P<operator><=|>=|!=|<>|=|<|>)
      | (?P<mark>[(),])
    )""",
    re.VERBOSE | re.DOTALL,
)
#: SOQL and SOSL Reference, "Quoted String Escape Sequences"; `\_` and `\%` mean something to LIKE
#: and are left as they are, any other is an error.
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "\\": "\\", "'": "'", '"': '"'}
_ESCAPE = re.compile(r"\\(?:u(?P<code>[0-9A-Fa-f]{4})|(?P<letter>.))", re.DOTALL)
_NOT_PLAYED = frozenset({"GROUP", "HAVING", "FOR", "WITH", "USING", "TYPEOF", "ALL"})
_MAXIMUM_LENGTH = 100_000


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str


def parse(text: str) -> Query:
    """Parse a query; `SalesforceError` with MALFORMED_QUERY where the vendor would say so."""
    if len(text) > _MAXIMUM_LENGTH:
        raise SalesforceError("MALFORMED_QUERY", "SOQL statement is longer than 100,000 characters")
    return _Parser(_tokens(text)).query()


def _tokens(text: str) -> list[_Token]:
    tokens = []
    position = 0
    end = len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise SalesforceError(
                "MALFORMED_QUERY", f"unexpected token: '{text[position:].strip()[:20]}'"
            )
        kind = match.lastgroup or ""
        tokens.append(_Token(kind, match.group(kind)))
        position = match.end()
    return tokens


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def query(self) -> Query:
        self._word("SELECT")
        fields = self._select_list()
        self._word("FROM")
        object_name = self._take("name").text
        where = self._or() if self._is("WHERE") else None
        order = self._order() if self._is("ORDER") else ()
        limit = self._whole_number() if self._is("LIMIT") else None
        offset = self._whole_number() if self._is("OFFSET") else 0
        if self._at < len(self._tokens):
            self._fail()
        count = fields == ("COUNT()",)
        return Query(object_name, () if count else fields, count, where, order, limit, offset)

    def _select_list(self) -> tuple[str, ...]:
        names: list[str] = []
        while True:
            if self._peek("mark") == "(":
                raise Unsupported("SOQL subqueries are not played by the Salesforce stand-in")
            name = self._take("name").text
            if self._peek("mark") == "(":
                if name.upper() != "COUNT" or names:
                    raise Unsupported(
                        f"SOQL function {name} is not played by the Salesforce stand-in"
                    )
                self._take("mark")
                if self._take("mark").text != ")":
                    self._fail()
                return ("COUNT()",)
            names.append(name)
            if self._peek("mark") != ",":
                return tuple(names)
            self._at += 1

    def _or(self) -> Expression:
        first = self._term()
        for word in ("AND", "OR"):
            if not self._is(word):
                continue
            parts = [first, self._term()]
            while self._is(word):
                parts.append(self._term())
            if self._peek("name") in ("AND", "OR"):
                self._fail()
            return All(tuple(parts)) if word == "AND" else Any(tuple(parts))
        return first

    def _term(self) -> Expression:
        if self._is("NOT"):
            return Not(self._term())
        if self._peek("mark") == "(":
            self._at += 1
            inner = self._or()
            if self._take("mark").text != ")":
                self._fail()
            return inner
        return self._comparison()

    def _comparison(self) -> Expression:
        field = self._take("name").text
        if self._peek("mark") == "(":
            raise Unsupported(f"SOQL function {field} is not played by the Salesforce stand-in")
        if self._is("NOT"):
            self._word("IN")
            return Comparison(field, "NOT IN", self._literals())
        for word in ("IN", "INCLUDES", "EXCLUDES"):
            if self._is(word):
                return Comparison(field, word, self._literals())
        if self._is("LIKE"):
            return Comparison(field, "LIKE", (self._literal(),))
        operator = self._take("operator").text
        return Comparison(field, "!=" if operator == "<>" else operator, (self._literal(),))

    def _literals(self) -> tuple[Literal, ...]:
        if self._take("mark").text != "(":
            self._fail()
        found = [self._literal()]
        while self._peek("mark") == ",":
            self._at += 1
            found.append(self._literal())
        if self._take("mark").text != ")":
            self._fail()
        return tuple(found)

    def _literal(self) -> Literal:
        token = self._next()
        if token.kind == "string":
            return _ESCAPE.sub(_unescaped, token.text[1:-1])
        if token.kind == "number":
            return Decimal(token.text)
        if token.kind == "date":
            return _read_date(token.text)
        if token.kind == "datetime":
            return read_datetime(token.text)
        words: dict[str, Literal] = {"TRUE": True, "FALSE": False, "NULL": None}
        if token.kind == "name" and token.text.upper() in words:
            return words[token.text.upper()]
        if token.kind == "name":
            raise Unsupported(
                f"SOQL date word {token.text} is not played by the Salesforce stand-in"
            )
        self._at -= 1
        return self._fail()

    def _order(self) -> tuple[Ordering, ...]:
        self._word("BY")
        keys = []
        while True:
            field = self._take("name").text
            descending = self._is("DESC")
            if not descending:
                self._is("ASC")
            nulls_last = False
            if self._is("NULLS"):
                nulls_last = self._is("LAST")
                if not nulls_last:
                    self._word("FIRST")
            keys.append(Ordering(field, descending, nulls_last))
            if self._peek("mark") != ",":
                return tuple(keys)
            self._at += 1

    def _whole_number(self) -> int:
        text = self._take("number").text
        if not text.isdigit():
            self._fail()
        return int(text)

    def _peek(self, kind: str) -> str | None:
        if self._at < len(self._tokens) and self._tokens[self._at].kind == kind:
            text = self._tokens[self._at].text
            return text.upper() if kind == "name" else text
        return None

    def _is(self, word: str) -> bool:
        if self._peek("name") == word:
            self._at += 1
            return True
        return False

    def _word(self, word: str) -> None:
        if not self._is(word):
            self._fail()

    def _take(self, kind: str) -> _Token:
        if self._peek(kind) is None:
            self._fail()
        return self._next()

    def _next(self) -> _Token:
        if self._at >= len(self._tokens):
            self._fail()
        self._at += 1
        return self._tokens[self._at - 1]

    def _fail(self) -> NoReturn:
        if self._at >= len(self._tokens):
            raise SalesforceError("MALFORMED_QUERY", "unexpected token: <EOF>")
        text = self._tokens[self._at].text
        if text.upper() in _NOT_PLAYED:
            raise Unsupported(f"SOQL clause {text} is not played by the Salesforce stand-in")
        raise SalesforceError("MALFORMED_QUERY", f"unexpected token: '{text}'")


def _unescaped(escape: re.Match[str]) -> str:
    if escape["code"]:
        return chr(int(escape["code"], 16))
    if escape["letter"] in "_%":
        return escape[0]
    meant = _ESCAPES.get(escape["letter"].lower())
    if meant is None:
        raise SalesforceError(
            "MALFORMED_QUERY", f"Invalid string literal. Illegal character sequence '{escape[0]}'"
        )
    return meant


def _read_date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as wrong:
        raise SalesforceError("MALFORMED_QUERY", f"Invalid date: {text}") from wrong


def read_datetime(text: str) -> datetime:
    """Read a datetime with `Z` or an offset, as aware UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as wrong:
        raise SalesforceError("MALFORMED_QUERY", f"Invalid datetime: {text}") from wrong
    if moment.tzinfo is None:
        raise SalesforceError("MALFORMED_QUERY", f"Invalid datetime: {text}")
    return moment.astimezone(UTC)
