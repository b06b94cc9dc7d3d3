"""Transforms between one text and several: lists in a text, parts of a text, fields as one text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from mapping.transforms.base import (
    EMPTY,
    TEXTUAL,
    OneField,
    OneWay,
    Plain,
    TextToText,
    Untranslatable,
    set_of,
    text_of,
    trimmed,
)
from registration_core.contracts import Fields, FieldType, Value

#: Most members of a list that a JSON text may hold.
MEMBERS_MAX = 1000


class _SetToText(OneField):
    """A set of ours that the CRM keeps as one text."""

    @property
    def store_types(self) -> frozenset[FieldType]:
        return frozenset({FieldType.MULTI_PICKLIST})

    @property
    def crm_types(self) -> frozenset[FieldType]:
        return frozenset({FieldType.TEXT})


@dataclass(frozen=True)
class TextList(_SetToText):
    """A set, in the CRM one text with a separator between its members."""

    separator: str
    name: ClassVar[str] = "list"

    def _read(self, value: Value) -> Value:
        return set_of(tuple(text_of(value).split(self.separator))) or None

    def _write(self, value: Value) -> Value:
        members = set_of(value)
        joined = self.separator.join(members)
        if members and self._read(joined) != members:
            raise Untranslatable("has a member that holds the separator")
        return joined or None


@dataclass(frozen=True)
class JsonList(_SetToText):
    """A set, in the CRM a JSON list of texts."""

    name: ClassVar[str] = "json_list"

    def _read(self, value: Value) -> Value:
        try:
            members = json.loads(text_of(value))
        except (ValueError, RecursionError):
            raise Untranslatable("is not JSON") from None
        if not isinstance(members, list) or not all(isinstance(m, str) for m in members):
            raise Untranslatable("is not a JSON list of texts")
        if len(members) > MEMBERS_MAX:
            raise Untranslatable(f"has more than {MEMBERS_MAX} members")
        return set_of(tuple(members)) or None

    def _write(self, value: Value) -> Value:
        members = set_of(value)
        return json.dumps(members, ensure_ascii=False) if members else None


@dataclass(frozen=True)
class Split(TextToText):
    """One part of a CRM text, counted from 1; empty where there are fewer parts."""

    separator: str
    part: int
    name: ClassVar[str] = "split"
    one_way = OneWay(("pull",), "writing one part would lose the others")

    def canonical(self, ours: Value, names: Sequence[str]) -> Value:
        return None if ours in EMPTY else trimmed(text_of(ours))

    def _read(self, value: Value) -> Value:
        parts = text_of(value).split(self.separator)
        return trimmed(parts[self.part - 1]) if self.part <= len(parts) else None

    def _write(self, value: Value) -> Value:
        raise Untranslatable("is one part of a text, which cannot be written alone")


@dataclass(frozen=True)
class Join(Plain):
    """Several CRM fields as one text of ours; written back, each field gets one part.

    The last field gets whatever is left.
    """

    separator: str
    name: ClassVar[str] = "join"
    several = True
    one_way = OneWay(
        ("push", "pull"), "where a part itself holds the separator, words would move between fields"
    )

    @property
    def store_types(self) -> frozenset[FieldType]:
        return TEXTUAL

    @property
    def crm_types(self) -> frozenset[FieldType]:
        return TEXTUAL

    def read(self, theirs: Sequence[Value]) -> Value:
        parts = [trimmed(text_of(value)) for value in theirs if value not in EMPTY]
        return trimmed(self.separator.join(part for part in parts if part))

    def write(self, ours: Value, names: Sequence[str]) -> Fields:
        text = "" if ours in EMPTY else text_of(ours)
        parts = [part for each in text.split(self.separator) if (part := trimmed(each))]
        parts[len(names) - 1 :] = [self.separator.join(parts[len(names) - 1 :])]
        filled = [*parts, *[""] * len(names)]
        return {name: part or None for name, part in zip(names, filled, strict=False)}
