"""Translate a registration's fields to a CRM's and back; a value that cannot be is reported.

A group in which one value cannot be translated is left out whole, because a group merges as one
value; every other group flows. Nothing is guessed and nothing raises.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mapping.schema import ObjectMapping, Row
from mapping.transforms import EMPTY, Default, Untranslatable
from registration_core.contracts import Fields, Value

#: Longest piece of a value that a message shows, in characters.
_SHOWN = 60


@dataclass(frozen=True)
class ValueProblem:
    """A value that has no counterpart on the other side; its group was left out."""

    #: `file:line` of the row.
    where: str
    group: str
    ours: str
    theirs: tuple[str, ...]
    #: The field or fields that were to be translated, with their values.
    value: str
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.where}: {self.value} {self.reason}; the {self.group} group was left out "
            "(correct the value, or the mapping)"
        )


@dataclass(frozen=True)
class Translation:
    """What could be translated, and what could not."""

    fields: Fields
    problems: tuple[ValueProblem, ...] = ()


def to_store(mapping: ObjectMapping, theirs: Fields) -> Translation:
    """Translate CRM fields to ours, in canonical form, for a merge.

    A row is left out when one of its CRM fields was not fetched. Rows that only creates write
    take no part.
    """

    def read(row: Row, values: Sequence[Value]) -> Fields:
        value = row.transform.read(values)
        options = row.ours.options
        chosen = value if isinstance(value, tuple) else (value,)
        if options is not None and any(v is not None and v not in options for v in chosen):
            raise Untranslatable(f"is none of our options ({', '.join(options)})")
        return {row.ours.name: value}

    return _translate(mapping, theirs, _merged, lambda row: row.theirs, read)


def to_crm(mapping: ObjectMapping, ours: Fields, *, creating: bool) -> Translation:
    """Translate our fields to the CRM's.

    For a create: every field that flows there, those written only once, and the constants; empty
    fields are left to the CRM's defaults. For an update: pass the fields to change; empty ones
    are emptied there, and those that do not flow there are left out.
    """

    def wanted(row: Row) -> bool:
        return row.creates if creating else row.pushes

    def write(row: Row, values: Sequence[Value]) -> Fields:
        if creating and values[0] in EMPTY and not isinstance(row.transform, Default):
            return {}
        written = row.transform.write(values[0], row.theirs)
        return {n: v for n, v in written.items() if v is not None or not creating}

    translation = _translate(mapping, ours, wanted, _name_of_ours, write)
    if not creating:
        return translation
    return Translation({**mapping.on_create, **translation.fields}, translation.problems)


def canonical(mapping: ObjectMapping, ours: Fields) -> Translation:
    """Return our fields the way this CRM can hold them: trimmed, rounded, cut to length.

    Merge these and not the store's own, else a name longer than the CRM's field looks like a
    change there. Idempotent. Pass the base through it too, so that an edited mapping does not
    look like a change of every record.
    """

    def there_and_back(row: Row, values: Sequence[Value]) -> Fields:
        return {row.ours.name: row.transform.canonical(values[0], row.theirs)}

    return _translate(mapping, ours, _merged, _name_of_ours, there_and_back)


def computed(mapping: ObjectMapping, ours: Fields) -> Translation:
    """Return our fields together with those that expressions compute from them."""

    def wanted(row: Row) -> bool:
        return row.expression is not None

    def needs(row: Row) -> tuple[str, ...]:
        return row.expression.inputs if row.expression else ()

    def compute(row: Row, values: Sequence[Value]) -> Fields:
        assert row.expression is not None
        given = dict(zip(row.expression.inputs, values, strict=True))
        return {row.ours.name: row.expression.value(given)}

    found = _translate(mapping, ours, wanted, needs, compute)
    return Translation({**ours, **found.fields}, found.problems)


def read_fields(fields: Mapping[str, str], theirs: Fields) -> Fields:
    """Rename what was read of an account or opportunity to our names; text is trimmed.

    Fields that were not fetched are left out.
    """
    return {ours: _trimmed(theirs[their]) for ours, their in fields.items() if their in theirs}


def _merged(row: Row) -> bool:
    return row.merges


def _name_of_ours(row: Row) -> tuple[str, ...]:
    return (row.ours.name,)


def _translate(
    mapping: ObjectMapping,
    source: Fields,
    wanted: Callable[[Row], bool],
    needs: Callable[[Row], tuple[str, ...]],
    translate: Callable[[Row, Sequence[Value]], Fields],
) -> Translation:
    """Translate group by group every wanted row whose source fields are all there."""
    fields: dict[str, Value] = {}
    problems: list[ValueProblem] = []
    for group in mapping.groups.values():
        done: dict[str, Value] = {}
        refused: list[ValueProblem] = []
        for row in group.rows:
            if not wanted(row):
                continue
            names = needs(row)
            if not all(name in source for name in names):
                continue
            try:
                done.update(translate(row, [source[name] for name in names]))
            except Untranslatable as error:
                shown = ", ".join(f"{name} {_short(source[name])}" for name in names)
                refused.append(_problem(group.name, row, shown, str(error)))
        if not refused:
            fields |= done
        problems += refused
    return Translation(fields, tuple(problems))


def _problem(group: str, row: Row, shown: str, reason: str) -> ValueProblem:
    return ValueProblem(row.where, group, row.ours.name, row.theirs, shown, reason)


def _short(value: Value) -> str:
    text = f"'{value}'"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 2]}…'"


def _trimmed(value: Value) -> Value:
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value).strip() or None
    return value
