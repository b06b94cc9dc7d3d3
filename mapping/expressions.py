"""One-way expressions: a CRM field computed from several of ours, in CEL, and nothing else.

The language is the Common Expression Language (cel.dev). An expression sees our fields alone; it
has no clock, no I/O and no loop without end. Numbers, money among them, are sealed: `at_least`
compares them and `text` words them, both exactly, and nothing else takes them, so that none ever
passes through a float. Empty fields are empty texts (false for a boolean, no members for a set),
so that no expression meets null.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from itertools import product
from typing import Any

from mapping.expression_kinds import BOOLEAN, TEXT, WHOLE
from mapping.expression_types import Flaw, place, typed
from mapping.transforms import Untranslatable
from registration_core.contracts import Fields, FieldSchema, FieldType, ObjectSchema, Value

#: Longest expression and longest result, in characters.
LENGTH_MAX, RESULT_MAX = 500, 4000
#: Deepest nesting of brackets, most members of a list, and most passes over one.
NESTING_MAX, MEMBERS_MAX, PASSES_MAX = 8, 200, 1

_PASSES = re.compile(r"\.\s*(all|exists|exists_one|filter|map)\s*\(")
_STRINGS = re.compile(r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'")
_POSITION = re.compile(r"<input>:(\d+):(\d+): ([^\n{]*)")
#: What a field of theirs is that takes what an expression yields.
_FIELD_TYPES = {TEXT: FieldType.TEXT, BOOLEAN: FieldType.BOOLEAN, WHOLE: FieldType.NUMBER}
#: Key under which a sealed number keeps its text.
_EXACT = "exact"
#: Most trials with the values that our fields may have, before an expression is used.
_TRIALS_MAX = 256


@dataclass(frozen=True)
class Expression:
    """A checked expression."""

    source: str
    #: Our fields that it reads, sorted.
    inputs: tuple[str, ...]
    #: What it yields: text, boolean or (whole) number.
    type: FieldType
    _program: Any = field(repr=False, compare=False)
    _types: Mapping[str, FieldType] = field(repr=False, compare=False)

    def value(self, ours: Fields) -> Value:
        """Compute it from our fields; `Untranslatable` where it cannot be."""
        given = {name: _given(self._types[name], ours.get(name)) for name in self.inputs}
        result = _result(_run(self._program, given))
        if result is not None and _type_of(result) is not self.type:
            raise Untranslatable(f"yields {result!r}, where a {self.type.value} is expected")
        return result


def read_expression(source: str, ours: ObjectSchema) -> Expression:
    """Check an expression against our fields: syntax, names, calls, types, size.

    Raises:
        Flaw: It cannot be used; tells the line and column inside the expression.
    """
    _within_limits(source)
    program = _compiled(source)
    kind, inputs = typed(source, ours.fields)
    types = {name: ours.fields[name].type for name in inputs}
    _tried(program, [ours.fields[name] for name in inputs])
    return Expression(source, inputs, _FIELD_TYPES[kind], program, types)


def _within_limits(source: str) -> None:
    if len(source) > LENGTH_MAX:
        raise Flaw(f"it has {len(source)} characters", f"write it in at most {LENGTH_MAX}")
    bare = _STRINGS.sub(lambda found: " " * len(found[0]), source)
    depth = 0
    for position, letter in enumerate(bare):
        depth += (letter in "([{") - (letter in ")]}")
        if depth > NESTING_MAX:
            line, column = place(source, position)
            raise Flaw("it is nested too deeply", f"at most {NESTING_MAX} brackets", line, column)
    if bare.count(",") >= MEMBERS_MAX:
        raise Flaw("it lists too many members", "use an enum, or a shared one")
    passes = list(_PASSES.finditer(bare))
    if len(passes) > PASSES_MAX:
        line, column = place(source, passes[PASSES_MAX].start())
        raise Flaw("it goes over lists more than once", "use one all, exists or map", line, column)
    number = re.search(r"(?<![\w.])\d+(\.\d*|[eE])", bare)
    if number:
        line, column = place(source, number.start())
        remedy = 'compare amounts with at_least(amount, "1000.50")'
        raise Flaw("it holds a number with a fraction", remedy, line, column)


def _compiled(source: str) -> Any:
    import cel  # with its command line it takes 9 MB, which mappings without expressions save

    try:
        return cel.compile(source)
    except ValueError as error:
        found = _POSITION.search(str(error))
        if found is None:
            raise Flaw("it is no expression", "see docs/mapping.md") from None
        said = found[3].partition(" expecting")[0].strip()
        raise Flaw(said, "correct the expression", int(found[1]), int(found[2])) from None


def _tried(program: Any, fields: list[FieldSchema]) -> None:
    """Run it with values that the fields may have: one that always fails is told before it is used."""
    yields = False
    choices = [_examples(each) for each in fields]
    for trial, values in enumerate(product(*choices)):
        if trial == _TRIALS_MAX:
            break
        given = {f.name: _given(f.type, value) for f, value in zip(fields, values, strict=True)}
        try:
            yields |= _result(_run(program, given)) is not None
        except Untranslatable as error:
            raise Flaw(str(error), "see docs/mapping.md for the types of our fields") from None
    if not yields:
        raise Flaw("it never yields anything", "let it yield a text")


def _examples(field: FieldSchema) -> tuple[Value, ...]:
    match field.type:
        case FieldType.NUMBER:
            return (Decimal("1234.50"), None, Decimal(0))
        case FieldType.BOOLEAN:
            return (True, False)
        case FieldType.DATE:
            return (date(2026, 2, 1), None)
        case FieldType.DATETIME:
            return (datetime(2026, 2, 1), None)  # noqa: DTZ001 - only its text is used
        case FieldType.MULTI_PICKLIST:
            return (field.options or ("a", "b"), None)
        case _:
            return (*(field.options or ("Abc", "de")), None)


def _given(kind: FieldType, value: Value) -> object:
    """Return a value the way an expression sees it."""
    if kind is FieldType.BOOLEAN:
        return bool(value)
    if isinstance(value, tuple) or kind is FieldType.MULTI_PICKLIST:
        members = value if isinstance(value, tuple) else ()
        if len(members) > MEMBERS_MAX:
            raise Untranslatable(f"has {len(members)} members, more than {MEMBERS_MAX}")
        return list(members)
    if kind is FieldType.NUMBER:
        return {_EXACT: format(value, "f") if isinstance(value, Decimal) else ""}
    if value is None:
        return ""
    return value.isoformat() if isinstance(value, date) else str(value)


def _run(program: Any, given: Mapping[str, object]) -> object:
    mistakes: list[str] = []

    def at_least(one: object, other: object) -> bool:
        # It must not raise: the library prints what a function raises.
        left, right = _worded(one), _worded(other)
        if "" in (left, right):
            return False
        try:
            return Decimal(left) >= Decimal(right)
        except InvalidOperation:
            mistakes.append(f"at_least cannot compare '{left}' and '{right}'")
            return False

    functions: dict[str, Callable[..., object]] = {
        "at_least": at_least,
        "text": _worded,
        "upper": lambda text: str(text).upper(),
        "lower": lambda text: str(text).lower(),
    }
    import cel

    try:
        result = program.execute(cel.Context(dict(given), functions))
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise Untranslatable(str(error).partition(". ")[0]) from None
    if mistakes:
        raise Untranslatable(mistakes[0])
    return result


def _worded(value: object) -> str:
    """Return a sealed number, or anything else, as its exact text."""
    return str(value[_EXACT]) if isinstance(value, dict) and _EXACT in value else str(value)


def _result(result: object) -> Value:
    if isinstance(result, str):
        if len(result) > RESULT_MAX:
            raise Untranslatable(f"yields {len(result)} characters, more than {RESULT_MAX}")
        return result.strip() or None
    if isinstance(result, bool):
        return result
    if isinstance(result, int):
        return Decimal(result)
    raise Untranslatable(f"yields {type(result).__name__}, not text, true, false or a whole number")


def _type_of(value: Value) -> FieldType:
    if isinstance(value, bool):
        return FieldType.BOOLEAN
    return FieldType.NUMBER if isinstance(value, Decimal) else FieldType.TEXT
