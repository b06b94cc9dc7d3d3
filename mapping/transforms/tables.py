"""Transforms by a table: our options, and what the CRM calls them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from mapping.transforms.base import (
    ANY,
    EMPTY,
    TEXTUAL,
    OneField,
    Plain,
    Untranslatable,
    set_of,
)
from registration_core.contracts import Fields, FieldType, Value


@dataclass(frozen=True)
class Enum(Plain):
    """Our options, each with the CRM's values for it; the first is written, all are read.

    With several CRM fields an alternative has one value per field, or `ANY`. In a table that is
    only written, the option `ANY` stands for every value of ours that is not listed.
    """

    options: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]
    name: ClassVar[str] = "enum"
    several = True

    @property
    def store_types(self) -> frozenset[FieldType]:
        return TEXTUAL

    @property
    def crm_types(self) -> frozenset[FieldType]:
        return TEXTUAL | {FieldType.REFERENCE}

    def longest(self) -> int | None:
        return max(len(part) for _, alternatives in self.options for part in alternatives[0])

    def values(self, position: int) -> tuple[str, ...]:
        named = (alt[position] for _, alternatives in self.options for alt in alternatives)
        return tuple(dict.fromkeys(value for value in named if value != ANY))

    def any_value(self, position: int) -> bool:
        return any(alt[position] == ANY for _, alternatives in self.options for alt in alternatives)

    def read(self, theirs: Sequence[Value]) -> Value:
        if all(value in EMPTY for value in theirs):
            return None
        for option, alternatives in self.options:
            if any(_fits(alternative, theirs) for alternative in alternatives):
                return option
        raise Untranslatable("is not listed in the mapping")

    def write(self, ours: Value, names: Sequence[str]) -> Fields:
        if ours in EMPTY:
            if len(names) == 1:
                return {names[0]: None}
            raise Untranslatable("is empty, and several CRM fields cannot be emptied as one")
        for option, alternatives in self.options:
            if option in (ours, ANY):
                pairs = zip(names, alternatives[0], strict=True)
                return {name: value for name, value in pairs if value != ANY}
        raise Untranslatable("is not listed in the mapping")


@dataclass(frozen=True)
class Multi(OneField):
    """A set of our options, each with the CRM's values for it; the first is written."""

    options: tuple[tuple[str, tuple[str, ...]], ...]
    name: ClassVar[str] = "multi"

    @property
    def store_types(self) -> frozenset[FieldType]:
        return frozenset({FieldType.MULTI_PICKLIST})

    @property
    def crm_types(self) -> frozenset[FieldType]:
        return frozenset({FieldType.MULTI_PICKLIST})

    def values(self, position: int) -> tuple[str, ...]:
        return tuple(value for _, values in self.options for value in values)

    def _read(self, value: Value) -> Value:
        known = {their: option for option, values in self.options for their in values}
        return _all_of(set_of(value), known)

    def _write(self, value: Value) -> Value:
        return _all_of(set_of(value), {option: values[0] for option, values in self.options})


def _all_of(values: Sequence[str], known: dict[str, str]) -> Value:
    for value in values:
        if value not in known:
            raise Untranslatable(f"has '{value}', which is not listed in the mapping")
    return tuple(sorted({known[value] for value in values})) or None


def _fits(alternative: Sequence[str], theirs: Sequence[Value]) -> bool:
    pairs = zip(alternative, theirs, strict=True)
    return all(value in (ANY, their) for value, their in pairs)
