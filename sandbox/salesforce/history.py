"""Rows that Salesforce keeps about other records, made from their past changes when asked for.

`OpportunityHistory` has one row for each change of stage, amount, probability or close date,
with the values after it. `…FieldHistory` and `…__History` have one row for each change of a
tracked field, two for a lookup (name and id). See OpportunityHistory, OpportunityFieldHistory
and StandardObjectNameHistory in the Object Reference.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from datetime import UTC, datetime

from sandbox.records import Change, Json, RecordStore, Row
from sandbox.salesforce.ids import make_id, number_of
from sandbox.salesforce.objects import FIELD_DEFINITION, OBJECTS, STAGE_HISTORY_FIELDS
from sandbox.salesforce.permissions import ASSIGNMENT, OBJECT_PERMISSIONS, withheld
from sandbox.salesforce.schema import SalesforceField, SalesforceObject

_DATA_TYPES = {
    "string": "Text",
    "picklist": "Picklist",
    "currency": "Currency",
    "date": "DateOnly",
    "reference": "EntityId",
    "boolean": "Boolean",
}
_IDS_PER_RECORD = 100_000
_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


def parent_of(thing: SalesforceObject) -> tuple[SalesforceObject, str] | None:
    """Tell which object a history object is about, and its field that names the record."""
    if thing.name == "OpportunityHistory":
        return OBJECTS["Opportunity"], "OpportunityId"
    parents = (o for o in OBJECTS.values() if o.history_object == thing.name)
    return next(((parent, parent.history_parent) for parent in parents), None)


def derived_rows(
    store: RecordStore, thing: SalesforceObject, pod: str, among: Container[str] | None = None
) -> list[Row]:
    """Make the rows of a derived object, for all records or for those `among` these ids."""
    if thing is FIELD_DEFINITION:
        return list(_field_definitions(thing))
    if thing in (ASSIGNMENT, OBJECT_PERMISSIONS):
        return list(_permissions(store, thing, pod))
    about = parent_of(thing)
    assert about is not None
    parent, link = about
    return [
        _row(thing, pod, row, number, change, {link: row.id, **fields})
        for row in store.rows(parent.name)
        if among is None or row.id in among
        for number, (change, fields) in enumerate(
            _stage_history(row)
            if thing.name == "OpportunityHistory"
            else _field_history(store, parent, row)
        )
    ]


def _row(
    thing: SalesforceObject,
    pod: str,
    parent: Row,
    number: int,
    change: Change,
    fields: dict[str, Json],
) -> Row:
    record_id = make_id(thing.prefix, pod, number_of(parent.id) * _IDS_PER_RECORD + number)
    at, by = change.at, change.by
    return Row(thing.name, record_id, fields, at, at, by, by, parent.version)


def _is_creation(row: Row, change: Change) -> bool:
    return change.at == row.created_at and change.by == row.created_by and change.old is None


def _stage_history(row: Row) -> Iterator[tuple[Change, dict[str, Json]]]:
    values: dict[str, Json] = {}
    group: list[Change] = []

    def flush() -> Iterator[tuple[Change, dict[str, Json]]]:
        if group:
            values.update((c.field, c.new) for c in group)
            yield group[0], dict(values)
            group.clear()

    for change in row.history:
        if change.field not in STAGE_HISTORY_FIELDS:
            continue
        together = group and (group[0].at, group[0].by) == (change.at, change.by)
        if not together or any(c.field == change.field for c in group):
            yield from flush()
        group.append(change)
    yield from flush()


def _field_history(
    store: RecordStore, thing: SalesforceObject, row: Row
) -> Iterator[tuple[Change, dict[str, Json]]]:
    created = Change("created", None, None, row.created_at, row.created_by)
    yield created, {"Field": "created", "DataType": "Text"}
    for change in row.history:
        field = thing.fields.get(change.field)
        if field is None or not field.tracked or _is_creation(row, change):
            continue
        name = _history_name(field)
        data_type = _DATA_TYPES.get(field.type, "Text")
        if field.type == "reference":
            names = {
                "OldValue": _name_of(store, change.old),
                "NewValue": _name_of(store, change.new),
            }
            yield change, {"Field": name, "DataType": "Text", **names}
        values: dict[str, Json] = {"OldValue": change.old, "NewValue": change.new}
        yield change, {"Field": name, "DataType": data_type, **values}


def _history_name(field: SalesforceField) -> str:
    """Standard lookups appear under their relationship name (`Owner`, `Account`)."""
    return field.relationship if field.type == "reference" and not field.custom else field.name


def _name_of(store: RecordStore, record_id: Json) -> Json:
    for name in ("Account", "User"):
        row = store.get(name, str(record_id), deleted=True)
        if row is not None:
            return row.fields.get("Name")
    return None


def _field_definitions(thing: SalesforceObject) -> Iterator[Row]:
    for parent in OBJECTS.values():
        for field in parent.fields.values():
            fields: dict[str, Json] = {
                "EntityDefinition.QualifiedApiName": parent.name,
                "QualifiedApiName": field.name,
                "Label": field.label,
                "DataType": field.type,
                "IsFieldHistoryTracked": field.tracked,
            }
            record_id = f"{parent.name}.{field.name}"
            yield Row(thing.name, record_id, fields, _EPOCH, _EPOCH, "", "", 0)


def _permissions(store: RecordStore, thing: SalesforceObject, pod: str) -> Iterator[Row]:
    """One permission set, assigned to the integration user, who is the first user of every org."""
    permission_set = make_id("0PS", pod, 1)
    if thing is ASSIGNMENT:
        rows: list[dict[str, Json]] = [
            {"AssigneeId": make_id("005", pod, 1), "PermissionSetId": permission_set}
        ]
    else:
        rows = [
            {
                "ParentId": permission_set,
                "SobjectType": each.name,
                "PermissionsViewAllRecords": not store.fact(withheld(each.name)),
            }
            for each in OBJECTS.values()
            if each.writable
        ]
    for number, fields in enumerate(rows, start=1):
        record_id = make_id(thing.prefix, pod, number)
        yield Row(thing.name, record_id, fields, _EPOCH, _EPOCH, "", "", 0)
