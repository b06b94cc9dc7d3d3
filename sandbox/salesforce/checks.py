"""What a record must have and may point to, whoever writes it.

Object Reference, "Required Fields" and "Reference Field Type"; the codes are those of "Status Codes
and Error Responses" in the REST API Developer Guide.
"""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.records import Json, RecordStore
from sandbox.salesforce.errors import SalesforceError
from sandbox.salesforce.schema import SalesforceObject


def lookups(store: RecordStore, thing: SalesforceObject, values: Mapping[str, Json]) -> None:
    """Refuse a lookup to a record that is not there, is deleted, or may own nothing any more."""
    for name, value in values.items():
        field = thing.fields[name]
        if field.type != "reference" or value is None or name == "RecordTypeId":
            continue
        found = [store.get(to, str(value), deleted=True) for to in field.reference_to]
        row = next((r for r in found if r is not None), None)
        if row is None:
            raise SalesforceError(
                "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", (name,)
            )
        if row.deleted:
            raise SalesforceError("ENTITY_IS_DELETED", "entity is deleted", (name,))
        if row.object == "User" and not row.fields.get("IsActive"):
            raise SalesforceError(
                "INACTIVE_OWNER_OR_USER",
                f"operation performed with inactive user [{row.id}] as owner",
                (name,),
            )


def required(thing: SalesforceObject, values: Mapping[str, Json], *, creating: bool) -> None:
    """Refuse a record that lacks what its object demands."""
    missing = [
        f.name
        for f in thing.fields.values()
        if f.createable
        and not f.nillable
        and (not f.defaulted or f.name in values)
        and (creating or f.name in values)
        and values.get(f.name) is None
    ]
    if missing:
        raise SalesforceError(
            "REQUIRED_FIELD_MISSING",
            f"Required fields are missing: [{', '.join(missing)}]",
            tuple(missing),
        )
