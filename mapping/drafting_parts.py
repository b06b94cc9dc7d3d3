"""What the parts of a draft share: the object that is drafted, its options, and their wording."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from mapping.drafting_words import LONG
from registration_core.contracts import FieldSchema, FieldType, ObjectSchema

#: Marks a question in a draft.
QUESTION = "# ?"
#: Characters of a registration id (a UUID in its usual form).
ID_LENGTH = 36
#: Longest text that a draft lets flow, in characters, where the field takes more.
_TEXT_MAX, _LONG_TEXT_MAX = 255, 32_000
#: Longest part before `_` in a field's name that is a publisher's, or ours, and not a word.
_PREFIX_MAX = 4
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


def requires(schema: ObjectSchema, f: FieldSchema) -> str:
    """Word what a CRM requires of an object and nothing fills yet, with what it takes."""
    which = f": one of {', '.join(shown(f, each) for each in f.options)}" if f.options else ""
    return f"{schema.name} requires {f.name}{which}"


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


def forms(f: FieldSchema) -> set[str]:
    """Return what a field may be called: its name and label, each with and without a prefix of ours."""
    name = f.name.removesuffix("__c")
    prefix, _, tail = name.partition("_")
    own = tail if len(prefix) <= _PREFIX_MAX or prefix.casefold() == "dealreg" else ""
    return {bare(text) for text in (name, own, f.label) if text}


def best(
    fields: Iterable[FieldSchema], words: Sequence[str], fits: Callable[[FieldSchema], bool]
) -> list[FieldSchema]:
    """Return the fields of the best word that finds any; several mean that somebody has to choose."""
    fitting = [f for f in fields if fits(f)]
    found = ([f for f in fitting if bare(word) in forms(f)] for word in words)
    return next((several for several in found if several), [])


def keys(schema: ObjectSchema) -> tuple[str, list[str]]:
    """Return the field that carries our id, "" where that is not clear, and all that could."""
    fitting = [
        f.name
        for f in schema.fields.values()
        if f.unique and f.createable and f.type is FieldType.TEXT and (f.length or 99) >= ID_LENGTH
    ]
    # An org may have other unique texts; the one of the definitions that we ship says whose it is.
    chosen = [name for name in fitting if "dealreg" in name.casefold()]
    chosen = chosen if len(fitting) > 1 else fitting
    return chosen[0] if len(chosen) == 1 else "", fitting


def transform_between(ours: FieldSchema, theirs: FieldSchema) -> str | None:
    """Return the transform between two fields, "" for none needed; None where there is none."""
    match ours.type, theirs.type:
        case FieldType.TEXT, FieldType.TEXT:
            most = _LONG_TEXT_MAX if ours.name in LONG else _TEXT_MAX
            longest = min(theirs.length or most, most)
            if ours.name == "currency":
                return f"{{text: {{max: {min(3, longest)}, case: upper}}}}"
            return f"{{text: {{max: {longest}}}}}"
        case FieldType.TEXT, FieldType.PICKLIST:
            return ""
        case FieldType.PICKLIST, FieldType.PICKLIST | FieldType.TEXT:
            return ""
        case FieldType.NUMBER, FieldType.NUMBER:
            scale = 2 if theirs.scale is None else min(2, theirs.scale)
            return f"{{money: {{scale: {scale}}}}}"
        case FieldType.DATE, FieldType.DATE:
            return "date"
        case FieldType.DATE, FieldType.DATETIME:
            return "{date: {as: datetime}}"
        case FieldType.REFERENCE, FieldType.REFERENCE:
            return "reference"
        case one, other if one is other:
            return ""
        case _:
            return None


def commented(indent: str, lines: Iterable[str]) -> Iterator[str]:
    """Turn lines into comments that are right again once `# ` is taken away."""
    return (f"{indent}# {line}" for line in lines)
