"""`connection provision`: what a CRM lacks of the fields that the mapping and the lists name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mapping.schema import ConnectionMapping, Row
from registration_core.contracts import FieldSchema, FieldType, ObjectSchema
from sync.accounts import directory
from sync.mappings.connecting import describe_all
from sync.process.runtime import Runtime


@dataclass(frozen=True)
class MissingField:
    """A field that an object of a CRM lacks, and how it would be made."""

    object: str
    field: FieldSchema


def missing(runtime: Runtime, name: str) -> tuple[MissingField, ...]:
    """Return the fields that are named here and not there; writes nothing.

    An object that is not there at all is a `CallRejected`, because nobody makes that from here.
    """
    crm = runtime.connector(name)
    mapping = runtime.mappings[crm.name]
    schemas = describe_all(crm, mapping)
    found: dict[tuple[str, str], MissingField] = {}
    for object_name, field in _named(runtime, mapping):
        if field.name not in schemas.get(object_name, ObjectSchema(object_name)).fields:
            found.setdefault((object_name, field.name), MissingField(object_name, field))
    return tuple(found.values())


def provision(runtime: Runtime, name: str) -> tuple[MissingField, ...]:
    """Make the missing fields and return them; made once, there is nothing left to make."""
    lacking = missing(runtime, name)
    crm = runtime.connector(name)
    for object_name in dict.fromkeys(each.object for each in lacking):
        crm.create_fields(object_name, [m.field for m in lacking if m.object == object_name])
    return lacking


def _named(runtime: Runtime, mapping: ConnectionMapping) -> Iterator[tuple[str, FieldSchema]]:
    for mapped in mapping.written().values():
        key = FieldSchema(mapped.key, FieldType.TEXT, label="Registration id", unique=True)
        yield mapped.object, key
        for row in mapped.rows:
            for name in row.theirs:
                label = row.ours.label if row.expression is None else _label(name)
                yield mapped.object, FieldSchema(name, _type(row), label=label)
    stamp = mapping.opportunities.stamp
    for row in stamp.rows if stamp is not None else ():
        for name in row.theirs:
            yield mapping.opportunities.object, FieldSchema(name, _type(row), label=row.ours.label)
    accounts = mapping.accounts.object
    for rule in directory.lists_of(runtime, mapping.connection):
        for condition in rule.where:
            yield accounts, _predicate(condition.field, condition.values)
        for name in filter(None, (rule.owner_field, rule.reason_field)):
            yield accounts, FieldSchema(name, FieldType.TEXT, label=_label(name))
    for ours, theirs in mapping.accounts.fields.items():
        yield accounts, FieldSchema(theirs, FieldType.TEXT, label=ours.replace("_", " ").title())


def _type(row: Row) -> FieldType:
    """Choose the type to make: ours where it fits, and text for choices, which then never lack one."""
    fitting = row.transform.crm_types
    if row.ours.type in fitting and row.ours.type is not FieldType.PICKLIST:
        return row.ours.type
    return FieldType.TEXT if FieldType.TEXT in fitting else min(fitting)


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _predicate(name: str, values: tuple[object, ...]) -> FieldSchema:
    label = _label(name)
    if all(isinstance(value, bool) for value in values):
        return FieldSchema(name, FieldType.BOOLEAN, label=label)
    options = tuple(str(value) for value in values if value is not None)
    return FieldSchema(name, FieldType.PICKLIST, label=label, options=options)
