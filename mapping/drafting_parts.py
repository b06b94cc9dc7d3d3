"""What the parts of a draft share: the object that is drafted, its options, and their wording."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from registration_core.contracts import FieldSchema, ObjectSchema

#: Marks a question in a draft.
QUESTION = "# ?"
#: A word that YAML reads as text without quotes, and those that look like one and are not.
_WORDS_OF_YAML = frozenset({"yes", "no", "true", "false", "null"})
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./ -]*")


@dataclass
class Draft:
    """The lines of one object, and which of its fields are spoken for."""

    schema: ObjectSchema
    role: str
    used: set[str] = field(default_factory=set)


def choices(f: FieldSchema) -> list[tuple[str, str]]:
    """What a field takes, each value with its label."""
    labels = f.option_labels or ("",) * len(f.options or ())
    return list(zip(f.options or (), labels, strict=True))


def shown(f: FieldSchema, option: str) -> str:
    """An option as a person knows it: with its label, where that is another."""
    label = dict(choices(f))[option]
    return option if bare(label) in ("", bare(option)) else f"{option} ({label})"


def bare(text: str) -> str:
    """Return a name or label without case, spaces and marks."""
    return re.sub(r"[^a-z0-9]", "", text.casefold())


def has(option: str, stems: Sequence[str]) -> bool:
    """Whether any of these parts of words is in an option."""
    return any(stem in option.casefold() for stem in stems)


def quoted(value: str) -> str:
    """Return an option as YAML reads it as text."""
    plain = _PLAIN.fullmatch(value) and value.casefold() not in _WORDS_OF_YAML
    return value if plain else f'"{value}"'
