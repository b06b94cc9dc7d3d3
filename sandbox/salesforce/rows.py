"""Single records: create, read, change, upsert by external id, delete.

REST API Developer Guide, "sObject Basic Information", "sObject Rows" and "sObject Rows by External
ID". The connector sends the create, to learn what a duplicate rule found; jsforce and
simple-salesforce send the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.records import Json, Row
from sandbox.salesforce.engine import SalesforceOrg
from sandbox.salesforce.errors import SalesforceError
from sandbox.salesforce.schema import SalesforceObject

#: What a handler answers: status and body (None for no body).
Answer = tuple[int, Any]


def create(
    org: SalesforceOrg, thing: SalesforceObject, body: object, by: str, headers: Mapping[str, str]
) -> Answer:
    """Insert one record (POST /sobjects/X): 201."""
    org.check_shape(thing.name, _fields(body))
    row = org.rules.assigned(org.insert(thing.name, _fields(body), by), headers, by)
    return 201, {"id": row.id, "success": True, "errors": []}


def read(
    org: SalesforceOrg, thing: SalesforceObject, record_id: str, names: str, version: str
) -> Answer:
    """Read one record (GET /sobjects/X/ID), all its fields or those of `?fields=`."""
    wanted = [n for n in names.split(",") if n] or list(thing.fields)
    (found,) = org.reader.retrieve(thing, [record_id], wanted, version)
    if found is None:
        org.live(thing, record_id, missing=_not_found())
    return 200, found


def change(
    org: SalesforceOrg,
    thing: SalesforceObject,
    record_id: str,
    body: object,
    by: str,
    headers: Mapping[str, str],
) -> Answer:
    """Patch one record (PATCH /sobjects/X/ID): 204 without a body."""
    org.live(thing, record_id, missing=_not_found())
    org.check_shape(thing.name, _fields(body))
    org.rules.assigned(org.patch(thing.name, record_id, _fields(body), by), headers, by)
    return 204, None


def delete(org: SalesforceOrg, thing: SalesforceObject, record_id: str, by: str) -> Answer:
    """Delete one record (DELETE /sobjects/X/ID): 204 without a body."""
    org.live(thing, record_id, missing=_not_found())
    org.discard(thing.name, record_id, by)
    return 204, None


def upsert(
    org: SalesforceOrg, thing: SalesforceObject, key: tuple[str, str], body: object, version: str
) -> Answer:
    """Insert or patch by an external id (PATCH /sobjects/X/F/V): 201 or 200, 300 where many have it."""
    fields, by = _fields(body), org.integration_user_id
    if key[0] in fields or "Id" in fields:
        raise SalesforceError(
            "INVALID_FIELD_FOR_INSERT_UPDATE", "The key must stand in the address alone.", (key[0],)
        )
    found = find_by_external_id(org, thing, *key)
    if len(found) > 1:
        return _several(thing, found, version)
    if not found:
        row = org.insert(thing.name, {**fields, key[0]: key[1]}, by)
        return 201, {"id": row.id, "success": True, "errors": [], "created": True}
    org.patch(thing.name, found[0].id, fields, by)
    return 200, {"id": found[0].id, "success": True, "errors": [], "created": False}


def read_by_key(
    org: SalesforceOrg, thing: SalesforceObject, key: tuple[str, str], version: str
) -> Answer:
    """Read one record by an external id (GET /sobjects/X/F/V); 300 where many have it."""
    found = find_by_external_id(org, thing, *key)
    if not found:
        raise _not_found()
    if len(found) > 1:
        return _several(thing, found, version)
    return read(org, thing, found[0].id, "", version)


def find_by_external_id(
    org: SalesforceOrg, thing: SalesforceObject, name: str, value: str
) -> list[Row]:
    """Find live records by an external id, without regard to case."""
    field = next((f for n, f in thing.fields.items() if n.lower() == name.lower()), None)
    if field is None or not (field.external_id or field.type == "id"):
        raise SalesforceError(
            "NOT_FOUND",
            f"Provided external ID field does not exist or is not accessible: {name}",
            status=404,
        )
    return [
        row
        for row in org.store.rows(thing.name)
        if str(row.fields.get(field.name, row.id if field.type == "id" else "")).lower()
        == value.lower()
    ]


def _fields(body: object) -> dict[str, Json]:
    if not isinstance(body, Mapping):
        raise SalesforceError("JSON_PARSER_ERROR", "The request body is no record")
    return {str(name): value for name, value in body.items() if name != "attributes"}


def _several(thing: SalesforceObject, found: list[Row], version: str) -> Answer:
    return 300, [f"/services/data/v{version}/sobjects/{thing.name}/{row.id}" for row in found]


def _not_found() -> SalesforceError:
    return SalesforceError("NOT_FOUND", "The requested resource does not exist", status=404)
