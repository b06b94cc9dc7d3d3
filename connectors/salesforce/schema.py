"""Reads `describe` answers: what an object looks like to the user we sign in as."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from connectors.salesforce.wire import WireError, to_18
from registration_core.contracts import FieldSchema, FieldType, ObjectSchema

#: Compound and binary types have no value of their own that could be mapped.
_TYPES: Mapping[str, FieldType] = {
    "id": FieldType.REFERENCE,
    "reference": FieldType.REFERENCE,
    "boolean": FieldType.BOOLEAN,
    "int": FieldType.NUMBER,
    "long": FieldType.NUMBER,
    "double": FieldType.NUMBER,
    "currency": FieldType.NUMBER,
    "percent": FieldType.NUMBER,
    "date": FieldType.DATE,
    "datetime": FieldType.DATETIME,
    "picklist": FieldType.PICKLIST,
    "multipicklist": FieldType.MULTI_PICKLIST,
    "string": FieldType.TEXT,
    "textarea": FieldType.TEXT,
    "phone": FieldType.TEXT,
    "url": FieldType.TEXT,
    "email": FieldType.TEXT,
    "combobox": FieldType.TEXT,
    "encryptedstring": FieldType.TEXT,
    "time": FieldType.TEXT,
}
#: Our name for an object's record type: its developer name, which is the same in every org of a
#: company, where its id is not. Read and written like a picklist; queries go by its id.
RECORD_TYPE = "RecordType.DeveloperName"
RECORD_TYPE_ID = "RecordTypeId"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)

#: Salesforce keeps every value of these in OpportunityHistory, with no set-up.
STAGE_HISTORY_FIELDS = frozenset({"StageName", "Amount", "Probability", "CloseDate"})


@dataclass(frozen=True)
class SalesforceSchema:
    """An object's schema, and what only this connector needs to know of it."""

    schema: ObjectSchema
    #: Name under which a field appears in field history, by field: lookups use the relationship's.
    history_names: Mapping[str, str]
    #: Ids of the record types our user may use, by developer name.
    record_types: Mapping[str, str] = field(default_factory=dict)
    #: Our user may create records of it, and change them.
    createable: bool = True
    updateable: bool = True
    #: Fields with External ID ticked, which Salesforce indexes.
    external_ids: frozenset[str] = frozenset()
    #: Our user may see which fields have history tracking on; where not, none seems to.
    tracking_seen: bool = True

    @property
    def name(self) -> str:
        """API name as Salesforce spells it."""
        return self.schema.name

    def has(self, name: str) -> bool:
        """Tell whether our user sees a field."""
        return name in self.schema.fields

    def column(self, name: str) -> str:
        """Name the field that a value is fetched from or sent to."""
        return RECORD_TYPE_ID if name == RECORD_TYPE else name

    def record_type_id(self, developer_name: str) -> str:
        """Return the id of a record type; `WireError` if our user may not use it."""
        found = self.record_types.get(developer_name)
        if found is None:
            raise WireError(RECORD_TYPE, f"our user has no record type {developer_name!r}")
        return found

    def record_type_name(self, record_type_id: Any) -> str | None:
        """Return the developer name of a record type; None for the master or one we cannot see."""
        return next(
            (
                n
                for n, i in self.record_types.items()
                if record_type_id and to_18(i) == to_18(record_type_id)
            ),
            None,
        )


def is_api_name(text: str) -> bool:
    """Tell whether a text can be an object or field name; nothing else may go into a URL or SOQL."""
    return _NAME.fullmatch(text) is not None


def read_describe(answer: Mapping[str, Any], tracked: Collection[str] | None) -> SalesforceSchema:
    """Turn a describe answer into a schema.

    `tracked` names the fields with history tracking on; None where our user may not see which.
    """
    fields = {}
    history_names = {}
    for raw in answer["fields"]:
        if raw["type"] not in _TYPES:
            continue
        name = str(raw["name"])
        relation = str(raw.get("relationshipName") or "")
        standard_lookup = raw["type"] == "reference" and not raw.get("custom")
        history_names[name] = relation if standard_lookup and relation else name
        always = answer["name"] == "Opportunity" and name in STAGE_HISTORY_FIELDS
        kept = always or bool({name, history_names[name]} & set(tracked or ()))
        fields[name] = _field(raw, kept=kept)
    types = {
        str(each["developerName"]): str(each["recordTypeId"])
        for each in answer.get("recordTypeInfos") or ()
        if each.get("available") and not each.get("master")
    }
    if types and RECORD_TYPE_ID in fields:
        fields[RECORD_TYPE] = replace(
            fields[RECORD_TYPE_ID],
            name=RECORD_TYPE,
            type=FieldType.PICKLIST,
            label="Record type",
            options=tuple(sorted(types)),
            references=(),
        )
    schema = ObjectSchema(str(answer["name"]), str(answer.get("label", "")), fields)
    return SalesforceSchema(
        schema,
        history_names,
        types,
        createable=bool(answer.get("createable")),
        updateable=bool(answer.get("updateable")),
        external_ids=frozenset(str(f["name"]) for f in answer["fields"] if f.get("externalId")),
        tracking_seen=tracked is not None,
    )


def _field(raw: Mapping[str, Any], *, kept: bool) -> FieldSchema:
    kind = _TYPES[raw["type"]]
    options: tuple[str, ...] | None = None
    labels: tuple[str, ...] = ()
    if kind in (FieldType.PICKLIST, FieldType.MULTI_PICKLIST) and raw.get("restrictedPicklist"):
        active = [v for v in raw["picklistValues"] if v.get("active", True)]
        options = tuple(str(v["value"]) for v in active)
        labels = tuple(str(v.get("label") or "") for v in active)
    createable = bool(raw.get("createable"))
    nillable, defaulted = bool(raw.get("nillable")), bool(raw.get("defaultedOnCreate"))
    return FieldSchema(
        name=str(raw["name"]),
        type=kind,
        label=str(raw.get("label", "")),
        length=int(raw.get("length") or 0) or None,
        scale=int(raw.get("scale") or 0) if kind is FieldType.NUMBER else None,
        required=createable and not nillable and not defaulted,
        createable=createable,
        updateable=bool(raw.get("updateable")),
        unique=bool(raw.get("unique")),
        options=options,
        option_labels=labels,
        references=tuple(str(name) for name in raw.get("referenceTo") or ()),
        history_kept=kept,
        calculated=bool(raw.get("calculated")),
    )
