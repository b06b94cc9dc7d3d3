"""`dealreg mapping` on files alone: what CI and an editor want of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

import config
from cli.main import root
from tests.unit.cli.conftest import Dealreg, answer

SHIPPED = Path(config.__file__).parent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration of its own, to spoil."""
    copy = tmp_path / "config"
    shutil.copytree(SHIPPED, copy, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return copy


@pytest.fixture
def dealreg(home: Path, folder: Path) -> Dealreg:
    """Types commands that read the spoiled configuration."""
    runner = CliRunner(env={"DEALREG_HOME": str(home), "DEALREG_CONFIG_DIR": str(folder)})
    return lambda *args: runner.invoke(root, args)


def spoil(folder: Path, name: str, right: str, wrong: str) -> None:
    """Change one place of a file."""
    path = folder / name
    text = path.read_text()
    assert right in text
    path.write_text(text.replace(right, wrong, 1))


def test_the_shipped_files_are_well_formed_without_any_crm_or_secret(dealreg: Dealreg) -> None:
    assert answer(dealreg("mapping", "check", "--offline", "--json")) == []
    assert "dealreg mapping check" in dealreg("mapping", "check", "--offline").stdout


def test_a_broken_file_fails_with_file_line_and_remedy(dealreg: Dealreg, folder: Path) -> None:
    spoil(folder, "mappings/hubspot.yaml", "theirs: dealname,", "thiers: dealname,")
    result = dealreg("mapping", "check", "--offline", "--json")
    assert result.exit_code == 1
    first, second = json.loads(result.stdout)
    assert first == {
        "connection": "hubspot",
        "kind": "problem",
        "where": "mappings/hubspot.yaml:29",
        "file": "mappings/hubspot.yaml",
        "line": 29,
        "what": "unknown field 'thiers'",
        "remedy": "did you mean theirs?",
    }
    assert second["what"] == "theirs names the CRM's field"
    assert dealreg("mapping", "check", "--offline", "salesforce").exit_code == 0


def test_a_direction_that_the_program_gainsays_is_a_warning_and_strict_refuses_it(
    dealreg: Dealreg, folder: Path
) -> None:
    spoil(
        folder,
        "mappings/salesforce.yaml",
        "theirs: CloseDate, transform",
        "theirs: CloseDate, direction: push, transform",
    )
    spoil(
        folder,
        "mappings/salesforce.yaml",
        "theirs: Dealreg_Partner__c, direction: push",
        "theirs: Dealreg_Partner__c, direction: both",
    )
    rows = answer(dealreg("mapping", "check", "salesforce", "--offline", "--json"))
    assert [row["kind"] for row in rows] == ["warning", "warning"]
    assert "partner flows from the CRM, and program" in rows[0]["what"]
    assert "lets home change close, and it only flows to the CRM" in rows[1]["what"]
    assert dealreg("mapping", "check", "--offline", "--strict").exit_code == 1


def test_a_missing_file_and_an_unknown_connection_say_what_to_do(
    dealreg: Dealreg, folder: Path
) -> None:
    (folder / "mappings" / "hubspot.yaml").unlink()
    result = dealreg("mapping", "check", "--offline")
    assert result.exit_code == 1
    assert "mappings/hubspot.yaml" in result.stdout
    unknown = dealreg("mapping", "check", "pipedrive", "--offline")
    assert unknown.exit_code == 1
    assert "One of: dynamics, hubspot, salesforce." in unknown.stderr


def test_a_copied_file_that_names_another_connection_is_a_problem(
    dealreg: Dealreg, folder: Path
) -> None:
    spoil(folder, "mappings/hubspot.yaml", "connection: hubspot", "connection: salesforce")
    result = dealreg("mapping", "check", "hubspot", "--offline", "--json")
    (told,) = json.loads(result.stdout)
    assert (told["line"], told["what"]) == (7, "it says it is of salesforce")


def test_the_schema_for_editors_is_json(dealreg: Dealreg) -> None:
    schema = answer(dealreg("mapping", "schema"))
    assert schema["title"] == "dealreg field mapping"
    assert set(schema["required"]) == {"connection", "objects", "accounts", "opportunities"}


def test_a_draft_does_not_write_over_a_file_that_is_there(dealreg: Dealreg, folder: Path) -> None:
    before = (folder / "mappings" / "hubspot.yaml").read_text()
    refused = dealreg("mapping", "init", "hubspot")
    assert refused.exit_code == 1
    assert "Give --output FILE, or --force" in refused.stderr
    assert (folder / "mappings" / "hubspot.yaml").read_text() == before
