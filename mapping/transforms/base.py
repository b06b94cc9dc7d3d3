"""What every transform has, and what they share."""

from __future__ import annotations

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import ClassVar, Protocol

from registration_core.contracts import Fields, FieldType, Value

#: In a table of several CRM fields: any value when reading, not written when writing.
ANY = "*"
#: What counts as empty, on both sides.
EMPTY: tuple[Value, ...] = (None, "", ())

TEXTUAL = frozenset({FieldType.TEXT, FieldType.PICKLIST})


class Untranslatable(ValueError):
    """A value has no counterpart on the other side; the text says why."""


@dataclass(frozen=True)
class OneWay:
    """Why a row may not flow both ways with a transform, and which ways it may."""

    ways: tuple[str, ...]
    why: str


class Transform(Protocol):
    """One way of standing for each other; values come in the order of the CRM's fields."""

    @property
    def name(self) -> str:
        """The word for it in a mapping file."""

    @property
    def one_way(self) -> OneWay | None:
        """Set where the laws do not hold, so that it may not flow both ways."""

    @property
    def several(self) -> bool:
        """Whether several CRM fields may say it together."""

    @property
    def store_types(self) -> frozenset[FieldType]:
        """Types of our fields it is for."""

    @property
    def crm_types(self) -> frozenset[FieldType]:
        """Types of CRM fields it can read and write."""

    def read(self, theirs: Sequence[Value]) -> Value:
        """Turn CRM values into ours; raises `Untranslatable`."""

    def write(self, ours: Value, names: Sequence[str]) -> Fields:
        """Turn our value into CRM values, by the names of the CRM's fields.

        A field that does not matter for this value is left out. Raises `Untranslatable`.
        """

    def canonical(self, ours: Value, names: Sequence[str]) -> Value:
        """Return our value the way the CRM can hold it; idempotent, raises `Untranslatable`."""

    def longest(self) -> int | None:
        """Characters of the longest text it writes; None where our field decides."""

    def values(self, position: int) -> tuple[str, ...]:
        """CRM values it names for the field at this position; a picklist must have them."""

    def any_value(self, position: int) -> bool:
        """Whether some option is read from any value of the field at this position."""


class Plain(ABC):
    """What most transforms have in common."""

    one_way: ClassVar[OneWay | None] = None
    several: ClassVar[bool] = False

    def canonical(self, ours: Value, names: Sequence[str]) -> Value:
        if ours in EMPTY:
            return None
        written = self.write(ours, names)
        return self.read([written.get(name) for name in names])

    @abstractmethod
    def read(self, theirs: Sequence[Value]) -> Value: ...

    @abstractmethod
    def write(self, ours: Value, names: Sequence[str]) -> Fields: ...

    def longest(self) -> int | None:
        return None

    def values(self, position: int) -> tuple[str, ...]:
        return ()

    def any_value(self, position: int) -> bool:
        return False


class OneField(Plain, ABC):
    """A transform of exactly one CRM field, in which empty stands for empty."""

    def read(self, theirs: Sequence[Value]) -> Value:
        (value,) = theirs
        return None if value in EMPTY else self._read(value)

    def write(self, ours: Value, names: Sequence[str]) -> Fields:
        (name,) = names
        return {name: None if ours in EMPTY else self._write(ours)}

    @abstractmethod
    def _read(self, value: Value) -> Value: ...

    @abstractmethod
    def _write(self, value: Value) -> Value: ...


class TextToText(OneField, ABC):
    """A transform between texts."""

    @property
    def store_types(self) -> frozenset[FieldType]:
        return TEXTUAL

    @property
    def crm_types(self) -> frozenset[FieldType]:
        return TEXTUAL


class OneForm(TextToText, ABC):
    """A transform between texts that writes what it reads: one form on both sides."""

    def _read(self, value: Value) -> Value:
        return self._form(text_of(value))

    def _write(self, value: Value) -> Value:
        return self._form(text_of(value))

    @abstractmethod
    def _form(self, text: str) -> str | None: ...


def trimmed(text: str) -> str | None:
    """Return text in NFC without spaces around it; None where nothing is left."""
    return unicodedata.normalize("NFC", text).strip() or None


def text_of(value: Value) -> str:
    """Return a value that is text, trimmed and in NFC."""
    if not isinstance(value, str):
        raise Untranslatable(f"is {kind(value)}, not text")
    return trimmed(value) or ""


def of_type(value: Value, wanted: FieldType) -> Value:
    """Return the value if it is one of this type, as `contracts.Value` lays it down."""
    match wanted:
        case FieldType.BOOLEAN:
            good = isinstance(value, bool)
        case FieldType.NUMBER:
            good = isinstance(value, Decimal) and value.is_finite()
        case FieldType.DATE:
            good = isinstance(value, date) and not isinstance(value, datetime)
        case FieldType.DATETIME:
            good = isinstance(value, datetime)
        case FieldType.MULTI_PICKLIST:
            good = isinstance(value, tuple)
        case _:
            good = isinstance(value, str)
    if not good:
        raise Untranslatable(f"is {kind(value)}, where a {wanted.value} is expected")
    return value


def set_of(value: Value) -> tuple[str, ...]:
    """Return a set of texts, each trimmed and in NFC, sorted and without doubles."""
    texts = of_type(value, FieldType.MULTI_PICKLIST)
    assert isinstance(texts, tuple)
    return tuple(sorted({text for each in texts if (text := trimmed(each))}))


def kind(value: Value) -> str:
    """Word what a value is."""
    return {
        bool: "a boolean",
        Decimal: "a number",
        date: "a date",
        datetime: "a date and time",
        tuple: "a set of values",
        str: "text",
    }.get(type(value), type(value).__name__)
