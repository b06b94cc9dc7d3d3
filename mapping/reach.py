"""Whether a `when` can ever be true after those that are looked at before it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from registration_core.contracts import Condition, ObjectSchema, Value

_When = Sequence[Condition]
#: Most combinations of values that are looked at; beyond, a `when` counts as reachable.
_COMBINATIONS_MAX = 10_000
#: Any value that no condition names.
_OTHER = object()


def covered_by(when: _When, earlier: Sequence[_When], ours: ObjectSchema) -> bool:
    """Whether the earlier ones together take every registration that this one fits.

    Decided on the values that the conditions name, and on one more for fields that are not a
    picklist.
    """
    if not earlier:
        return False
    named: dict[str, dict[object, None]] = {}
    for condition in (each for one in (when, *earlier) for each in one):
        named.setdefault(condition.field, {}).update(dict.fromkeys(condition.values))
    choices: dict[str, list[object]] = {}
    size = 1
    for field, values in named.items():
        known = ours.fields[field].options if field in ours.fields else None
        choices[field] = list(known) if known is not None else [*values, _OTHER]
        size *= len(choices[field])
    if size > _COMBINATIONS_MAX:
        return False
    for combination in product(*choices.values()):
        registration = dict(zip(choices, combination, strict=True))
        if _fits(when, registration) and not any(_fits(one, registration) for one in earlier):
            return False
    return True


def _fits(when: _When, registration: dict[str, object]) -> bool:
    return all(_is_one_of(registration[each.field], each.values) for each in when)


def _is_one_of(value: object, values: tuple[Value, ...]) -> bool:
    return value is not _OTHER and value in values
