"""What an admin of the stand-in set up: validation, duplicate and assignment rules, record types.

REST API Developer Guide, "Status Codes and Error Responses" and "Duplicate Rule Header": a
validation rule answers in the admin's words; a duplicate rule that blocks names the records it
found, but only to a single-record request. "Assignment Rule Header": unless `Sforce-Auto-Assign` is
FALSE, the active rule gives a lead that is written another owner.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.records import Json, RecordStore, Row
from sandbox.salesforce.errors import SalesforceError
from sandbox.salesforce.ids import make_id, to_18
from sandbox.salesforce.schema import SalesforceObject

#: Id of the master record type in every org.
MASTER_RECORD_TYPE = "012000000000000AAA"


class Rules:
    """The rules of one org; asked by the engine at every write."""

    def __init__(self, store: RecordStore, pod: str) -> None:
        self._store = store
        self._pod = pod
        self._validations: dict[tuple[str, str], tuple[Json, str]] = {}
        self._duplicates: dict[str, str] = {}
        self._queues: dict[str, str] = {}

    # Setup

    def refuse_value(self, object_name: str, field: str, value: Json, message: str) -> None:
        """Switch a validation rule on: this value of a field is refused with this message."""
        self._validations[object_name, field] = (value, message)

    def block_duplicates(self, object_name: str, field: str) -> None:
        """Switch a blocking duplicate rule on: no two records with one value of a field."""
        self._duplicates[object_name] = field

    def assign(self, object_name: str) -> str:
        """Switch an assignment rule on: what is written goes to a queue, whose id this returns."""
        return self._queues.setdefault(object_name, make_id("00G", self._pod, 1))

    def clear(self) -> None:
        """Switch every rule off."""
        self._validations.clear()
        self._duplicates.clear()
        self._queues.clear()

    # At a write

    def check(
        self, thing: SalesforceObject, values: Mapping[str, Json], record_id: str | None
    ) -> None:
        """Refuse what a rule is against; in the vendor's order, duplicates first."""
        field = self._duplicates.get(thing.name)
        if field is not None and values.get(field) is not None and record_id is None:
            same = [r for r in self._store.rows(thing.name) if r.fields.get(field) == values[field]]
            if same:
                raise _duplicates_detected(thing, same)
        for (object_name, name), (value, message) in self._validations.items():
            if object_name == thing.name and name in values and values[name] == value:
                raise SalesforceError("FIELD_CUSTOM_VALIDATION_EXCEPTION", message, (name,))

    def assigned(self, row: Row, headers: Mapping[str, str], by: str) -> Row:
        """Hand a record that was written to its queue, unless the request's headers forbid it."""
        queue = self._queues.get(row.object)
        if queue is None or headers.get("sforce-auto-assign", "TRUE").upper() == "FALSE":
            return row
        return self._store.update(row, {"OwnerId": queue}, by)

    def record_type_ids(self, thing: SalesforceObject) -> dict[str, str]:
        """Return the record types of an object: developer name to id."""
        return {
            name: make_id("012", self._pod, _number(thing, place))
            for place, name in enumerate(thing.record_types, start=1)
        }

    def check_record_type(self, thing: SalesforceObject, values: Mapping[str, Json]) -> None:
        """Refuse a record type of another object, or one that is not there."""
        given = values.get("RecordTypeId")
        known = {*self.record_type_ids(thing).values(), MASTER_RECORD_TYPE}
        if given is not None and to_18(str(given)) not in known:
            raise SalesforceError(
                "INVALID_CROSS_REFERENCE_KEY",
                f"Record Type ID: this ID value isn't valid for the user: {given}",
                ("RecordTypeId",),
            )

    def describe_record_types(self, thing: SalesforceObject) -> list[dict[str, Any]]:
        """Describe the record types of an object, the master last."""
        listed = [
            _record_type(name, record_type_id)
            for name, record_type_id in self.record_type_ids(thing).items()
        ]
        master = _record_type("Master", MASTER_RECORD_TYPE) | {
            "master": True,
            "defaultRecordTypeMapping": not listed,
        }
        return [*listed, master]


def _number(thing: SalesforceObject, place: int) -> int:
    return int.from_bytes(thing.prefix.encode()) * 100 + place


def _record_type(name: str, record_type_id: str) -> dict[str, Any]:
    return {
        "active": True,
        "available": True,
        "defaultRecordTypeMapping": False,
        "developerName": name,
        "master": False,
        "name": name.replace("_", " "),
        "recordTypeId": record_type_id,
        "urls": {},
    }


def _duplicates_detected(thing: SalesforceObject, same: list[Row]) -> SalesforceError:
    matches = [
        {
            "additionalInformation": [],
            "fieldDiffs": [],
            "matchConfidence": 100.0,
            "record": {
                "attributes": {
                    "type": thing.name,
                    "url": f"/services/data/v67.0/sobjects/{thing.name}/{row.id}",
                },
                "Id": row.id,
            },
        }
        for row in same
    ]
    refusal = SalesforceError("DUPLICATES_DETECTED", "Use one of these records?")
    refusal.duplicates = {
        "allowSave": False,
        "duplicateRule": f"Standard_{thing.name}_Duplicate_Rule",
        "duplicateRuleEntityType": thing.name,
        "errorMessage": "Use one of these records?",
        "matchResults": [
            {
                "entityType": thing.name,
                "errors": [],
                "matchEngine": "ExactMatchEngine",
                "matchRecords": matches,
                "rule": f"Standard_{thing.name}_Match_Rule",
                "size": len(matches),
                "success": True,
            }
        ],
    }
    return refusal
