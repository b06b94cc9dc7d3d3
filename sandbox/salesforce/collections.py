"""sObject Collections: up to 200 writes in one request, each with its own result.

REST API Developer Guide, "sObject Collections": HTTP 200 with one result per record in order;
a request that cannot be read at all, or names an unknown field, is refused whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.records import Json, Row
from sandbox.salesforce.engine import SalesforceOrg
from sandbox.salesforce.errors import SalesforceError, Unsupported

RECORDS_MAX = 200
CHUNKS_MAX = 10
Result = dict[str, Any]


def create_records(org: SalesforceOrg, body: object, by: str) -> list[Result]:
    """Insert records (POST /composite/sobjects)."""
    records = _records(org, body)
    with org.store.exclusive():
        return [_attempt(lambda r=record: org.insert(r[0], r[1], by)) for record in records]


def update_records(org: SalesforceOrg, body: object, by: str) -> list[Result]:
    """Update records by id (PATCH /composite/sobjects)."""
    records = _records(org, body)
    with org.store.exclusive():
        return [_attempt(lambda r=record: _update(org, r, by)) for record in records]


def _update(org: SalesforceOrg, record: tuple[str, dict[str, Json], str], by: str) -> Row:
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


def _records(org: SalesforceOrg, body: object) -> list[tuple[str, dict[str, Json], str]]:
    if not isinstance(body, Mapping) or not isinstance(body.get("records"), list):
        raise SalesforceError("JSON_PARSER_ERROR", "The request body has no list of records")
    if body.get("allOrNone"):
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


def _record(entry: object) -> tuple[str, dict[str, Json], str]:
    attributes = entry.get("attributes") if isinstance(entry, Mapping) else None
    if not isinstance(entry, Mapping) or not isinstance(attributes, Mapping):
        raise SalesforceError("INVALID_FIELD", "sObject type is required in attributes")
    fields = {n: v for n, v in entry.items() if n != "attributes" and n.lower() != "id"}
    if any(isinstance(value, dict | list) for value in fields.values()):
        raise Unsupported("nested records are not played by the Salesforce stand-in")
    record_id = entry.get("id") or entry.get("Id") or ""
    return str(attributes.get("type")), fields, str(record_id)
