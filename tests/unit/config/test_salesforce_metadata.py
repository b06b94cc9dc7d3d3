"""The shipped Salesforce metadata is what the shipped mapping writes and what the stand-in plays."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

import defusedxml.ElementTree
import pytest
from ruamel.yaml import YAML

from config.settings import SHIPPED_CONFIG_DIR
from connectors.salesforce.transport import API_VERSION
from sandbox.salesforce.objects import OBJECTS

SOURCE = SHIPPED_CONFIG_DIR / "salesforce" / "force-app" / "main" / "default"
NS = "{http://soap.sforce.com/2006/04/metadata}"
FIELDS = sorted(SOURCE.glob("objects/*/fields/*.field-meta.xml"))
SETS = sorted(SOURCE.glob("permissionsets/*.permissionset-meta.xml"))
FILES = [*FIELDS, *SETS, *sorted(SOURCE.glob("objects/*/*.object-meta.xml"))]
#: Fields that every user may see and edit, so that a permission set may not name them.
ALWAYS = {"Name", "StageName", "CloseDate", "LastName", "Company", "Quantity", "UnitPrice"}
#: How describe names the types of the metadata.
TYPES = {
    "Text": "string",
    "Date": "date",
    "Currency": "currency",
    "Checkbox": "boolean",
    "Picklist": "picklist",
    "Lookup": "reference",
}


def _root(path: Path) -> Element:
    root = defusedxml.ElementTree.parse(path).getroot()
    assert root is not None
    return root


def _text(element: Element, name: str) -> str:
    return element.findtext(f"{NS}{name}") or ""


def _mapped() -> Iterator[tuple[str, str, bool]]:
    """Yield object, field and whether it is written, of every field the mapping names."""
    mapping = YAML(typ="safe").load(
        (SHIPPED_CONFIG_DIR / "mappings" / "salesforce.yaml").read_text()
    )
    for entry in mapping["objects"].values():
        yield entry["object"], entry["key"], True
        for rows in entry["groups"].values():
            for row in rows:
                yield entry["object"], row["theirs"], row.get("direction") != "pull"
    for entry in (mapping["accounts"], mapping["opportunities"]):
        for field in entry["fields"].values():
            yield entry["object"], field, False


@pytest.mark.parametrize("path", FIELDS, ids=lambda path: f"{path.parts[-3]}.{path.stem}")
def test_a_shipped_field_is_the_one_that_the_stand_in_plays(path: Path) -> None:
    told, object_name = _root(path), path.parts[-3]
    field = OBJECTS[object_name].fields[_text(told, "fullName")]

    assert TYPES[_text(told, "type")] == field.type
    assert int(_text(told, "length") or 0) in (field.length, 0)
    assert int(_text(told, "precision") or 0) == (field.precision if field.scale else 0)
    assert (_text(told, "unique") == "true") == field.unique
    assert (_text(told, "trackHistory") == "true") == field.tracked
    options = [_text(value, "fullName") for value in told.iter(f"{NS}value")]
    assert tuple(options) == (field.options if field.restricted else ())


def test_every_custom_field_of_the_mapping_is_shipped() -> None:
    shipped = {(path.parts[-3], path.name.partition(".")[0]) for path in FIELDS}

    assert {(o, f) for o, f, _ in _mapped() if f.endswith("__c")} <= shipped


def test_the_permission_set_grants_what_the_mapping_needs() -> None:
    root = _root(SOURCE / "permissionsets" / "Dealreg_Integration.permissionset-meta.xml")
    granted = {
        _text(each, "field"): _text(each, "editable") == "true"
        for each in root.iter(f"{NS}fieldPermissions")
    }
    for object_name, field, written in _mapped():
        if field.endswith("__c"):
            assert granted[f"{object_name}.{field}"] >= written
    objects = {
        _text(each, "object"): (_text(each, "allowCreate"), _text(each, "allowDelete"))
        for each in root.iter(f"{NS}objectPermissions")
    }
    assert objects == {
        "Account": ("false", "false"),
        "Deal_Registration__c": ("true", "false"),
        "Opportunity": ("true", "false"),
    }


def test_the_source_is_where_its_project_says() -> None:
    project = json.loads((SHIPPED_CONFIG_DIR / "salesforce" / "sfdx-project.json").read_text())

    (folder,) = (each["path"] for each in project["packageDirectories"])
    assert SOURCE.is_relative_to(SHIPPED_CONFIG_DIR / "salesforce" / folder)
    assert project["sourceApiVersion"] == API_VERSION
    assert len(FILES) == sum(1 for path in SOURCE.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parts[-3]}.{path.stem}")
def test_elements_of_one_name_stand_together(path: Path) -> None:
    """The Metadata API refuses an element that comes again after another one."""
    names = [name for name, _ in itertools.groupby(each.tag for each in _root(path))]

    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", FIELDS, ids=lambda path: f"{path.parts[-3]}.{path.stem}")
def test_a_shipped_field_can_be_deployed(path: Path) -> None:
    told = _root(path)

    assert path.name == f"{_text(told, 'fullName')}.field-meta.xml"
    assert _text(told, "label")
    assert _text(told, "required") in ("", "false")  # or no permission set could name it
    if _text(told, "type") == "Lookup":
        assert _text(told, "referenceTo") in OBJECTS
        assert _text(told, "relationshipName").isidentifier()
    if _text(told, "trackHistory") == "true":
        (thing,) = path.parent.parent.glob("*.object-meta.xml")
        assert _text(_root(thing), "enableHistory") == "true"


@pytest.mark.parametrize("path", SETS, ids=lambda path: path.name.partition(".")[0])
def test_a_permission_set_names_what_is_there_and_what_goes_together(path: Path) -> None:
    root = _root(path)
    shipped = {f"{path.parts[-3]}.{path.name.partition('.')[0]}" for path in FIELDS}
    for each in root.iter(f"{NS}fieldPermissions"):
        object_name, _, field = _text(each, "field").partition(".")
        assert _text(each, "field") in shipped or not field.endswith("__c")
        assert field not in ALWAYS
        assert _text(each, "readable") == "true"
        assert object_name in OBJECTS
    for each in root.iter(f"{NS}objectPermissions"):
        assert (_text(each, "allowRead"), _text(each, "allowDelete")) == ("true", "false")
    granted = {_text(each, "name") for each in root.iter(f"{NS}userPermissions")}
    assert "ViewSetup" not in granted or "ViewRoles" in granted


def test_the_permission_set_for_leads_grants_all_of_our_fields_on_them() -> None:
    root = _root(SOURCE / "permissionsets" / "Dealreg_Leads.permissionset-meta.xml")
    granted = {
        _text(each, "field")
        for each in root.iter(f"{NS}fieldPermissions")
        if _text(each, "editable") == "true"
    }

    shipped = {path.name.partition(".")[0] for path in FIELDS if path.parts[-3] == "Lead"}
    assert {f"Lead.{name}" for name in shipped} <= granted
