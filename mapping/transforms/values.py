"""Transforms of single values: as they stand, days and moments, numbers, yes and no, references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, tzinfo
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import ClassVar, Literal

from mapping.transforms.base import (
    EMPTY,
    TEXTUAL,
    OneField,
    OneWay,
    Plain,
    Transform,
    Untranslatable,
    of_type,
    set_of,
    trimmed,
)
from registration_core.contracts import Fields, FieldType, Value


@dataclass(frozen=True)
class Copy(OneField):
    """The same value on both sides; text is trimmed, a set is sorted."""

    type: FieldType
    name: ClassVar[str] = "copy"

    @property
    def store_types(self) -> frozenset[FieldType]:
        return frozenset(FieldType)

    @property
    def crm_types(self) -> frozenset[FieldType]:
        return TEXTUAL if self.type in TEXTUAL else frozenset({self.type})

    def _read(self, value: Value) -> Value:
        if isinstance(value, str) and self.type in TEXTUAL | {FieldType.REFERENCE}:
            return trimmed(value)
        if self.type is FieldType.MULTI_PICKLIST:
            return set_of(value) or None
        return of_type(value, self.type)

    _write = _read


@dataclass(frozen=True)
class Date(OneField):
    """A calendar day; in a CRM date-and-time field it is midnight of that day in `zone`."""

    as_datetime: bool = False
    zone: tzinfo = UTC
    name: ClassVar[str] = "date"

    @property
    def store_types(self) -> frozenset[FieldType]:
        return frozenset({FieldType.DATE})

    @property
    def crm_types(self) -> frozenset[FieldType]:
        return frozenset({FieldType.DATETIME if self.as_datetime else FieldType.DATE})

    def _read(self, value: Value) -> Value:
        if isinstance(value, datetime):
            return value.astimezone(self.zone).date()
        return of_type(value, FieldType.DATE)

    def _write(self, value: Value) -> Value:
        day = self._read(value)
        if self.as_datetime and isinstance(day, date):
            return datetime.combine(day, time(), self.zone).astimezone(UTC)
        return day


@dataclass(frozen=True)
class Moment(OneField):
    """A date and time, cut to whole seconds or minutes; or only its day in `zone`."""

    to: Literal["second", "minute"] = "second"
    as_date: bool = False
    zone: tzinfo = UTC
    name: ClassVar[str] = "datetime"

    @property
    def one_way(self) -> OneWay | None:  # type: ignore[override]
        why = "the time of day would be lost on the way back"
        return OneWay(("push",), why) if self.as_date else None

    @property
    def store_types(self) -> frozenset[FieldType]:
        return frozenset({FieldType.DATETIME})

    @property
    def crm_types(self) -> frozenset[FieldType]:
        return frozenset({FieldType.DATE if self.as_date else FieldType.DATETIME})

    def _read(self, value: Value) -> Value:
        if self.as_date and isinstance(value, date) and not isinstance(value, datetime):
            return datetime.combine(value, time(), self.zone).astimezone(UTC)
        moment = of_type(value, FieldType.DATETIME)
        assert isinstance(moment, datetime)
        cut = moment.astimezone(UTC).replace(microsecond=0)
        return cut.replace(second=0) if self.to == "minute" else cut

    def _write(self, value: Value) -> Value:
        moment = of_type(value, FieldType.DATETIME)
        assert isinstance(moment, datetime)
        return moment.astimezone(self.zone).date() if self.as_date else self._read(moment)


@dataclass(frozen=True)
class Number(OneField):
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
        number = of_type(value, FieldType.NUMBER)
        try:
            rounded = Decimal(str(number)).quantize(Decimal(1).scaleb(-self.scale), ROUND_HALF_EVEN)
        except InvalidOperation as error:
            raise Untranslatable("has too many digits") from error
        return abs(rounded) if rounded.is_zero() else rounded

    _write = _read


@dataclass(frozen=True)
class Boolean(OneField):
    """Yes or no, which the CRM keeps as texts; the first of each is written, all are read."""

    true: tuple[str, ...]
    false: tuple[str, ...]
    name: ClassVar[str] = "boolean"

    @property
    def store_types(self) -> frozenset[FieldType]:
        return frozenset({FieldType.BOOLEAN})

    @property
    def crm_types(self) -> frozenset[FieldType]:
        return TEXTUAL

    def longest(self) -> int | None:
        return max(len(self.true[0]), len(self.false[0]))

    def values(self, position: int) -> tuple[str, ...]:
        return (*self.true, *self.false)

    def _read(self, value: Value) -> Value:
        if value in self.true:
            return True
        if value in self.false:
            return False
        raise Untranslatable("is not listed in the mapping")

    def _write(self, value: Value) -> Value:
        return self.true[0] if of_type(value, FieldType.BOOLEAN) else self.false[0]


@dataclass(frozen=True)
class Reference(OneField):
    """The id of a record in this very CRM, as it stands."""

    name: ClassVar[str] = "reference"

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


@dataclass(frozen=True)
class Default(Plain):
    """Another transform, which writes `value` where we have nothing."""

    value: Value
    inner: Transform = field()
    name: ClassVar[str] = "default"
    one_way = OneWay(("push",), "a default we wrote would come back as if someone had said it")

    @property
    def store_types(self) -> frozenset[FieldType]:
        return self.inner.store_types

    @property
    def crm_types(self) -> frozenset[FieldType]:
        return self.inner.crm_types

    def read(self, theirs: Sequence[Value]) -> Value:
        return self.inner.read(theirs)

    def write(self, ours: Value, names: Sequence[str]) -> Fields:
        return self.inner.write(self._filled(ours, names), names)

    def canonical(self, ours: Value, names: Sequence[str]) -> Value:
        return self.inner.canonical(self._filled(ours, names), names)

    def _filled(self, ours: Value, names: Sequence[str]) -> Value:
        """Blank text is nothing as well, once the inner transform has trimmed it."""
        return self.value if self.inner.canonical(ours, names) in EMPTY else ours

    def longest(self) -> int | None:
        return self.inner.longest()

    def values(self, position: int) -> tuple[str, ...]:
        return self.inner.values(position)
