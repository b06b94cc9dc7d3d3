"""The types of an expression: every operator and call is held against our fields before it runs.

CEL itself finds out while it runs, and says what did not fit but not where. This reads the part of
the language that expressions may use, once more, and tells the line and column of what does not fit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from typing import NoReturn

from mapping.expression_kinds import (
    BOOLEAN,
    COMPARED,
    LIST,
    NUMBER,
    TEXT,
    WHOLE,
    Kind,
    added,
    all_are,
    counted,
    same,
)
from registration_core.contracts import FieldSchema, FieldType

_TOKEN = re.compile(
    r"(?P<space>\s+|//[^\n]*)"
    r"|(?P<text>[rR]?(?:\"\"\"(?:[^\\]|\\.)*?\"\"\"|'''(?:[^\\]|\\.)*?'''"
    r"|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'))"
    r"|(?P<whole>0[xX][0-9a-fA-F]+|\d+)(?![\w.])"
    r"|(?P<name>[A-Za-z_]\w*)(?![\"'])"
    r"|(?P<mark>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}])",
    re.DOTALL,
)


class Flaw(ValueError):
    """What is wrong with an expression, where in it, and what to do."""

    def __init__(self, what: str, remedy: str, line: int = 1, column: int = 1) -> None:
        super().__init__(what)
        self.what, self.remedy, self.line, self.column = what, remedy, line, column


_OURS = {
    FieldType.BOOLEAN: BOOLEAN,
    FieldType.NUMBER: NUMBER,
    FieldType.MULTI_PICKLIST: Kind(LIST, TEXT),
}
_SEALED = 'word it with text(amount), or compare it with at_least(amount, "1000.50")'
_WORD = "word a whole number with string(…), a number with text(…)"

#: What each function takes, value by value, and yields.
_CALLS: Mapping[str, tuple[tuple[tuple[Kind, ...], ...], Kind]] = {
    "at_least": (((NUMBER, WHOLE, TEXT), (NUMBER, WHOLE, TEXT)), BOOLEAN),
    "text": (((NUMBER, WHOLE, TEXT),), TEXT),
    "string": (((WHOLE, BOOLEAN, TEXT),), TEXT),
    "upper": (((TEXT,),), TEXT),
    "lower": (((TEXT,),), TEXT),
}
#: What stands behind a text: `deal_name.contains("x")`.
_BEHIND = ("contains", "startsWith", "endsWith")
#: What goes over a list, and what it yields; None for a list of what is computed.
_PASSES: Mapping[str, Kind | None] = {
    "all": BOOLEAN, "exists": BOOLEAN, "exists_one": BOOLEAN, "filter": None, "map": None,
}  # fmt: skip
#: What an expression may call; operators begin with another character than a letter.
CALLS = frozenset({"size", *_CALLS, *_BEHIND})


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    position: int


@dataclass(frozen=True)
class _Part:
    """A part that was read: what it yields, and its text where it is a text as it stands."""

    kind: Kind
    position: int
    literal: str | None = None


def typed(source: str, fields: Mapping[str, FieldSchema]) -> tuple[Kind, tuple[str, ...]]:
    """Return what an expression yields and the fields it reads, sorted; it is CEL already.

    Raises:
        Flaw: A part of it does not fit the others; tells the line and column.
    """
    reader = _Reader(source, fields)
    part = reader.choice()
    if reader.here.kind != "end":
        reader.refuse(
            reader.here.position, f"'{reader.here.text}' is not understood here", "remove it"
        )
    if part.kind == NUMBER:
        reader.refuse(part.position, "it yields a number", _SEALED)
    if part.kind.name == LIST:
        reader.refuse(part.position, f"it yields {part.kind}", "ask it with exists or in")
    return part.kind, tuple(sorted(reader.inputs))


def place(source: str, position: int) -> tuple[int, int]:
    """Return the line and column of a position, both from 1."""
    line = source.count("\n", 0, position)
    return line + 1, position - (source.rfind("\n", 0, position) + 1) + 1


class _Reader:
    """Reads from the loosest operator to the tightest, a method for each."""

    def __init__(self, source: str, fields: Mapping[str, FieldSchema]) -> None:
        self.source, self.fields = source, fields
        self.inputs: set[str] = set()
        #: Names that a pass over a list gives its members.
        self.members: dict[str, Kind] = {}
        self._tokens, self._at = self._cut(), 0

    @property
    def here(self) -> _Token:
        return self._tokens[self._at]

    def refuse(self, position: int, what: str, remedy: str) -> NoReturn:
        raise Flaw(what, remedy, *place(self.source, position))

    def _cut(self) -> list[_Token]:
        tokens, position = [], 0
        while position < len(self.source):
            found = _TOKEN.match(self.source, position)
            if found is None:
                what = f"'{self.source[position : position + 10]}' is not understood here"
                self.refuse(position, what, "see docs/mapping.md for what an expression may say")
            if found.lastgroup != "space":
                tokens.append(_Token(found.lastgroup or "", found[0], position))
            position = found.end()
        return [*tokens, _Token("end", "", len(self.source))]

    def _next(self) -> _Token:
        token = self.here
        self._at += token.kind != "end"
        return token

    def _take(self, *marks: str) -> _Token | None:
        """Take one of these marks, or `in`, if it is here."""
        fits = self.here.text in marks and self.here.kind in ("mark", "name")
        return self._next() if fits else None

    def _need(self, mark: str) -> None:
        if self._take(mark) is None:
            self.refuse(self.here.position, f"'{mark}' is missing here", f"write {mark}")

    def choice(self) -> _Part:
        asked = self._either()
        mark = self._take("?")
        if mark is None:
            return asked
        if asked.kind != BOOLEAN:
            what = f"? asks for true or false, and gets {asked.kind}"
            self.refuse(mark.position, what, 'compare it first: deal_name == "…"')
        yes = self._either()
        self._need(":")
        no = self.choice()
        both = same(yes.kind, no.kind)
        if both is None:
            what = f"it yields {yes.kind} or {no.kind}"
            self.refuse(mark.position, what, f"let both sides be one type: {_WORD}")
        return _Part(both, yes.position)

    def _either(self) -> _Part:
        return self._chain(self._both, "||", lambda one, two: all_are(BOOLEAN, one, two))

    def _both(self) -> _Part:
        return self._chain(self._relation, "&&", lambda one, two: all_are(BOOLEAN, one, two))

    def _relation(self) -> _Part:
        part = self._sum()
        while mark := self._take("==", "!=", "<", "<=", ">", ">=", "in"):
            part = self._joined(part, mark, self._sum(), COMPARED[mark.text])
        return part

    def _sum(self) -> _Part:
        part = self._product()
        while mark := self._take("+", "-"):
            fits = added if mark.text == "+" else counted
            part = self._joined(part, mark, self._product(), fits)
        return part

    def _product(self) -> _Part:
        return self._chain(self._single, "*/%", counted)

    def _chain(
        self, tighter: Callable[[], _Part], marks: str, fits: Callable[[Kind, Kind], Kind | None]
    ) -> _Part:
        part, known = tighter(), (marks,) if marks in ("||", "&&") else tuple(marks)
        while mark := self._take(*known):
            part = self._joined(part, mark, tighter(), fits)
        return part

    def _joined(
        self, one: _Part, mark: _Token, two: _Part, fits: Callable[[Kind, Kind], Kind | None]
    ) -> _Part:
        kind = fits(one.kind, two.kind)
        if kind is None:
            sealed = NUMBER in (one.kind, two.kind)
            what = f"{mark.text} cannot take {one.kind} and {two.kind}"
            self.refuse(mark.position, what, _SEALED if sealed else _WORD)
        return _Part(kind, one.position)

    def _single(self) -> _Part:
        marks = []
        while mark := self._take("!", "-"):
            marks.append(mark)
        part = self._member()
        for mark in reversed(marks):
            wanted = BOOLEAN if mark.text == "!" else WHOLE
            if part.kind != wanted:
                what = f"{mark.text} takes {wanted}, and gets {part.kind}"
                self.refuse(mark.position, what, _WORD)
            part = _Part(wanted, mark.position)
        return part

    def _member(self) -> _Part:
        part = self._primary()
        while mark := self._take(".", "["):
            if mark.text == "[":
                nth = self.choice()
                self._need("]")
                if part.kind.name != LIST or part.kind.of is None:
                    self.refuse(mark.position, f"{part.kind} has no members", "leave [ ] out")
                if nth.kind != WHOLE:
                    self.refuse(nth.position, f"a member is counted, and not {nth.kind}", "[0]")
                part = _Part(part.kind.of, part.position)
                continue
            name = self._next()
            part = self._behind(part, name) if self._take("(") else self._no_part(part, name)
        return part

    def _no_part(self, part: _Part, name: _Token) -> NoReturn:
        self.refuse(name.position, f"{part.kind} has no part {name.text}", "name one of our fields")

    def _behind(self, part: _Part, name: _Token) -> _Part:
        """A call behind a value: `deal_name.contains("x")`, `modules.exists(m, m == "x")`."""
        if name.text in _PASSES and part.kind.name == LIST:
            return self._passed(part, name)
        if name.text in _PASSES:
            self.refuse(
                name.position, f"{name.text} goes over a list, not {part.kind}", "leave it out"
            )
        given = self._values()
        if name.text == "size" and (part.kind == TEXT or part.kind.name == LIST):
            self._count(name, given, 0)
            return _Part(WHOLE, part.position)
        if name.text not in _BEHIND:
            self._unknown(name)
        if part.kind != TEXT:
            self.refuse(name.position, f"{name.text} stands behind a text, not {part.kind}", _WORD)
        self._count(name, given, 1)
        self._fits(name, given[0], (TEXT,))
        return _Part(BOOLEAN, part.position)

    def _passed(self, part: _Part, name: _Token) -> _Part:
        member = self._next()
        self._need(",")
        before = dict(self.members)
        self.members[member.text] = part.kind.of or TEXT
        told = self.choice()
        self.members = before
        self._need(")")
        if name.text != "map" and told.kind != BOOLEAN:
            self.refuse(told.position, f"{name.text} asks for true or false", "compare it first")
        made = Kind(LIST, told.kind) if name.text == "map" else part.kind
        return _Part(_PASSES[name.text] or made, part.position)

    def _primary(self) -> _Part:
        token = self._next()
        if token.kind == "text":
            return _Part(TEXT, token.position, _bare(token.text))
        if token.kind == "whole":
            return _Part(WHOLE, token.position)
        if token.text == "(":
            part = self.choice()
            self._need(")")
            return part
        if token.text == "[":
            return self._list(token)
        if token.text == "{":
            self.refuse(token.position, "maps are not used here", "use an enum, or a shared one")
        if token.kind != "name":
            self.refuse(token.position, f"'{token.text}' is not understood here", "remove it")
        return self._call(token) if self._take("(") else self._name(token)

    def _list(self, start: _Token) -> _Part:
        of: Kind | None = None
        while not self._take("]"):
            part = self.choice()
            if of is not None and same(of, part.kind) is None:
                what = f"{Kind(LIST, of)} has no room for {part.kind}"
                self.refuse(part.position, what, _WORD)
            of = part.kind
            if not self._take(","):
                self._need("]")
                break
        return _Part(Kind(LIST, of), start.position)

    def _name(self, token: _Token) -> _Part:
        if token.text in ("true", "false"):
            return _Part(BOOLEAN, token.position)
        if token.text == "null":
            self.refuse(token.position, "nothing is null here", 'an empty field is "" or false')
        if token.text in self.members:
            return _Part(self.members[token.text], token.position)
        if token.text not in self.fields:
            near = get_close_matches(token.text, self.fields, n=1)
            remedy = f"did you mean {near[0]}?" if near else "use a field of ours, or quote a text"
            self.refuse(token.position, f"we have no field '{token.text}'", remedy)
        self.inputs.add(token.text)
        return _Part(_OURS.get(self.fields[token.text].type, TEXT), token.position)

    def _call(self, name: _Token) -> _Part:
        if name.text in _BEHIND:
            what = f"{name.text} stands behind a text"
            self.refuse(name.position, what, f'for example deal_name.{name.text}("x")')
        if name.text not in CALLS:
            self._unknown(name)
        given = self._values()
        if name.text == "size":
            self._count(name, given, 1)
            if given[0].kind.name != LIST:
                self._fits(name, given[0], (TEXT,))
            return _Part(WHOLE, name.position)
        wanted, kind = _CALLS[name.text]
        self._count(name, given, len(wanted))
        for part, kinds in zip(given, wanted, strict=True):
            self._fits(name, part, kinds)
            if name.text == "at_least" and part.literal is not None:
                self._decimal(part, part.literal)
        return _Part(kind, name.position)

    def _values(self) -> list[_Part]:
        given = []
        while not self._take(")"):
            given.append(self.choice())
            if not self._take(","):
                self._need(")")
                break
        return given

    def _unknown(self, name: _Token) -> NoReturn:
        remedy = f"it may call {', '.join(sorted(CALLS))}"
        self.refuse(name.position, f"there is no function {name.text} here", remedy)

    def _count(self, name: _Token, given: Sequence[_Part], wanted: int) -> None:
        if len(given) != wanted:
            several = "1 value" if wanted == 1 else f"{wanted} values"
            what = f"{name.text} takes {several}, and gets {len(given)}"
            self.refuse(name.position, what, "see docs/mapping.md for what an expression may call")

    def _fits(self, name: _Token, part: _Part, kinds: Sequence[Kind]) -> None:
        if part.kind not in kinds:
            wanted = " or ".join(map(str, kinds))
            what = f"{name.text} takes {wanted}, and gets {part.kind}"
            self.refuse(part.position, what, _SEALED if part.kind == NUMBER else _WORD)

    def _decimal(self, part: _Part, text: str) -> None:
        try:
            Decimal(text)
        except InvalidOperation:
            self.refuse(part.position, f"'{text}' is no number", 'for example "1000.50"')


def _bare(text: str) -> str:
    bare = text.lstrip("rR")
    return bare[3:-3] if bare.startswith(('"""', "'''")) else bare[1:-1]
