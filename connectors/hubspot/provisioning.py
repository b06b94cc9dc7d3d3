"""Defining the properties that registrations need, in a group of their own.

Whether values have to be unique can be said only now: HubSpot does not add that to a property
later. Source: HubSpot developer documentation, "Properties guide" and "Unique properties".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from connectors.hubspot.errors import CallRefused
from connectors.hubspot.gateway import Gateway
from registration_core.contracts import FieldSchema, FieldType

GROUP = "dealreg"
_THERE = "OBJECT_ALREADY_EXISTS"
#: HubSpot's type and form control for each of our types that it can hold.
_TYPES: Mapping[FieldType, tuple[str, str]] = {
    FieldType.TEXT: ("string", "text"),
    FieldType.NUMBER: ("number", "number"),
    FieldType.DATE: ("date", "date"),
    FieldType.DATETIME: ("datetime", "date"),
    FieldType.BOOLEAN: ("bool", "booleancheckbox"),
    FieldType.PICKLIST: ("enumeration", "select"),
    FieldType.MULTI_PICKLIST: ("enumeration", "checkbox"),
}
_YES_NO = {"true": "Yes", "false": "No"}


def create(gateway: Gateway, object_name: str, fields: Iterable[FieldSchema]) -> None:
    """Define properties one by one; what is there already is left as it is."""
    operation = f"create properties of {object_name}"
    for field in fields:
        if field.type not in _TYPES:
            raise gateway.refused(
                operation,
                f"{field.name} of {object_name} cannot be made: HubSpot has no such property.",
                hint="Make it in HubSpot, or take it out of the mapping.",
            )
    api = gateway.client.crm.properties
    group = {"name": GROUP, "label": "Deal registration", "displayOrder": -1}
    _unless_there(gateway, operation, api.groups_api.create, object_name, group)
    for field in fields:
        _unless_there(gateway, operation, api.core_api.create, object_name, _definition(field))


def _unless_there(
    gateway: Gateway, operation: str, call: Callable[..., Any], object_name: str, body: Any
) -> None:
    try:
        gateway.write(operation, call, object_name, body)
    except CallRefused as refusal:
        if refusal.body.get("category") != _THERE:
            raise


def _definition(field: FieldSchema) -> dict[str, Any]:
    type_, control = _TYPES[field.type]
    labels = _YES_NO if field.type is FieldType.BOOLEAN else {o: o for o in field.options or ()}
    return {
        "name": field.name,
        "label": field.label or field.name,
        "type": type_,
        "fieldType": control,
        "groupName": GROUP,
        "hasUniqueValue": field.unique,
        "options": [
            {"label": label, "value": value, "displayOrder": order, "hidden": False}
            for order, (value, label) in enumerate(labels.items())
        ],
    }
