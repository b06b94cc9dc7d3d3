"""The JSON Schema (draft 2020-12) of a mapping file, for editors that complete and check YAML.

It says less than `loader`: what two rows say together, an editor cannot see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mapping.companions import REFERRING
from mapping.expressions import LENGTH_MAX
from mapping.loader import ACCOUNT_FIELDS, OPPORTUNITY_FIELDS, ROLES
from mapping.schema import (
    ADDRESS,
    COMPANIONS,
    KEY_FIELD,
    RECORD,
    USER,
    Direction,
    Emptied,
    FirstLink,
    Missing,
    Write,
)
from mapping.transform_options import PART_MAX, SCALE_MAX, SEPARATOR_MAX, TEXT_MAX
from mapping.transforms.places import COUNTRY_FORMS, STATE_FORMS, countries_with_states
from registration_core.contracts import ObjectSchema

_Schema = dict[str, Any]

_TEXT: _Schema = {"type": "string", "minLength": 1}
_CONSTANT: _Schema = {"type": ["string", "number", "boolean"]}
_CONSTANTS: _Schema = {"type": "object", "additionalProperties": _CONSTANT}
_SEVERAL: _Schema = {"type": "array", "items": _TEXT, "minItems": 1, "uniqueItems": True}
_THEIRS: _Schema = {
    "anyOf": [_TEXT, _SEVERAL],
    "description": "their field, in their own name",
}
_SCALE: _Schema = {"type": "integer", "minimum": 0, "maximum": SCALE_MAX}
_SEPARATOR: _Schema = {"type": "string", "minLength": 1, "maxLength": SEPARATOR_MAX}
_SHARED: _Schema = {"type": "string", "pattern": r"^\$."}
_USED: _Schema = {"anyOf": [{"$ref": "#/$defs/transform"}, _SHARED]}
_COMPUTED: _Schema = _TEXT | {"maxLength": LENGTH_MAX, "description": "CEL; only flows to the CRM"}
_WORDS: _Schema = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]}


def json_schema(ours: ObjectSchema, groups: Mapping[str, Sequence[str]]) -> _Schema:
    """Return the schema of a mapping file for these fields of ours, by field group."""
    rows = {
        group: {"type": "array", "items": _row(ours, group, names)}
        for group, names in groups.items()
        if set(names) - {KEY_FIELD}
    }
    asked = {"type": "array", "items": _CONSTANT, "minItems": 1}
    links = {"enum": [each.value for each in FirstLink]}
    mapped = _object(
        {
            "role": {"enum": list(ROLES)},
            "when": {"type": "object", "additionalProperties": asked, "minProperties": 1},
            "first_link": {"anyOf": [links, _object(dict.fromkeys(groups, links))]},
            "object": _TEXT,
            "key": _TEXT | {"description": "unique field that carries our registration id"},
            "on_create": _CONSTANTS,
            "companions": _object(
                {**dict.fromkeys(COMPANIONS, _companion(ours)), USER: _user(ours)}
            ),
            "groups": _object(rows),
        },
        required=("object", "key", "groups"),
    )
    accounts = _object(
        {"object": _TEXT, "fields": _names(ACCOUNT_FIELDS, ("name", "country"))},
        required=("object", "fields"),
    )
    conditions = {"type": "array", "items": _CONSTANT, "minItems": 1}
    opportunities = _object(
        {
            "object": _TEXT,
            "account": _TEXT,
            "key": _TEXT,
            "open": {"type": "object", "additionalProperties": conditions, "minProperties": 1},
            "fields": _names(OPPORTUNITY_FIELDS, ("name",)),
            "stamp": {"type": "array", "items": _stamp_row(ours)},
        },
        required=("object", "account", "key", "open", "fields"),
    )
    other = mapped | {"required": [*mapped["required"], "role"]}
    objects = {
        "type": "object",
        "properties": dict.fromkeys(ROLES, mapped),
        "additionalProperties": other,
        "minProperties": 1,
    }
    top: _Schema = {
        "connection": _TEXT | {"description": "its name in connections.yaml"},
        "objects": objects,
        "accounts": accounts,
        "opportunities": opportunities,
    }
    shared = {"type": "object", "additionalProperties": {"$ref": "#/$defs/transform"}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "dealreg field mapping",
        **_object({**top, "shared": shared}, required=tuple(top)),
        "$defs": {"transform": _transform()},
    }


def _row(ours: ObjectSchema, group: str, names: Sequence[str]) -> _Schema:
    fields = [ours.fields[name] for name in names if name != KEY_FIELD]
    labels = "; ".join(f"{field.name}: {field.label}" for field in fields)
    way = {"enum": [each.value for each in Direction]}
    both: dict[str, _Schema] = {
        "theirs": _THEIRS,
        "direction": {"anyOf": [way, _object({"create": way, "update": way})]},
        "transform": _USED,
        "write": {"enum": [each.value for each in Write], "default": "overwrite"},
        "emptied": {"enum": [each.value for each in Emptied], "default": "conflict"},
    }
    references = [name for name, place in REFERRING.items() if place == group]
    names = [*(field.name for field in fields), *references]
    named = {"enum": names, "description": labels}
    return {"title": f"a row of group {group}", **_one_of(named, both)}


def _one_of(named: _Schema, rest: Mapping[str, _Schema], *, theirs: bool = True) -> _Schema:
    """A row that has a field of ours, or an expression."""
    needed = ("theirs",) if theirs else ()
    return {
        "anyOf": [
            _object({"ours": named, **rest}, required=("ours", *needed)),
            _object({"expression": _COMPUTED, **rest}, required=("expression", *needed)),
        ]
    }


def _companion(ours: ObjectSchema) -> _Schema:
    """A companion: every field of ours and every reference may be written to it, once."""
    fields = [name for name in ours.fields if name != KEY_FIELD]
    named = {"enum": [*fields, *REFERRING, RECORD]}
    rest = {"theirs": _THEIRS, "transform": _USED}
    row = {"title": "a row of a companion", **_one_of(named, rest)}
    return _object(
        {
            "object": _TEXT,
            "key": _TEXT | {"description": "unique field that carries our id of the companion"},
            "missing": {"enum": [each.value for each in Missing], "default": "create"},
            "on_create": _CONSTANTS,
            "fields": {"type": "array", "items": row, "minItems": 1},
        },
        required=("object", "key", "fields"),
    )


def _user(ours: ObjectSchema) -> _Schema:
    """A user of the CRM: whose e-mail address is looked for, and what if nobody has it."""
    named = {"enum": [name for name in ours.fields if name != KEY_FIELD]}
    said = _one_of(named, {"transform": _USED}, theirs=False)
    address = {"anyOf": [named, said], "description": "the e-mail address of the user"}
    missing = {"enum": [Missing.WAIT.value, Missing.LEAVE.value], "default": "wait"}
    return _object({ADDRESS: address, "missing": missing}, required=(ADDRESS,))


def _stamp_row(ours: ObjectSchema) -> _Schema:
    row = {
        "ours": {"enum": [name for name in ours.fields if name != KEY_FIELD]},
        "theirs": _TEXT | {"description": "filled while it is empty"},
        "transform": {"anyOf": [{"$ref": "#/$defs/transform"}, _SHARED]},
    }
    return _object(row, required=("ours", "theirs"))


def _transform() -> _Schema:
    options = _options()
    alone = [
        name
        for name, schema in options.items()
        if "required" not in schema and "minProperties" not in schema
    ]
    return {
        "anyOf": [
            {"enum": alone},
            _object(options) | {"minProperties": 1, "maxProperties": 1},
        ]
    }


def _options() -> dict[str, _Schema]:
    """The options of every transform, by its word."""
    zone = {"type": "string", "description": "a name of the time zone database"}
    table = {"type": "object", "minProperties": 1}
    return {
        "copy": _object({}),
        "text": _object(
            {
                "max": {"type": "integer", "minimum": 1, "maximum": TEXT_MAX},
                "case": {"enum": ["upper", "lower"]},
            },
            required=("max",),
        ),
        "date": _object({"as": {"enum": ["date", "datetime"]}, "zone": zone}),
        "datetime": _object(
            {
                "as": {"enum": ["datetime", "date"]},
                "zone": zone,
                "to": {"enum": ["second", "minute"]},
            }
        ),
        "money": _object({"scale": _SCALE}, required=("scale",)),
        "number": _object({"scale": _SCALE}, required=("scale",)),
        "list": _object({"separator": _SEPARATOR}, required=("separator",)),
        "json_list": _object({}),
        "split": _object(
            {
                "separator": _SEPARATOR,
                "part": {"type": "integer", "minimum": 1, "maximum": PART_MAX},
            },
            required=("separator",),
        ),
        "join": _object({"separator": _SEPARATOR}, required=("separator",)),
        "country": _object({"as": {"enum": list(COUNTRY_FORMS)}}),
        "state": _object(
            {
                "country": {"enum": list(countries_with_states())},
                "as": {"enum": list(STATE_FORMS)},
            },
            required=("country",),
        ),
        "phone": _object(
            {
                "calling_code": {"type": "string", "pattern": "^([1-9][0-9]{0,2})?$"},
                "trunk": {"type": "string", "pattern": "^[0-9]*$"},
            }
        ),
        "url": _object({}),
        "domain": _object({}),
        "reference": _object({}),
        "enum": table,
        "multi": table | {"additionalProperties": _WORDS},
        "boolean": _object({"true": _WORDS, "false": _WORDS}, required=("true", "false")),
        "default": _object(
            {"value": _CONSTANT, "transform": {"$ref": "#/$defs/transform"}}, required=("value",)
        ),
    }


def _object(properties: Mapping[str, _Schema], *, required: Sequence[str] = ()) -> _Schema:
    made: _Schema = {
        "type": "object",
        "properties": dict(properties),
        "additionalProperties": False,
    }
    return made | ({"required": list(required)} if required else {})


def _names(known: Sequence[str], needed: Sequence[str]) -> _Schema:
    return _object(dict.fromkeys(known, _TEXT), required=needed)
