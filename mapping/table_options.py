"""Read the tables of a mapping row: enum, multi, boolean words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from mapping.transform_options import RowContext, whole
from mapping.transforms import ANY, Boolean, Enum, Multi, Transform

#: A table as it was read: our options, each with the CRM's alternatives.
_Read = Sequence[tuple[str, tuple[tuple[str, ...], ...]]]


def boolean(name: str, options: Any, row: RowContext) -> Transform | None:
    """Read the words for yes and no: one each, or a list of which the first is written."""
    if not isinstance(options, Mapping) or set(options) != {True, False}:
        row.tell((name,), "boolean needs a text for true and for false", _BOOLEAN_EXAMPLE)
        return None
    true, false = _words(options[True]), _words(options[False])
    if not true or not false or set(true) & set(false):
        row.tell((name,), "boolean needs two different texts", _BOOLEAN_EXAMPLE)
        return None
    return Boolean(true, false)


def _words(node: Any) -> tuple[str, ...]:
    entries = node if isinstance(node, list) else [node]
    good = all(isinstance(entry, str) and entry for entry in entries)
    return tuple(str(entry) for entry in entries) if good else ()


def multi(name: str, options: Any, row: RowContext) -> Transform | None:
    """Read a table of a set: our options, each with one or more of the CRM's."""
    read = _table(name, options, row)
    if read is None:
        return None
    return Multi(
        tuple((option, tuple(a[0] for a in alternatives)) for option, alternatives in read)
    )


def enum(name: str, options: Any, row: RowContext) -> Transform | None:
    """Read a table: our options, each with the CRM's values for it."""
    read = _table(name, options, row)
    return None if read is None else Enum(tuple(read))


def _table(name: str, options: Any, row: RowContext) -> _Read | None:
    if not isinstance(options, Mapping) or not options:
        row.tell((name,), f"{name} needs our options, each with the CRM's values", _ENUM_EXAMPLE)
        return None
    read: list[tuple[str, tuple[tuple[str, ...], ...]]] = []
    good = True
    for option, node in options.items():
        alternatives = _alternatives(node, len(row.theirs))
        if option == ANY and _takes_any(name, row):
            read.append((ANY, alternatives)) if alternatives else None
        elif row.ours.options is not None and option not in row.ours.options:
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
    good = _is_unambiguous(name, read, row) and good
    return read if good and _is_whole(name, read, row) else None


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
        texts = [str(v) for v in values if isinstance(v, str) or whole(v)]
        if len(texts) != fields or not all(texts) or all(text == ANY for text in texts):
            return None
        alternatives.append(tuple(texts))
    return tuple(alternatives) or None


def _takes_any(name: str, row: RowContext) -> bool:
    """Whether the row may say what is written for every other value of ours."""
    return name == "enum" and row.direction == "push"


def _is_unambiguous(name: str, read: _Read, row: RowContext) -> bool:
    if row.direction == "push":
        return True  # nothing is read back as one of ours, so several may share a value
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


def _is_whole(name: str, read: _Read, row: RowContext) -> bool:
    listed = {option for option, _ in read}
    if ANY in listed:
        return True
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


_BOOLEAN_EXAMPLE = "for example boolean: {true: 'Yes', false: 'No'}"
_ENUM_EXAMPLE = "for example won: [Closed Won]"
_ENUM_OF_SEVERAL_EXAMPLE = """for example won: ["1", "*"], a value for each field"""
