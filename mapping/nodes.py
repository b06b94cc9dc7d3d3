"""Reading the nodes of a mapping file: every mistake is told with its line, none stops the reading."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from config.documents import Document
from registration_core.contracts import Condition, Value
from registration_core.errors import Problem

Path = tuple[str | int, ...]


class Nodes:
    """One document; problems are collected, and what has one is read as missing."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []

    def tell(self, path: Sequence[str | int], what: str, remedy: str) -> None:
        """Tell a problem of the node at `path`."""
        self.tell_at(self.document.where(path), what, remedy)

    def tell_at(self, where: str, what: str, remedy: str) -> None:
        """Tell a problem at `file:line`, once: rows that share a piece share its problems."""
        problem = Problem(where, what, remedy)
        if problem not in self.problems:
            self.problems.append(problem)

    def only(self, node: Mapping[str, Any], path: Path, known: Sequence[str]) -> list[str]:
        """Return the known keys that are there; the others are problems."""
        for key in node:
            if key not in known:
                self.tell((*path, key), f"unknown field '{key}'", near(str(key), known))
        return [key for key in node if key in known]

    def map(self, node: Mapping[str, Any], path: Path, key: str) -> Mapping[str, Any]:
        """Return a mapping that must be there and hold something."""
        value = node.get(key)
        if isinstance(value, Mapping) and value:
            return value
        what = f"{key} is missing" if value is None else f"{key} must be a mapping"
        self.tell((*path, key), what, "add it" if value is None else "write it as name: value")
        return {}

    def text(self, node: Mapping[str, Any], path: Path, key: str) -> str:
        """Return a text that must be there."""
        value = node.get(key)
        if isinstance(value, str) and value:
            return value
        if node:
            what = f"{key} is missing" if value in (None, "") else f"{key} must be text"
            self.tell((*path, key), what, "add it" if value in (None, "") else "quote it")
        return ""

    def word(
        self, node: Mapping[str, Any], path: Path, key: str, known: Sequence[str], default: str
    ) -> str:
        """Return one of the known words; the default where it is left out or wrong."""
        value = node.get(key, default)
        if value in known or key not in node:
            return str(value)
        self.tell((*path, key), f"unknown {key} '{value}'", f"one of: {', '.join(known)}")
        return default

    def constant(self, value: Any, path: Path) -> Value:
        """Return a constant."""
        if isinstance(value, bool | str):
            return value
        if isinstance(value, int | float):
            return Decimal(str(value))
        self.tell(path, "a constant is text, a number, true or false", "quote it if it is text")
        return None

    def conditions(self, node: Mapping[str, Any], path: Path) -> tuple[Condition, ...]:
        """Return conditions, each a field with a list of values."""
        read = []
        for field, values in node.items():
            where = (*path, field)
            if not isinstance(values, list) or not values:
                example = f"for example {field}: [false]"
                self.tell(where, f"{field} needs a list of values", example)
                continue
            read.append(Condition(str(field), tuple(self.constant(v, where) for v in values)))
        return tuple(read)


def near(word: str, known: Iterable[str]) -> str:
    """Say which word may have been meant, or which there are."""
    names = list(known)
    close = get_close_matches(word, names, n=1)
    return f"did you mean {close[0]}?" if close else f"one of: {', '.join(names)}"
