"""The schema for editors knows what the loader knows."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import config
from mapping.json_schema import json_schema
from mapping.transform_files import TRANSFORMS
from tests.unit.mapping.catalogue import GROUPS, OURS
from tests.unit.mapping.test_loader import BAD, GOOD

SCHEMA = json.loads(json.dumps(json_schema(OURS, GROUPS)))
SHIPPED = sorted((Path(config.__file__).parent / "mappings").glob("*.yaml"))
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}


def fits(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether a value fits, by the few words of JSON Schema that ours is written in."""
    if "$ref" in schema:
        return fits(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        return any(fits(value, each) for each in schema["anyOf"])
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "const" in schema and value != schema["const"]:
        return False
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(
        isinstance(value, _TYPES[k]) and (k == "boolean" or not isinstance(value, bool))
        for k in kinds
    ):
        return False
    if isinstance(value, dict):
        return _object_fits(value, schema)
    if isinstance(value, list):
        items = schema.get("items", {})
        return len(value) >= schema.get("minItems", 0) and all(fits(each, items) for each in value)
    if isinstance(value, str):
        return len(value) >= schema.get("minLength", 0) and (
            "pattern" not in schema or re.search(schema["pattern"], value) is not None
        )
    if isinstance(value, int) and not isinstance(value, bool):
        return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))
    return True


def _object_fits(value: Mapping[Any, Any], schema: Mapping[str, Any]) -> bool:
    # An editor reads YAML's `true:` as the word.
    given = {str(k).lower() if isinstance(k, bool) else k: v for k, v in value.items()}
    known, more = schema.get("properties", {}), schema.get("additionalProperties", True)
    return (
        set(schema.get("required", ())) <= set(given)
        and schema.get("minProperties", 0) <= len(given) <= schema.get("maxProperties", len(given))
        and all(
            fits(each, known.get(name, more))
            if name in known or isinstance(more, dict)
            else bool(more)
            for name, each in given.items()
        )
    )


def parsed(text: str) -> Any:
    return json.loads(json.dumps(YAML(typ="safe").load(text), default=str))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.stem))
def test_the_shipped_files_fit(path: Path) -> None:
    assert fits(parsed(path.read_text()), SCHEMA)


def test_every_transform_and_field_is_in_it() -> None:
    named, alone = (
        SCHEMA["$defs"]["transform"]["anyOf"][1],
        SCHEMA["$defs"]["transform"]["anyOf"][0],
    )
    assert set(named["properties"]) == set(TRANSFORMS)
    assert {"copy", "date", "reference", "url"} <= set(alone["enum"])
    assert not {"text", "money", "enum", "boolean"} & set(alone["enum"])
    text = json.dumps(SCHEMA)
    assert not [name for name in {*OURS.fields} - {"registration_id"} if f'"{name}"' not in text]


#: What only the loader can tell: it takes two rows, or our catalogue's types, to see it.
LOADER_ALONE = re.compile(
    r"twice|is not for|transform reference is|stands for|no value for|needs 2 values|only flows|may not flow|takes one CRM|"
    r"write: is for|no shared transform|emptied: is for|has no option 'wonn'|needs a value of the CRM|a trunk prefix|"
    r"is our key, and|there is no time zone|a day has no|cannot write|a default has one|different texts|theirs names"
)


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [case for case in BAD if not LOADER_ALONE.search(case[2])],
    ids=lambda text: str(text)[:50],
)
def test_a_mistake_in_one_place_does_not_fit(right: str, wrong: str, said: str) -> None:
    assert fits(parsed(GOOD), SCHEMA)
    assert not fits(parsed(GOOD.replace(right, wrong, 1)), SCHEMA), said
