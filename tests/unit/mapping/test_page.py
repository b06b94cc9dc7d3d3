"""The page for a sales team says what the file says."""

from __future__ import annotations

from pathlib import Path

import pytest
from defusedxml import ElementTree

import config
from mapping.loader import load
from mapping.page import html_page, page
from tests.unit.mapping.catalogue import GROUPS, OURS

SHIPPED = sorted((Path(config.__file__).parent / "mappings").glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.stem))
def test_every_field_of_the_mapping_stands_on_the_page(path: Path) -> None:
    mapping = load(path.read_text(), path.name, OURS, GROUPS)
    text = page(mapping)
    for item in mapping.objects.values():
        for row in item.rows:
            assert all(f"`{name}`" in text for name in row.theirs)
            assert row.theirs == (item.key,) or row.ours.label in text
    assert all(f"`{name}`" in text for name in mapping.accounts.fields.values())
    cells = [
        line.count("|") - line.count("\\|") for line in text.splitlines() if line.startswith("|")
    ]
    assert set(cells) == {3, 5}


def test_stages_ways_and_constants_are_in_words() -> None:
    path = next(path for path in SHIPPED if path.stem == "salesforce")
    text = page(load(path.read_text(), path.name, OURS, GROUPS))
    assert "qualifying = Qualification, Prospecting; developing = Needs Analysis" in text
    assert "| Owner in the CRM | `OwnerId` | from the CRM to here | the same record |" in text
    assert "| | `LeadSource` | once, at create | always Partner |" in text
    assert "| Estimated amount | `Amount` | both ways | rounded to 2 decimal places |" in text
    assert "emptied there is emptied here" in text


def test_the_page_in_html_holds_the_same_and_escapes_what_the_file_says() -> None:
    path = next(path for path in SHIPPED if path.stem == "salesforce")
    text = path.read_text().replace("Closed Lost", "<b>Lost & gone</b>")
    mapping = load(text, path.name, OURS, GROUPS)
    root = ElementTree.fromstring(html_page(mapping).removeprefix("<!doctype html>"))
    tables = [
        [["".join(cell.itertext()) for cell in row] for row in table.iter("tr")]
        for table in root.iter("table")
    ]
    assert [len(table) for table in tables] == [
        sum(line.startswith("|") for line in part.splitlines()) - 1
        for part in page(mapping).split("\n## ")[1:]
    ]
    (stage,) = [row for row in tables[0] if row[0] == "Sales stage"]
    assert stage[1] == "StageName"
    assert "lost = <b>Lost & gone</b>" in stage[3]
    assert "<script" not in html_page(mapping)
