"""The closed list of transforms: how one field of ours and the CRM's fields stand for each other.

Every transform goes both ways and keeps two laws, up to its canonical form: a value that was
written reads back as itself, and writing what was read changes nothing. Canonical forms (trimmed
text, rounded numbers, a date for a time) are idempotent, so that a CRM that trims or rounds
starts no ping-pong. What cannot be translated is refused with `Untranslatable`, never guessed.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Literal, Protocol

from registration_core.contracts import Fields, FieldType, Value

#: In an enum of several CRM fields: any value when reading, not written when writing.
ANY = "*"
#: What counts as empty, on both sides.
EMPTY: tuple[Value, ...] = (None, "", ())

_TEXTUAL = frozenset({FieldType.TEXT, FieldType.PICKLIST})


class Untranslatable(ValueError):
    """A value has no counterpart on the other side; the text says why."""


class Transform(Protocol):
    """One way of standing for each other; values come in the order of the CRM's fields."""

    @property
    def name(self) -> str:
        """The word for it in a mapping file."""

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


class _OneField:
    """A transform of exactly one CRM field, in which empty stands for empty."""

    def read(self, theirs: Sequence[Value]) -> Value:
        (value,) = theirs
        return None if value in EMPTY else self._read(value)

    def write(self, ours: Value, names: Sequence[str]) -> Fields:
        (name,) = names
        return {name: None if ours in EMPTY else self._write(ours)}

    def _read(self, value: Value) -> Value:
        raise NotImplementedError

    def _write(self, value: Value) -> Value:
        raise NotImplementedError


@dataclass(frozen=True)
class Copy(_OneField):
    """The same value on both sides; text is trimmed."""

    type: FieldType
    name: str = "copy"

    @property
    def store_types(self) -> frozenset[FieldType]:
        return frozenset(FieldType)

    @property
    def crm_types(self) -> frozenset[FieldType]:
        return _TEXTUAL if self.type in _TEXTUAL else frozenset({self.type})

    def _read(self, value: Value) -> Value:
        if isinstance(value, str) and self.type in _TEXTUAL | {FieldType.REFERENCE}:
            return _trimmed(value)
        return _of_type(value, self.type)

    _write = _read


@dataclass(frozen=True)
class Text(_OneField):
    """Trimmed text, at most `max` characters, in one case if wanted."""

    max: int
    case: Literal["upper", "lower"] | None = None
    name: str = "text"

    @property
    def store_types(self) -> frozenset[FieldType]:
        return _TEXTUAL

    @property
    def crm_types(self) -> frozenset[FieldType]:
        return _TEXTUAL

    def _read(self, value: Value) -> Value:
        if not isinstance(value, str):
            raise Untranslatable(f"is {_kind(value)}, not text")
        text = _trimmed(value) or ""
        if self.case:
            text = text.upper() if self.case == "upper" else text.lower()
        return _trimmed(unicodedata.normalize("NFC", text)[: self.max])

    _write = _read


@dataclass(frozen=True)
class Enum:
    """Our options, each with the CRM's values for it; the first is written, all are read.

    With several CRM fields an alternative has one value per field, or `ANY`.
    """

    options: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]
    name: str = "enum"

    @property
    def store_types(self) -> frozenset[FieldType]:
        return _TEXTUAL

    @property
    def crm_types(self) -> frozenset[FieldType]:
        return _TEXTUAL

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
            if option == ours:
                pairs = zip(names, alternatives[0], strict=True)
                return {name: value for name, value in pairs if value != ANY}
        raise Untranslatable("is not listed in the mapping")


@dataclass(frozen=True)
class Date(_OneField):
    """A calendar day; in a CRM date-and-time field it is midnight UTC of that day."""

    as_datetime: bool = False
    name: str = "date"

    @property
    def store_types(self) -> frozenset[FieldType]:
        return frozenset({FieldType.DATE})

    @property
    def crm_types(self) -> frozenset[FieldType]:
        return frozenset({FieldType.DATETIME if self.as_datetime else FieldType.DATE})

    def _read(self, value: Value) -> Value:
        if isinstance(value, datetime):
            return value.astimezone(UTC).date()
        return _of_type(value, FieldType.DATE)

    def _write(self, value: Value) -> Value:
        day = self._read(value)
        if self.as_datetime and isinstance(day, date):
            return datetime.combine(day, time(), UTC)
        return day


@dataclass(frozen=True)
class Number(_OneField):
    """A number rounded half-even to `scale` decimal places, both ways."""

    scale: int
    name: Literal["number", "money"] = "number"

    @property
    def store_types(self) -> frozenset[FieldType]:
        return frozenset({FieldType.NUMBER})

    @property
    def crm_types(self) -> frozenset[FieldType]:
        return frozenset({FieldType.NUMBER})

    def _read(self, value: Value) -> Value:
        number = _of_type(value, FieldType.NUMBER)
        try:
            rounded = Decimal(str(number)).quantize(Decimal(1).scaleb(-self.scale), ROUND_HALF_EVEN)
        except InvalidOperation as error:
            raise Untranslatable("has too many digits") from error
        return abs(rounded) if rounded.is_zero() else rounded

    _write = _read


@dataclass(frozen=True)
class Boolean(_OneField):
    """Yes or no, which the CRM keeps as one of two texts."""

    true: str
    false: str
    name: str = "boolean"

    @property
    def store_types(self) -> frozenset[FieldType]:
        return frozenset({FieldType.BOOLEAN})

    @property
    def crm_types(self) -> frozenset[FieldType]:
        return _TEXTUAL

    def _read(self, value: Value) -> Value:
        if value == self.true:
            return True
        if value == self.false:
            return False
        raise Untranslatable("is not listed in the mapping")

    def _write(self, value: Value) -> Value:
        return self.true if _of_type(value, FieldType.BOOLEAN) else self.false


@dataclass(frozen=True)
class Reference(_OneField):
    """The id of a record in this very CRM, as it stands."""

    name: str = "reference"

    @property
    def store_types(self) -> frozenset[FieldType]:
        return frozenset({FieldType.REFERENCE})

    @property
    def crm_types(self) -> frozenset[FieldType]:
        return frozenset({FieldType.REFERENCE})

    def _read(self, value: Value) -> Value:
        if not isinstance(value, str) or not value.strip() or any(c.isspace() for c in value):
            raise Untranslatable("is not a record id")
        return value

    _write = _read


def _trimmed(text: str) -> str | None:
    return unicodedata.normalize("NFC", text).strip() or None


def _fits(alternative: Sequence[str], theirs: Sequence[Value]) -> bool:
    pairs = zip(alternative, theirs, strict=True)
    return all(value in (ANY, their) for value, their in pairs)


def _of_type(value: Value, kind: FieldType) -> Value:
    """Return the value if it is one of this type, as `contracts.Value` lays it down."""
    match kind:
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
        raise Untranslatable(f"is {_kind(value)}, where a {kind.value} is expected")
    return value


def _kind(value: Value) -> str:
    return {
        bool: "a boolean",
        Decimal: "a number",
        date: "a date",
        datetime: "a date and time",
        tuple: "a set of values",
        str: "text",
    }.get(type(value), type(value).__name__)
