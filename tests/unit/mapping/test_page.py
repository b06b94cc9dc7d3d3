"""The page for a sales team says what the file says."""

from __future__ import annotations

from pathlib import Path

import pytest

import config
from mapping.loader import load
from mapping.page import page
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
