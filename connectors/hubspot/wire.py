"""Values, definitions and records, to and from HubSpot's JSON.

Every property value is text on the wire. Source: HubSpot developer documentation, "Properties
guide" (types and value formats) and "Using object APIs" (records).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any

from connectors.hubspot.links import is_link, links_of
from connectors.port import RemoteRecord
from registration_core.contracts import FieldSchema, FieldType, ObjectSchema, Value

#: Longest text of a property, in characters.
TEXT_LENGTH_MAX = 65_536
DEALS, COMPANIES = "deals", "companies"

_TYPES = {
    "bool": FieldType.BOOLEAN,
    "date": FieldType.DATE,
    "datetime": FieldType.DATETIME,
    "enumeration": FieldType.PICKLIST,
    "number": FieldType.NUMBER,
}
#: Ids that HubSpot types as numbers.
_IDS = {"hs_object_id": (), "hs_parent_company_id": (COMPANIES,)}
#: What a create needs; HubSpot's definitions do not say ("Deals guide", "Companies guide").
_REQUIRED = {
    DEALS: {"dealname", "dealstage", "pipeline"},
    COMPANIES: {"name"},
    "leads": {"hs_lead_name"},
}
#: The properties that hold a pipeline and its stage.
_PIPELINES = (("pipeline", "dealstage"), ("hs_pipeline", "hs_pipeline_stage"))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def object_schema(
    object_name: str, definitions: Iterable[Mapping[str, Any]], pipelines: Iterable[Any]
) -> ObjectSchema:
    """Read a type's property definitions; its stages come from its pipelines."""
    fields = {
        str(each["name"]): _field(object_name, each)
        for each in definitions
        if not each.get("archived")
    }
    for name, link in links_of(object_name).items():
        fields[name] = FieldSchema(
            name,
            FieldType.REFERENCE,
            label=link.label,
            references=(link.far,),
            required=link.required,
            updateable=link.movable,
        )
    for name, choices in _stages(pipelines).items():
        if name in fields and choices:
            fields[name] = replace(
                fields[name],
                type=FieldType.PICKLIST,
                options=tuple(choices),
                option_labels=tuple(choices.values()),
            )
    return ObjectSchema(object_name, fields=fields)


def to_wire(value: Value, schema: FieldSchema | None) -> str:
    """Word a value; empty text clears. An unknown property (schema None) is left to HubSpot."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, date):
        if schema is not None and schema.type is FieldType.DATETIME:
            return to_wire(datetime.combine(value, time.min, UTC), schema)
        return value.isoformat()
    return ";".join(value) if isinstance(value, tuple) else value


def from_wire(raw: object, schema: FieldSchema) -> Value:
    """Type a value; missing, null and empty text are one: empty. `ValueError` if unreadable."""
    text = "" if raw is None else str(raw)
    if not text:
        return None
    match schema.type:
        case FieldType.NUMBER:
            return _number(text, schema)
        case FieldType.BOOLEAN:
            return text.lower() == "true"
        case FieldType.DATE:
            return date.fromisoformat(text[:10]) if not text.isdigit() else moment(text).date()
        case FieldType.DATETIME:
            return moment(text)
        case FieldType.MULTI_PICKLIST:
            return tuple(sorted(part for part in text.split(";") if part)) or None
        case _:
            return unicodedata.normalize("NFC", text)


def moment(text: str) -> datetime:
    """Read a time, ISO 8601 or milliseconds since 1970."""
    if text.lstrip("-").isdigit():
        return _EPOCH + timedelta(milliseconds=int(text))
    found = datetime.fromisoformat(text)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def millis(when: datetime) -> int:
    """Milliseconds since 1970, cut down."""
    return (when - _EPOCH) // timedelta(milliseconds=1)


def record(
    schema: ObjectSchema,
    raw: Mapping[str, Any],
    fields: Iterable[str],
    linked: Mapping[str, str | None],
    meant: Mapping[str, str] = MappingProxyType({}),
) -> RemoteRecord:
    """Read one record with the fields asked for, and the associations that were read beside it.

    `meant` says what a property without a value stands for.
    """
    properties = raw.get("properties") or {}
    values: dict[str, Value] = {
        name: linked.get(name)
        if is_link(name)
        else from_wire(properties.get(name) or meant.get(name), field)
        for name in fields
        for field in (schema.fields[name],)
    }
    updated_at = str(raw["updatedAt"])
    created_at = raw.get("createdAt")
    return RemoteRecord(
        object=schema.name,
        record_id=str(raw["id"]),
        fields=values,
        version=updated_at,
        created_at=moment(str(created_at)) if created_at else None,
        modified_at=moment(updated_at),
    )


def _field(object_name: str, raw: Mapping[str, Any]) -> FieldSchema:
    name = str(raw["name"])
    metadata = raw.get("modificationMetadata") or {}
    calculated = bool(raw.get("calculated"))
    writable = not calculated and not metadata.get("readOnlyValue")
    type_ = _type(name, raw)
    choices = type_ in (FieldType.PICKLIST, FieldType.MULTI_PICKLIST)
    options = tuple(str(option["value"]) for option in raw.get("options") or ())
    labels = tuple(str(option.get("label") or "") for option in raw.get("options") or ())
    return FieldSchema(
        name=name,
        type=type_,
        label=str(raw.get("label") or ""),
        length=TEXT_LENGTH_MAX if type_ is FieldType.TEXT else None,
        required=name in _REQUIRED.get(object_name, ()),
        createable=writable,
        updateable=writable,
        unique=bool(raw.get("hasUniqueValue")),
        options=options if choices and options else None,
        option_labels=labels if choices else (),
        references=_IDS.get(name, ("owners",) if type_ is FieldType.REFERENCE else ()),
        history_kept=not calculated,
        calculated=calculated,
    )


def _type(name: str, raw: Mapping[str, Any]) -> FieldType:
    if name in _IDS or raw.get("referencedObjectType"):
        return FieldType.REFERENCE
    type_ = _TYPES.get(str(raw.get("type")), FieldType.TEXT)
    if type_ is FieldType.PICKLIST and raw.get("fieldType") == "checkbox":
        return FieldType.MULTI_PICKLIST
    return type_


def _stages(pipelines: Iterable[Any]) -> dict[str, dict[str, str]]:
    """Return what the fields of pipelines and stages take: value to label, by field."""
    live = [pipeline for pipeline in pipelines if not pipeline.get("archived")]
    stages = [s for p in live for s in p.get("stages") or () if not s.get("archived")]
    both = [
        {str(e["id"]): str(e.get("label") or "") for e in several} for several in (live, stages)
    ]
    return {name: values for pair in _PIPELINES for name, values in zip(pair, both, strict=True)}


def has_pipelines(definitions: Iterable[Mapping[str, Any]]) -> bool:
    """True where records of a type with these definitions stand in pipelines."""
    return any(each["name"] in {pair[0] for pair in _PIPELINES} for each in definitions)


def _number(text: str, schema: FieldSchema) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{schema.name} is not a number") from None
