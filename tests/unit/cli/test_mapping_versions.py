"""`dealreg mapping apply`, `rollback`, `versions`: files, comments and all, and what workers take up."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

import config
from cli.main import root
from config.settings import Settings, load_settings
from connectors.memory import MemoryConnector
from connectors.memory_org import MemoryOrg
from registration_core.contracts import ConnectionName
from sync import clock, wiring
from sync.process.runtime import Runtime
from tests.unit.cli.conftest import Dealreg, answer
from tests.world import ACCOUNT, DEAL, World

NAME = ConnectionName("salesforce")
_SECRETS = ("URL", "CLIENT_ID", "CLIENT_SECRET", "WEBHOOK_SECRET")


@pytest.fixture
def env(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Salesforce is pretended, its mapping a file of this test; no other connection has secrets."""
    folder = tmp_path / "config"
    shutil.copytree(Path(config.__file__).parent, folder)
    file = folder / "mappings" / f"{NAME}.yaml"
    file.write_text(f"# Ours, with care.\n{World.mapping_text(NAME)}# The end.\n")
    org = MemoryOrg(lambda: datetime.now(UTC), [DEAL, ACCOUNT], org_id="org")
    crm = MemoryConnector(NAME, org)
    monkeypatch.setattr(wiring, "_connector", lambda *_: crm)
    given = {f"DEALREG_SANDBOX_SALESFORCE_{each}": "https://x.example" for each in _SECRETS}
    ca_file = tmp_path / "ca.pem"
    ca_file.touch()
    return {
        "DEALREG_HOME": str(home),
        "DEALREG_CONFIG_DIR": str(folder),
        "DEALREG_SANDBOX_CA_FILE": str(ca_file),
        **given,
    }


@pytest.fixture
def settings(env: dict[str, str]) -> Settings:
    return load_settings(env)


@pytest.fixture
def dealreg(env: dict[str, str]) -> Dealreg:
    runner = CliRunner(env=env)
    return lambda *args: runner.invoke(root, args)


@pytest.fixture
def file(env: dict[str, str]) -> Path:
    return Path(env["DEALREG_CONFIG_DIR"]) / "mappings" / f"{NAME}.yaml"


@pytest.fixture
def worker(settings: Settings) -> Iterator[Runtime]:
    """A worker that has read the file as it is at first."""
    with closing(wiring.build(settings)) as runtime:
        yield runtime


def edit(file: Path, right: str, wrong: str) -> str:
    text = file.read_text()
    assert right in text
    file.write_text(text.replace(right, wrong))
    return file.read_text()


def test_a_worker_makes_its_file_version_1_and_takes_up_what_is_applied_later(
    dealreg: Dealreg, file: Path, worker: Runtime
) -> None:
    first = worker.mappings[NAME].version
    worker.refresh()
    assert [row["number"] for row in answer(dealreg("mapping", "versions", NAME, "--json"))] == [1]
    edit(file, "theirs: Partner,", "theirs: Remark,")
    worker.refresh()
    assert worker.mappings[NAME].version == first, "an edited file is a draft"
    (shown,) = [
        one for one in answer(dealreg("status", "--json"))["connections"] if one["name"] == NAME
    ]
    assert "dealreg mapping apply salesforce" in shown["draft"]
    assert answer(dealreg("mapping", "apply", NAME, "--json"))["version"] == 2
    worker.refresh()
    assert worker.mappings[NAME].objects["home"].groups["partner"].rows[0].theirs == ("Remark",)


def test_a_process_that_starts_on_an_edited_file_works_by_what_is_in_force(
    dealreg: Dealreg, file: Path, settings: Settings
) -> None:
    answer(dealreg("mapping", "apply", NAME, "--json"))
    edit(file, "theirs: Partner,", "theirs: Remark,")
    with closing(wiring.build(settings)) as late:
        late.refresh()
        rows = late.mappings[NAME].objects["home"].groups["partner"].rows
    assert rows[0].theirs == ("Partner",)


def test_a_rollback_puts_the_file_back_with_its_comments(dealreg: Dealreg, file: Path) -> None:
    text = file.read_text()
    answer(dealreg("mapping", "apply", NAME, "--json"))
    second = edit(file, "theirs: Partner,", "theirs: Remark,   # moved\n         ")
    answer(dealreg("mapping", "apply", NAME, "--json"))
    result = dealreg("mapping", "rollback", NAME)
    assert result.exit_code == 0, result.output
    assert file.read_text() == text
    assert dealreg("mapping", "versions", NAME, "--show", "2").stdout == second
    numbers = [row["number"] for row in answer(dealreg("mapping", "versions", NAME, "--json"))]
    assert numbers == [3, 2, 1]


def test_a_rollback_leaves_an_edited_file_alone(dealreg: Dealreg, file: Path) -> None:
    answer(dealreg("mapping", "apply", NAME, "--json"))
    edit(file, "theirs: Partner,", "theirs: Remark,")
    answer(dealreg("mapping", "apply", NAME, "--json"))
    edited = edit(file, "# The end.", "# Not yet.")
    assert "was edited since" in dealreg("mapping", "rollback", NAME).stdout
    assert file.read_text() == edited


def test_what_cannot_be_applied_or_rolled_back_says_what_to_type(
    dealreg: Dealreg, file: Path
) -> None:
    assert "no earlier version" in dealreg("mapping", "rollback", NAME).stderr
    answer(dealreg("mapping", "apply", NAME, "--json"))
    again = dealreg("mapping", "apply", NAME)
    assert again.exit_code == 1
    assert "in force already, as version 1" in again.stderr
    edit(file, "theirs: Close,", "theirs: Closing,")
    unfit = dealreg("mapping", "apply", NAME)
    assert unfit.exit_code == 1
    assert "Deal has no field Closing" in unfit.stderr
    assert "has no version 7" in dealreg("mapping", "versions", NAME, "--show", "7").stderr


def test_a_file_that_is_broken_stops_no_connection_while_a_version_is_in_force(
    dealreg: Dealreg, file: Path, settings: Settings
) -> None:
    answer(dealreg("mapping", "apply", NAME, "--json"))
    broken = edit(file, "connection: salesforce", "connection: salesforce: no")
    with closing(wiring.build(settings)) as late:
        late.refresh()
        assert NAME in late.connectors
        assert NAME not in late.problems
        rows = late.mappings[NAME].objects["home"].groups["partner"].rows
    assert rows[0].theirs == ("Partner",)
    (shown,) = [
        one for one in answer(dealreg("status", "--json"))["connections"] if one["name"] == NAME
    ]
    assert "is not in force" in shown["draft"]
    checked = dealreg("mapping", "check", NAME)
    assert (checked.exit_code, "salesforce.yaml:" in checked.stdout) == (1, True)
    assert dealreg("mapping", "rollback", NAME).exit_code == 1, "there is nothing to go back to"
    assert file.read_text() == broken


@pytest.mark.parametrize("gone", [True, False], ids=["missing", "broken"])
def test_a_worker_that_began_without_a_usable_file_takes_up_what_is_applied(
    gone: bool, dealreg: Dealreg, file: Path, settings: Settings
) -> None:
    right = file.read_text()
    file.unlink() if gone else file.write_text("objects: [")
    with closing(wiring.build(settings)) as worker:
        worker.refresh()
        assert NAME in worker.problems
        assert NAME not in worker.connectors
        file.write_text(right)
        answer(dealreg("mapping", "apply", NAME, "--json"))
        clock.tick(worker, lambda kinds: None)
        assert NAME not in worker.problems
        assert NAME in clock.readable(worker)
        assert "partner" in worker.mappings[NAME].objects["home"].groups


def test_a_mapping_that_is_not_there_says_how_it_is_drafted(dealreg: Dealreg, file: Path) -> None:
    file.unlink()
    told = dealreg("mapping", "check", NAME)
    assert told.exit_code == 1
    assert "dealreg mapping init salesforce" in told.stdout


def test_mistakes_in_the_file_and_against_the_crm_are_told_at_once(
    dealreg: Dealreg, file: Path
) -> None:
    edit(file, "ours: deal_name,", "ours: deal_nme,")
    edit(file, "theirs: Close,", "theirs: Closing,")
    told = dealreg("mapping", "check", NAME, "--json")
    assert told.exit_code == 1
    said = [f"{each['what']} ({each['remedy']})" for each in json.loads(told.stdout)]
    assert any("we have no field 'deal_nme' (did you mean deal_name?" in each for each in said)
    assert any("Deal has no field Closing" in each for each in said)


def test_fields_are_made_for_the_draft_before_it_is_applied(dealreg: Dealreg, file: Path) -> None:
    answer(dealreg("mapping", "apply", NAME, "--json"))
    expression = "{expression: deal_name, theirs: Deal_Headline}"
    edit(file, "name: [{ours", f"details: [{expression}]\n      name: [{{ours")
    told = dealreg("mapping", "check", NAME).stdout
    assert "dealreg connection provision salesforce" in " ".join(told.split())
    lacking = answer(dealreg("connection", "provision", NAME, "--dry-run", "--json"))
    assert [(each["field"], each["label"]) for each in lacking if each["object"] == "Deal"] == [
        ("Deal_Headline", "Deal headline")
    ]
    file.write_text("objects: [")
    refused = dealreg("connection", "provision", NAME)
    assert refused.exit_code == 1
    assert "close the bracket" in refused.stderr
