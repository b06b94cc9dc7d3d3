"""Read a value of one of our fields from text a person typed."""

from __future__ import annotations

from datetime import date
from decimal import Decimal, InvalidOperation

from registration_core.contracts import FieldType, Value
from registration_core.errors import InvalidInput
from registration_core.fields import CanonicalField


def parse(field: CanonicalField, text: str) -> Value:
    """Return the typed value, None for empty text; `InvalidInput` says what is expected."""
    given = text.strip()
    if not given:
        return None
    if field.options is not None and given not in field.options:
        options = ", ".join(field.options)
        raise InvalidInput(
            f"{field.name} cannot be {given!r}.", field=field.name, hint=f"One of: {options}."
        )
    try:
        if field.type is FieldType.NUMBER:
            number = Decimal(given)
            if not number.is_finite():
                raise InvalidOperation
            return number
        if field.type is FieldType.DATE:
            return date.fromisoformat(given)
    except (InvalidOperation, ValueError) as error:
        wanted = "a number, for example 1200.50" if field.type is FieldType.NUMBER else "YYYY-MM-DD"
        raise InvalidInput(
            f"{field.name} cannot be {given!r}.", field=field.name, hint=f"Write {wanted}."
        ) from error
    return given
