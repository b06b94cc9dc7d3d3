"""The page for a sales team says what the file says."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

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


class _Reader(HTMLParser):
    """Reads a page the way a browser does: tables of cells, and every tag that was left open."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "meta":
            return
        self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open or "th" in self.open:
            self.tables[-1][-1][-1] += data


def test_the_page_in_html_holds_the_same_and_escapes_what_the_file_says() -> None:
    path = next(path for path in SHIPPED if path.stem == "salesforce")
    text = path.read_text().replace("Closed Lost", "<b>Lost & gone</b>")
    mapping = load(text, path.name, OURS, GROUPS)
    reader = _Reader()
    reader.feed(html_page(mapping))
    assert reader.open == []
    assert [len(table) for table in reader.tables] == [
        sum(line.startswith("|") for line in part.splitlines()) - 1
        for part in page(mapping).split("\n## ")[1:]
    ]
    (stage,) = [row for row in reader.tables[0] if row[0] == "Sales stage"]
    assert stage[1] == "StageName"
    assert "lost = <b>Lost & gone</b>" in stage[3]
    assert "<script" not in html_page(mapping)
