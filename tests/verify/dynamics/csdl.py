"""The stand-in's `$metadata` against the OASIS schemas of CSDL and against our own reading."""

from __future__ import annotations

from pathlib import Path

import requests
from lxml import etree

from tests.verify.differences import expect
from tests.verify.dynamics.environment import Environment

_SCHEMAS = Path(__file__).parent / "node_modules" / "odata-csdl" / "schemas"
_EDM = "{http://docs.oasis-open.org/odata/ns/edm}"


def check(environment: Environment) -> None:
    """Validate the document, and find every table, key and navigation property in it."""
    answer = requests.get(
        f"{environment.url}/api/data/v9.2/$metadata",
        headers={"Authorization": f"Bearer {environment.token}"},
        verify=environment.ca_file,
        timeout=30,
    )
    document = etree.fromstring(answer.content)
    schema = etree.XMLSchema(etree.parse(str(_SCHEMAS / "edmx.xsd")))
    schema.assertValid(document)
    sets = {
        one.get("EntityType").rpartition(".")[2]: one.get("Name")
        for one in document.iter(f"{_EDM}EntitySet")
    }
    for table in ("account", "opportunity", "dr_dealregistration"):
        # The definitions our connector read by the other way, `EntityDefinitions`.
        ours = environment.connector._tables.table(table)
        (told,) = [t for t in document.iter(f"{_EDM}EntityType") if t.get("Name") == table]
        expect(sets[table], ours.set_name, f"entity set of {table}")
        key = told.find(f"{_EDM}Key/{_EDM}PropertyRef").get("Name")
        expect(key, ours.primary_id, f"key of {table}")
        properties = {p.get("Name") for p in told.iter(f"{_EDM}Property")}
        missing = {column.wire_name for column in ours.columns.values()} - properties
        expect(missing, set(), f"columns of {table} that $metadata does not have")
        navigation = {p.get("Name") for p in told.iter(f"{_EDM}NavigationProperty")}
        used = {n for column in ours.columns.values() for n in column.navigation.values()}
        known = {n for n in used if n in navigation or n.endswith(("_contact", "_team"))}
        expect(used - known, set(), f"navigation properties of {table}")
