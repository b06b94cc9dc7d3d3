"""What the parts of an expression yield, and what operators make of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """What an expression, or a part of it, yields; of a list also what its members are."""

    name: str
    of: Kind | None = None

    def __str__(self) -> str:
        if self.name != LIST:
            return self.name
        return f"a list of {self.of.name.removeprefix('a ')}s" if self.of else "a list"


TEXT, BOOLEAN, WHOLE = Kind("a text"), Kind("true or false"), Kind("a whole number")
#: A number of ours, sealed: only `at_least` and `text` take it.
NUMBER = Kind("a number")
LIST = "list"


def same(one: Kind, two: Kind) -> Kind | None:
    """Return the kind that both are; a list without members is one of any."""
    if one.name == two.name == LIST and None in (one.of, two.of):
        return one if two.of is None else two
    return one if one == two else None


def all_are(kind: Kind, *given: Kind) -> Kind | None:
    """Return the kind where all are of it."""
    return kind if all(each == kind for each in given) else None


def counted(one: Kind, two: Kind) -> Kind | None:
    """Return what `-`, `*`, `/` and `%` make of two kinds; None where they do not take them."""
    return all_are(WHOLE, one, two)


def added(one: Kind, two: Kind) -> Kind | None:
    """Return what `+` makes of two kinds; None where it does not take them."""
    both = same(one, two)
    return both if both is not None and (both in (TEXT, WHOLE) or both.name == LIST) else None


def _equal(one: Kind, two: Kind) -> Kind | None:
    return BOOLEAN if same(one, two) not in (None, NUMBER) else None


def _ordered(one: Kind, two: Kind) -> Kind | None:
    return BOOLEAN if same(one, two) in (TEXT, WHOLE) else None


def _among(one: Kind, two: Kind) -> Kind | None:
    inside = two.name == LIST and (two.of is None or two.of == one)
    return BOOLEAN if inside and one != NUMBER else None


#: What each comparison makes of two kinds; None where it does not take them.
COMPARED: Mapping[str, Callable[[Kind, Kind], Kind | None]] = {
    "==": _equal, "!=": _equal, "in": _among,
    "<": _ordered, "<=": _ordered, ">": _ordered, ">=": _ordered,
}  # fmt: skip
