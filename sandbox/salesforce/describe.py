"""Describes objects as `GET /sobjects/X/describe` does (REST API Developer Guide, sObject Describe)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sandbox.salesforce.schema import SalesforceField, SalesforceObject

_FULL_ONLY = frozenset(
    {"fields", "childRelationships", "recordTypeInfos"}
    | {"listviewable", "lookupLayoutable", "searchLayoutable"}
)
_SOAP_TYPES = {
    "id": "tns:ID",
    "reference": "tns:ID",
    "boolean": "xsd:boolean",
    "date": "xsd:date",
    "datetime": "xsd:dateTime",
    "currency": "xsd:double",
    "double": "xsd:double",
    "percent": "xsd:double",
    "int": "xsd:int",
    "anyType": "xsd:anyType",
}


def describe_global(things: Iterable[SalesforceObject], version: str) -> dict[str, Any]:
    """List the objects, without their fields (GET /sobjects)."""
    described = [describe_object(thing, version, []) for thing in things]
    kept = [{n: v for n, v in d.items() if n not in _FULL_ONLY} for d in described]
    return {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": kept}


def describe_object(
    thing: SalesforceObject, version: str, record_types: list[dict[str, Any]]
) -> dict[str, Any]:
    """Describe one object with all its visible fields."""
    base = f"/services/data/v{version}/sobjects/{thing.name}"
    return {
        "name": thing.name,
        "label": thing.label,
        "labelPlural": thing.label,
        "keyPrefix": thing.prefix,
        "custom": thing.custom,
        "createable": thing.writable,
        "updateable": thing.writable,
        "deletable": thing.writable,
        "undeletable": thing.writable,
        "queryable": True,
        "retrieveable": True,
        "replicateable": thing.writable,
        "searchable": thing.writable,
        "mergeable": thing.mergeable,
        "triggerable": thing.writable,
        "layoutable": thing.writable,
        "activateable": False,
        "feedEnabled": False,
        "customSetting": False,
        "deprecatedAndHidden": False,
        "urls": {
            "sobject": base,
            "describe": f"{base}/describe",
            "rowTemplate": f"{base}/{{ID}}",
        },
        "fields": [describe_field(field) for field in thing.fields.values()],
        "listviewable": None,
        "lookupLayoutable": None,
        "searchLayoutable": None,
        "childRelationships": [],
        "recordTypeInfos": record_types,
    }


def describe_field(field: SalesforceField) -> dict[str, Any]:
    """Describe one field."""
    return {
        "name": field.name,
        "label": field.label,
        "type": field.type,
        "soapType": _SOAP_TYPES.get(field.type, "xsd:string"),
        "length": field.length,
        "byteLength": field.length * 3,
        "precision": field.precision,
        "scale": field.scale,
        "digits": field.precision if field.type == "int" else 0,
        "nillable": field.nillable,
        "createable": field.createable,
        "updateable": field.updateable,
        "defaultedOnCreate": field.defaulted,
        "defaultValue": None,
        "defaultValueFormula": None,
        "inlineHelpText": None,
        "externalId": field.external_id,
        "idLookup": field.external_id or field.type == "id",
        "unique": field.unique,
        "caseSensitive": field.case_sensitive,
        "calculated": field.calculated,
        "calculatedFormula": None,
        "autoNumber": False,
        "filterable": field.filterable,
        "sortable": field.filterable,
        "groupable": field.filterable,
        "encrypted": False,
        "htmlFormatted": False,
        "nameField": field.name == "Name",
        "namePointing": False,
        "compoundFieldName": None,
        "controllerName": None,
        "dependentPicklist": False,
        "restrictedPicklist": field.restricted,
        "picklistValues": [
            {"active": True, "defaultValue": False, "label": v, "validFor": None, "value": v}
            for v in field.options
        ],
        "referenceTo": list(field.reference_to),
        "relationshipName": field.relationship or None,
        "relationshipOrder": None,
        "writeRequiresMasterRead": False,
        "permissionable": field.nillable and not field.defaulted,
        "custom": field.custom,
        "deprecatedAndHidden": False,
    }
