"""sObject Collections: up to 200 writes in one request, each with its own result.

The connector creates and updates with it; jsforce also upserts and deletes.

REST API Developer Guide, "sObject Collections": HTTP 200 with one result per record in order;
a request that cannot be read at all, or names an unknown field, is refused whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from sandbox.records import Json, Row
from sandbox.salesforce.engine import SalesforceOrg
from sandbox.salesforce.errors import SalesforceError, Unsupported
from sandbox.salesforce.objects import OBJECTS
from sandbox.salesforce.rows import find_by_external_id

RECORDS_MAX = 200
CHUNKS_MAX = 10
Result = dict[str, Any]
#: Object, fields, and id or nothing.
Record = tuple[str, dict[str, Json], str]


def create_records(
    org: SalesforceOrg, body: object, by: str, headers: Mapping[str, str]
) -> list[Result]:
    """Insert records (POST /composite/sobjects)."""

    def write(record: Record) -> Row:
        return org.rules.assigned(org.insert(record[0], record[1], by), headers, by)

    records = _records(org, body)
    with org.store.exclusive():
        return [_attempt(partial(write, record)) for record in records]


def update_records(
    org: SalesforceOrg, body: object, by: str, headers: Mapping[str, str]
) -> list[Result]:
    """Update records by id (PATCH /composite/sobjects)."""

    def write(record: Record) -> Row:
        return org.rules.assigned(_update(org, record, by), headers, by)

    records = _records(org, body)
    with org.store.exclusive():
        return [_attempt(partial(write, record)) for record in records]


def upsert_records(
    org: SalesforceOrg, object_name: str, key_field: str, body: object, by: str
) -> list[Result]:
    """Upsert records by an external id (PATCH /composite/sobjects/X/FIELD)."""
    records = _records(org, body)
    thing = org.object_named(object_name)
    assert thing is not None

    def write(fields: dict[str, Json]) -> tuple[Row, bool]:
        found = find_by_external_id(org, thing, key_field, str(fields.get(key_field, "")))
        if len(found) > 1:
            raise SalesforceError("DUPLICATE_EXTERNAL_ID", "more than one record has this key")
        if not found:
            return org.insert(thing.name, fields, by), True
        rest = {name: value for name, value in fields.items() if name != key_field}
        return org.patch(thing.name, found[0].id, rest, by), False

    results = []
    with org.store.exclusive():
        for _, fields, _ in records:
            made: list[bool] = []

            def attempt(fields: dict[str, Json] = fields, made: list[bool] = made) -> Row:
                row, created = write(fields)
                made.append(created)
                return row

            result = _attempt(attempt)
            results.append(result | {"created": made[0]} if made else result)
    return results


def delete_records(org: SalesforceOrg, ids: str, by: str) -> list[Result]:
    """Delete records by id (DELETE /composite/sobjects?ids=…)."""
    results = []
    for record_id in ids.split(","):
        prefix = record_id[:3]
        name = next((o.name for o in OBJECTS.values() if o.prefix == prefix), "")
        results.append(_attempt(lambda n=name, i=record_id: org.discard(n, i, by)))
    return results


def _update(org: SalesforceOrg, record: Record, by: str) -> Row:
    object_name, fields, record_id = record
    if not record_id:
        raise SalesforceError("MISSING_ARGUMENT", "Id not specified in an update call", ("Id",))
    return org.patch(object_name, record_id, fields, by)


def _attempt(write: Any) -> Result:
    try:
        row: Row = write()
    except SalesforceError as refusal:
        error = {
            "statusCode": refusal.code,
            "message": refusal.text,
            "fields": list(refusal.fields),
        }
        return {"success": False, "errors": [error]}
    return {"id": row.id, "success": True, "errors": []}


def _records(org: SalesforceOrg, body: object) -> list[Record]:
    if not isinstance(body, Mapping) or not isinstance(body.get("records"), list):
        raise SalesforceError("JSON_PARSER_ERROR", "The request body has no list of records")
    if body.get("allOrNone") not in (None, False):
        raise Unsupported("allOrNone is not played by the Salesforce stand-in")
    listed = body["records"]
    if len(listed) > RECORDS_MAX:
        raise SalesforceError(
            "EXCEEDED_ID_LIMIT",
            f"record limit reached. cannot submit more than {RECORDS_MAX} records into this call",
        )
    records = [_record(entry) for entry in listed]
    chunks = sum(1 for i, r in enumerate(records) if i == 0 or records[i - 1][0] != r[0])
    if chunks > CHUNKS_MAX:
        raise SalesforceError("INVALID_BATCH_SIZE", f"cannot have more than {CHUNKS_MAX} chunks")
    for object_name, fields, _ in records:
        org.check_shape(object_name, fields)
    return records


def _record(entry: object) -> Record:
    attributes = entry.get("attributes") if isinstance(entry, Mapping) else None
    if not isinstance(entry, Mapping) or not isinstance(attributes, Mapping):
        raise SalesforceError("INVALID_FIELD", "sObject type is required in attributes")
    fields = {n: v for n, v in entry.items() if n != "attributes" and n.lower() != "id"}
    if any(isinstance(value, dict | list) for value in fields.values()):
        raise Unsupported("nested records are not played by the Salesforce stand-in")
    record_id = entry.get("id") or entry.get("Id") or ""
    return str(attributes.get("type")), fields, str(record_id)
