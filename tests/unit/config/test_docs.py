"""The documents name everything that can be set, and their tables tell the truth."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest
from pydantic import BaseModel

from config import announcements, connections, program_file
from config.authority import DEFAULT_AUTHORITY, STORE_ONLY
from config.connections import load_connections
from config.settings import SHIPPED_CONFIG_DIR
from registration_core.fields import FieldGroup
from registration_core.limits import Limits
from registration_core.program import Phase

DOCS = Path(__file__).parents[3] / "docs"
TEXT = (DOCS / "configuration.md").read_text()


def _keys(model: type[BaseModel]) -> set[str]:
    return set(model.model_fields)


@pytest.mark.parametrize(
    "model",
    [
        announcements.AnnouncementsFile,
        announcements.ChannelEntry,
        connections._Entry,
        connections._Limits,
        program_file.ProgramFile,
        program_file.RolesEntry,
        program_file.ChecksEntry,
        program_file.ProductLineEntry,
        program_file.ListEntry,
        program_file.LowRiskEntry,
        program_file.AuthorityEntry,
        program_file.CustomFieldEntry,
    ],
)
def test_every_key_of_the_files_is_described(model: type[BaseModel]) -> None:
    assert {key for key in _keys(model) if f"`{key}`" not in TEXT} == set()


def test_the_caps_as_shipped_are_told_to_operators() -> None:
    page = (DOCS / "operating.md").read_text()
    told = page.partition("| As shipped, it may go on by itself")[2].partition("| Type | To |")[0]
    numbers = Counter(re.findall(r"(?<![\d,])[\d,]*\d", told))
    assert numbers >= Counter(f"{cap:,}" for cap in asdict(Limits()).values())


def test_every_setting_is_described_and_no_other() -> None:
    source = (SHIPPED_CONFIG_DIR / "settings.py").read_text()
    assert set(re.findall(r"`(DEALREG_\w+)`", TEXT)) == set(re.findall(r'"(DEALREG_\w+)"', source))


def test_the_table_of_authority_is_the_shipped_one() -> None:
    described: dict[str, list[str]] = {}
    section = TEXT.partition("### authority")[2].partition("###")[0]
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 and "`" in cells[0] and ";" in cells[1]:
            for group in re.findall(r"`(\w+)`", cells[0]):
                described[group] = cells[1:]
            if "(fixed)" in cells[0]:
                assert set(re.findall(r"`(\w+)`", cells[0])) == STORE_ONLY
    assert set(described) == set(FieldGroup)
    for group, phases in DEFAULT_AUTHORITY.items():
        for phase, cell in zip(Phase, described[group], strict=True):
            writers, wins = cell.split("; ")
            assert set(writers.split(", ")) == phases[phase].writers, (group, phase)
            assert wins == phases[phase].wins, (group, phase)


def test_the_example_of_real_orgs_can_be_used_as_it_stands(tmp_path: Path) -> None:
    (example,) = (
        block for block in re.findall(r" +```yaml\n(.*?)```", TEXT, re.DOTALL) if "acme" in block
    )
    (tmp_path / "connections.yaml").write_text(example)
    variables = dict.fromkeys(re.findall(r"\$\{(\w+)\}", example), "value")
    found = load_connections(tmp_path, variables)
    assert found.unusable == {}
    assert set(found.usable) == {"salesforce", "dynamics", "hubspot"}
