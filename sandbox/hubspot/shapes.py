"""Records, definitions and pipelines in the JSON shapes of HubSpot's answers.

Sources: HubSpot developer documentation, "Using object APIs", "Properties", "Pipelines", "Owners".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sandbox.hubspot.association_types import ASSOCIATION_TYPES
from sandbox.hubspot.engine import HubSpotOrg
from sandbox.hubspot.schema import OBJECT_TYPES, ObjectType, Property
from sandbox.hubspot.values import iso
from sandbox.records import Json, Row

_PARENT_COMPANY = 14
_FAMILY = {13: "parent_to_child_company", 14: "child_to_parent_company"}
_BORN = "2024-03-04T09:30:00Z"


def value(org: HubSpotOrg, row: Row, name: str) -> Json:
    """The value of one property, computed ones included; None when there is none."""
    if name == "hs_object_id":
        return row.id
    if name in ("createdate", "hs_createdate"):
        return iso(row.created_at)
    if name in ("hs_lastmodifieddate", "lastmodifieddate"):
        return iso(row.modified_at)
    if name == "hs_parent_company_id":
        parents = org.links.of((row.object, row.id), row.object)
        return next((other for other, types in parents if _PARENT_COMPANY in types), None)
    return row.fields.get(name)


def record(
    org: HubSpotOrg,
    kind: ObjectType,
    row: Row,
    names: Iterable[str] = (),
    histories: Iterable[str] = (),
    associations: Iterable[str] = (),
) -> dict[str, Any]:
    """One record; names that the type does not define are left out without a word."""
    wanted = list(dict.fromkeys([*names, "hs_object_id", "createdate", kind.modified]))
    if not list(names):
        wanted = list(kind.defaults)
    body: dict[str, Any] = {
        "id": row.id,
        "properties": {n: value(org, row, n) for n in wanted if n in kind.properties},
        "createdAt": iso(row.created_at),
        "updatedAt": iso(row.modified_at),
        "archived": row.deleted,
    }
    if row.deleted and row.deleted_at:
        body["archivedAt"] = iso(row.deleted_at)
    known = [name for name in histories if name in kind.properties]
    if known:
        body["propertiesWithHistory"] = {n: history(row, kind.properties[n]) for n in known}
    found = {name: _associated(org, row, name) for name in associations}
    if any(found.values()):
        body["associations"] = {n: {"results": results} for n, results in found.items() if results}
    return body


def source(by: str, prop: Property | None = None) -> dict[str, Any]:
    """Where a change came from: an app is `INTEGRATION` and its id, a person `CRM_UI`."""
    who, _, number = by.partition(":")
    if prop is not None and prop.calculated:
        return {"sourceType": "CALCULATED", "sourceId": "CalculatedPropertyComputer"}
    if who == "app":
        return {"sourceType": "INTEGRATION", "sourceId": number}
    if who == "user":
        return {
            "sourceType": "CRM_UI",
            "sourceId": f"userId:{number}",
            "updatedByUserId": int(number),
        }
    return {"sourceType": "IMPORT", "sourceId": "1"}


def history(row: Row, prop: Property) -> list[dict[str, Any]]:
    """All values that a property had, newest first; "" where it was cleared."""
    return [
        {
            "value": "" if change.new is None else str(change.new),
            "timestamp": iso(change.at),
            **source(change.by, prop),
        }
        for change in reversed(row.history)
        if change.field == prop.name
    ]


def definition(prop: Property) -> dict[str, Any]:
    """One property definition."""
    body: dict[str, Any] = {
        "name": prop.name,
        "label": prop.label,
        "type": "enumeration" if prop.type == "checkbox" else prop.type,
        "fieldType": prop.field_type,
        "description": "",
        "groupName": "dealreg" if not prop.standard else "information",
        "options": [
            {"label": label, "value": value_, "displayOrder": order, "hidden": False}
            for order, (value_, label) in enumerate(prop.options)
        ],
        "displayOrder": -1,
        "calculated": prop.calculated,
        "externalOptions": prop.owner,
        "hasUniqueValue": prop.unique,
        "hidden": False,
        "hubspotDefined": prop.standard,
        "modificationMetadata": {
            "archivable": not prop.standard,
            "readOnlyDefinition": prop.standard,
            "readOnlyValue": prop.read_only,
        },
        "formField": not prop.read_only,
        "archived": False,
        "createdAt": _BORN,
        "updatedAt": _BORN,
    }
    if prop.owner:
        body["referencedObjectType"] = "OWNER"
    if prop.type == "bool":
        body["options"] = [
            {"label": label, "value": value_, "displayOrder": order, "hidden": False}
            for order, (value_, label) in enumerate((("true", "Yes"), ("false", "No")))
        ]
    return body


def pipelines(kind: ObjectType) -> list[dict[str, Any]]:
    """All pipelines of a type; the metadata of a stage is text throughout."""
    return [
        {
            "id": pipeline.id,
            "label": pipeline.label,
            "displayOrder": order,
            "archived": False,
            "createdAt": _BORN,
            "updatedAt": _BORN,
            "stages": [
                {
                    "id": stage.id,
                    "label": stage.label,
                    "displayOrder": stage_order,
                    "metadata": {
                        "isClosed": "true" if stage.closed else "false",
                        **({"probability": stage.probability} if stage.probability else {}),
                    },
                    "archived": False,
                    "createdAt": _BORN,
                    "updatedAt": _BORN,
                    "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT",
                }
                for stage_order, stage in enumerate(pipeline.stages)
            ],
        }
        for order, pipeline in enumerate(kind.pipelines)
    ]


def owner(row: Row) -> dict[str, Any]:
    """One owner; an archived one has no user id."""
    fields: Mapping[str, Json] = row.fields
    return {
        "id": row.id,
        "email": fields["email"],
        "type": "PERSON",
        "firstName": fields["firstName"],
        "lastName": fields["lastName"],
        "userId": None if row.deleted else int(str(fields["userId"])),
        "userIdIncludingInactive": int(str(fields["userId"])),
        "createdAt": iso(row.created_at),
        "updatedAt": iso(row.modified_at),
        "archived": row.deleted,
        "teams": [],
    }


def batch(started: datetime, finished: datetime, results: list[Any]) -> dict[str, Any]:
    """The frame of a batch answer."""
    return {
        "status": "COMPLETE",
        "results": results,
        "startedAt": iso(started),
        "completedAt": iso(finished),
    }


def _associated(org: HubSpotOrg, row: Row, to_type: str) -> list[dict[str, str]]:
    return [
        {"id": other_id, "type": _association_name(type_id)}
        for other_id, types in org.links.of((row.object, row.id), to_type)
        for type_id in types
    ]


def _association_name(type_id: int) -> str:
    """Name a type as listings do: `deal_to_company` is the primary one."""
    if type_id in _FAMILY:
        return _FAMILY[type_id]
    kind = ASSOCIATION_TYPES[type_id]
    pair = (kind.from_type, kind.to_type)
    plain = "_to_".join(OBJECT_TYPES[name].singular for name in pair)
    labelled = any(
        other.label == "Primary" and (other.from_type, other.to_type) == pair
        for other in ASSOCIATION_TYPES.values()
    )
    return f"{plain}_unlabeled" if labelled and not kind.label else plain
