"""Column types that mean the same on SQLite and PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import DateTime, Numeric, String, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from registration_core.contracts import Fields, Value
from registration_core.model import Customer


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time; a naive one is refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times; SQLite keeps UTC without an offset."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"time without a zone: {value}")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give back aware UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Money(TypeDecorator[Decimal]):
    """An exact amount of up to 14 digits and 4 decimals; SQLite keeps its text."""

    impl = Numeric(18, 4)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose text for SQLite."""
        return dialect.type_descriptor(String(32) if dialect.name == "sqlite" else Numeric(18, 4))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        """Refuse what a column would round or overflow; write the text form for SQLite."""
        if value is None:
            return None
        if not is_exact(value) or abs(value) >= Decimal("1e14"):
            raise ValueError(f"not an exact amount: {value}")
        return str(plain(value)) if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Give back the shortest exact form, so that both stores agree."""
        return None if value is None else plain(Decimal(value))


def plain(value: Decimal) -> Decimal:
    """Return the number without trailing zeros, exponent or signed zero: 1E+3 becomes 1000."""
    if not value.is_finite():
        raise ValueError(f"not a number that can be kept: {value}")
    text = f"{value:f}"
    return Decimal(text.rstrip("0").rstrip(".") if "." in text else text) if value else Decimal(0)


def is_exact(value: Decimal) -> bool:
    """Whether an amount is finite and has at most 4 decimals, so that both stores keep it."""
    if not value.is_finite():
        return False
    exponent = plain(value).as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -4


class Json(TypeDecorator[Any]):
    """Plain JSON (text, numbers, lists, mappings) kept as text with sorted keys."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Write with sorted keys."""
        return None if value is None else json.dumps(value, sort_keys=True, ensure_ascii=False)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Read back."""
        return None if value is None else json.loads(value)


class CustomerJson(TypeDecorator[Customer]):
    """A customer as JSON text with sorted keys.

    What is empty is left out, and what is not known is passed over, so that two versions of the
    program can work side by side while one says more of customers than the other.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Customer | None, dialect: Dialect) -> str | None:
        """Write what is said."""
        if value is None:
            return None
        said = {name: told for name, told in asdict(value).items() if told or name in _ALWAYS}
        return json.dumps(said, sort_keys=True, ensure_ascii=False)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Customer | None:
        """Read back; what is several is a tuple."""
        if value is None:
            return None
        said: dict[str, Any] = json.loads(value)
        known = {name: told for name, told in said.items() if name in _SAID}
        return Customer(**known | {n: tuple(v) for n, v in known.items() if isinstance(v, list)})


#: What may be said of a customer, and what a version that knows less cannot do without.
_SAID, _ALWAYS = frozenset(f.name for f in fields(Customer)), ("name", "country")


class FieldsJson(TypeDecorator[Fields]):
    """A record's fields with their types kept: `Decimal`, `date` and times survive."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Fields | None, dialect: Dialect) -> str | None:
        """Write each value with its type."""
        return None if value is None else dump_fields(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Fields | None:
        """Read typed values back."""
        return None if value is None else load_fields(value)


def dump_fields(fields: Fields) -> str:
    """Write fields as JSON text; equal fields give equal text."""
    return json.dumps(
        {name: _dump(value) for name, value in fields.items()}, sort_keys=True, ensure_ascii=False
    )


def load_fields(text: str) -> dict[str, Value]:
    """Read what `dump_fields` wrote."""
    return {name: _load(value) for name, value in json.loads(text).items()}


def _dump(value: Value) -> object:
    if isinstance(value, Decimal):
        return {"n": str(plain(value))}
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"time without a zone: {value}")
        return {"t": value.astimezone(UTC).isoformat()}
    if isinstance(value, date):
        return {"d": value.isoformat()}
    if isinstance(value, tuple):
        return list(value)
    return value


def _load(value: Any) -> Value:
    if isinstance(value, Mapping):
        ((kind, text),) = value.items()
        if kind == "n":
            return Decimal(text)
        return datetime.fromisoformat(text) if kind == "t" else date.fromisoformat(text)
    return tuple(value) if isinstance(value, list) else value
