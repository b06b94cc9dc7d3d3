"""Read the `transform:` of a mapping row; every problem is told, none stops the reading."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from mapping.transforms import (
    ANY,
    Boolean,
    Copy,
    Date,
    Enum,
    Number,
    Reference,
    Text,
    Transform,
)
from registration_core.contracts import FieldSchema

#: Longest text any of the three CRMs keeps in one field, in characters (Dataverse multi-line
#: text, by the Power Apps documentation).
TEXT_MAX = 1_048_576
#: Most decimal places of a number in any of the three CRMs, with room.
SCALE_MAX = 10


@dataclass(frozen=True)
class RowContext:
    """What a transform has to fit: our field, the CRM's fields, and whether we write."""

    ours: FieldSchema
    theirs: tuple[str, ...]
    pushes: bool
    #: Tell a problem at a path below `transform`: path, what, remedy.
    tell: Callable[[Sequence[str | int], str, str], None]


def read_transform(node: Any, row: RowContext) -> Transform | None:
    """Return the transform that a file asks for, or None after telling what is wrong with it."""
    if node is None:
        transform: Transform | None = Copy(row.ours.type)
    elif isinstance(node, str):
        transform = _build(node, {}, row)
    elif isinstance(node, Mapping) and len(node) == 1:
        name, options = next(iter(node.items()))
        transform = _build(str(name), options, row)
    else:
        row.tell((), "a transform is a word, or one word with its options", _LIST)
        return None
    if transform is None:
        return None
    if row.ours.type not in transform.store_types:
        row.tell(
            (),
            f"transform {transform.name} is not for {row.ours.name}, a {row.ours.type.value} field",
            _LIST,
        )
        return None
    if len(row.theirs) > 1 and not isinstance(transform, Enum):
        row.tell((), f"transform {transform.name} takes one CRM field", "use an enum for several")
        return None
    return transform


def _build(name: str, options: Any, row: RowContext) -> Transform | None:
    builder = _BUILDERS.get(name)
    if builder is None:
        row.tell((), f"unknown transform '{name}'", _LIST)
        return None
    return builder(name, options, row)


def _copy(name: str, options: Any, row: RowContext) -> Transform | None:
    return Copy(row.ours.type) if _known(name, options, (), row) else None


def _reference(name: str, options: Any, row: RowContext) -> Transform | None:
    return Reference() if _known(name, options, (), row) else None


def _text(name: str, options: Any, row: RowContext) -> Transform | None:
    if not _known(name, options, ("max", "case"), row):
        return None
    longest, case = options.get("max"), options.get("case")
    if not _whole(longest) or not 0 < longest <= TEXT_MAX:
        row.tell((name, "max"), "text needs max, its longest length", "for example text: {max: 80}")
        return None
    if case not in (None, "upper", "lower"):
        row.tell((name, "case"), f"unknown case '{case}'", "upper or lower")
        return None
    return Text(int(longest), case)


def _date(name: str, options: Any, row: RowContext) -> Transform | None:
    if not _known(name, options, ("as",), row):
        return None
    kind = options.get("as", "date")
    if kind not in ("date", "datetime"):
        row.tell((name, "as"), f"a date cannot be kept as '{kind}'", "date or datetime")
        return None
    return Date(as_datetime=kind == "datetime")


def _number(name: str, options: Any, row: RowContext) -> Transform | None:
    if not _known(name, options, ("scale",), row):
        return None
    scale = options.get("scale")
    if not _whole(scale) or not 0 <= scale <= SCALE_MAX:
        row.tell(
            (name, "scale"),
            f"{name} needs scale, its decimal places, from 0 to {SCALE_MAX}",
            f"for example {name}: {{scale: 2}}",
        )
        return None
    return Number(int(scale), "money" if name == "money" else "number")


def _boolean(name: str, options: Any, row: RowContext) -> Transform | None:
    if not isinstance(options, Mapping) or set(options) != {True, False}:
        row.tell((name,), "boolean needs a text for true and for false", _BOOLEAN_EXAMPLE)
        return None
    true, false = options[True], options[False]
    if not isinstance(true, str) or not isinstance(false, str) or true == false or not true:
        row.tell((name,), "boolean needs two different texts", _BOOLEAN_EXAMPLE)
        return None
    return Boolean(true, false)


def _enum(name: str, options: Any, row: RowContext) -> Transform | None:
    if not isinstance(options, Mapping) or not options:
        row.tell((name,), "enum needs our options, each with the CRM's values", _ENUM_EXAMPLE)
        return None
    read: list[tuple[str, tuple[tuple[str, ...], ...]]] = []
    good = True
    for option, node in options.items():
        alternatives = _alternatives(node, len(row.theirs))
        if row.ours.options is not None and option not in row.ours.options:
            row.tell(
                (name, option),
                f"{row.ours.name} has no option '{option}'",
                f"one of: {', '.join(row.ours.options)}",
            )
            good = False
        elif alternatives is None:
            several = len(row.theirs) > 1
            wanted = f"{len(row.theirs)} values" if several else "a value"
            example = _ENUM_OF_SEVERAL_EXAMPLE if several else _ENUM_EXAMPLE
            row.tell((name, option), f"'{option}' needs {wanted} of the CRM", example)
            good = False
        else:
            read.append((str(option), alternatives))
    good = _enum_is_unambiguous(name, read, row) and good
    return Enum(tuple(read)) if good and _enum_is_whole(name, read, row) else None


def _alternatives(node: Any, fields: int) -> tuple[tuple[str, ...], ...] | None:
    """One value, a list of them; with several CRM fields a list of lists, or one list."""
    entries = list(node) if isinstance(node, Sequence) and not isinstance(node, str) else [node]
    if (
        fields > 1
        and entries
        and not any(isinstance(e, Sequence) for e in entries if not isinstance(e, str))
    ):
        entries = [entries]
    alternatives = []
    for entry in entries:
        values = [entry] if fields == 1 else entry
        if isinstance(values, str) or not isinstance(values, Sequence) or len(values) != fields:
            return None
        texts = [str(v) for v in values if isinstance(v, str) or _whole(v)]
        if len(texts) != fields or not all(texts) or all(text == ANY for text in texts):
            return None
        alternatives.append(tuple(texts))
    return tuple(alternatives) or None


def _enum_is_unambiguous(
    name: str, read: Sequence[tuple[str, tuple[tuple[str, ...], ...]]], row: RowContext
) -> bool:
    good = True
    for (one, ones), (other, others) in combinations(read, 2):
        for alternative in others:
            if any(_overlap(alternative, a) for a in ones):
                row.tell(
                    (name, other),
                    f"'{' + '.join(alternative)}' stands for both {one} and {other}",
                    "keep it under one of them, else reading it is a guess",
                )
                good = False
    return good


def _enum_is_whole(
    name: str, read: Sequence[tuple[str, tuple[tuple[str, ...], ...]]], row: RowContext
) -> bool:
    listed = {option for option, _ in read}
    missing = [option for option in row.ours.options or () if option not in listed]
    if missing and row.pushes:
        row.tell(
            (name,),
            f"no value for our option {', '.join(missing)}",
            "add one for each; the first value of an option is the one written",
        )
        return False
    return True


def _overlap(one: Sequence[str], other: Sequence[str]) -> bool:
    return all(a == b or ANY in (a, b) for a, b in zip(one, other, strict=True))


def _known(name: str, options: Any, allowed: Sequence[str], row: RowContext) -> bool:
    if not isinstance(options, Mapping):
        row.tell((name,), f"the options of {name} must be a mapping", _LIST)
        return False
    unknown = [option for option in options if option not in allowed]
    for option in unknown:
        remedy = f"it takes {' and '.join(allowed)}" if allowed else "it takes none"
        row.tell((name, option), f"{name} has no option '{option}'", remedy)
    return not unknown


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_BUILDERS: dict[str, Callable[[str, Any, RowContext], Transform | None]] = {
    "copy": _copy,
    "text": _text,
    "enum": _enum,
    "date": _date,
    "money": _number,
    "number": _number,
    "boolean": _boolean,
    "reference": _reference,
}

#: The words a mapping file may use, in the order of the documentation.
TRANSFORMS = tuple(_BUILDERS)
_LIST = f"transforms: {', '.join(TRANSFORMS)}; see docs/mapping.md"
_BOOLEAN_EXAMPLE = "for example boolean: {true: 'Yes', false: 'No'}"
_ENUM_EXAMPLE = "for example won: [Closed Won]"
_ENUM_OF_SEVERAL_EXAMPLE = """for example won: ["1", "*"], a value for each field"""
