"""Values of a registration's fields, read from what people type and write into files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches

from cli.values import day, text
from registration_core.contracts import FieldType, Value
from registration_core.errors import InvalidInput
from registration_core.fields import FIELDS, CanonicalField
from registration_core.program import CustomField, Program
from registration_core.submission import DESCRIPTION_MAX

#: What stands between several choices of one field.
_BETWEEN = ";"


def typed(given: Mapping[str, str], program: Program) -> dict[str, Value]:
    """Return the values of our fields and the program's own; empty text empties a field.

    Raises `InvalidInput`, which names the field and how to write it.
    """
    known: dict[str, CanonicalField | CustomField] = {**FIELDS, **program.custom_fields}
    values: dict[str, Value] = {}
    for name, raw in given.items():
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"One of: {', '.join(known)}."
            raise InvalidInput(f"There is no field {name}.", field=name, hint=hint)
        try:
            values[name] = field_value(raw, known[name]) if raw.strip() else None
        except InvalidInput as error:
            raise InvalidInput(
                f"{name} cannot be {raw.strip()[:40]!r}.",
                field=name,
                hint=f"{error.message} {error.hint}",
            ) from error
    return values


def field_value(raw: str, known: CanonicalField | CustomField) -> Value:
    """Read a value by the type of its field; several choices have semicolons between."""
    value = text(raw, DESCRIPTION_MAX)
    readers: dict[FieldType, Callable[[str], Value]] = {
        FieldType.NUMBER: _number, FieldType.DATE: day, FieldType.DATETIME: _moment,
        FieldType.BOOLEAN: _boolean,
    }  # fmt: skip
    if known.type is FieldType.MULTI_PICKLIST:
        members = (member.strip() for member in value.split(_BETWEEN))
        chosen = tuple(dict.fromkeys(member for member in members if member))
        return _offered(chosen, known.options, f"; several with {_BETWEEN} between")
    if known.options is not None:
        _offered((value,), known.options)
    return readers.get(known.type, str)(value)


def _offered(
    chosen: tuple[str, ...], options: tuple[str, ...] | None, how: str = ""
) -> tuple[str, ...]:
    """Return choices that are offered."""
    for value in chosen:
        if value not in (options or ()):
            hint = f"One of: {', '.join(options or ())}{how}."
            raise InvalidInput(f"{value!r} is not offered.", hint=hint)
    return chosen


def _moment(value: str) -> datetime:
    hint = "Write it like 2027-03-31T09:30+02:00."
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise InvalidInput(f"{value!r} is no moment.", hint=hint) from error
    if moment.tzinfo is None:
        what = "is no moment" if "T" not in value else "does not say in which time zone"
        raise InvalidInput(f"{value!r} {what}.", hint=hint)
    return moment.astimezone(UTC)


def _number(value: str) -> Decimal:
    try:
        number = Decimal(value)
    except InvalidOperation as error:
        raise InvalidInput(f"{value!r} is not a number.", hint="Write it like 12.5.") from error
    if not number.is_finite():
        raise InvalidInput(f"{value!r} is not a number.", hint="Write it like 12.5.")
    return number


def _boolean(value: str) -> bool:
    if value.lower() not in ("yes", "no", "true", "false"):
        raise InvalidInput(f"{value!r} is neither yes nor no.", hint="Write yes or no.")
    return value.lower() in ("yes", "true")
