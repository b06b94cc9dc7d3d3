"""A program's own fields as partners give them: typed, and in files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

import config
from cli.main import root
from tests.unit.cli.conftest import Dealreg, answer, submitted
from tests.unit.cli.test_import import CLOSE

FIELDS = """
custom_fields:
  modules: {type: multi_picklist, label: Modules, options: [routing, cold chain, customs]}
  demo_at: {type: datetime, label: Demo}
  urgent: {type: boolean, label: Urgent}
"""


@pytest.fixture
def dealreg(home: Path, tmp_path: Path) -> Dealreg:
    """Types commands where the program has fields of its own."""
    folder = tmp_path / "config"
    shutil.copytree(Path(config.__file__).parent, folder)
    program = folder / "programs" / "default.yaml"
    program.write_text(program.read_text() + FIELDS)
    runner = CliRunner(env={"DEALREG_HOME": str(home), "DEALREG_CONFIG_DIR": str(folder)})
    return lambda *args: runner.invoke(root, args)


@pytest.fixture(autouse=True)
def _partner(dealreg: Dealreg) -> None:
    answer(dealreg("partner", "add", "northwind", "--name", "Northwind", "--json"))


def refused(dealreg: Dealreg, given: str) -> str:
    options = [
        "--partner", "northwind", "--customer", "Avocet", "--country", "US", "--deal", "Lab",
        "--product", "platform", "--amount", "48000", "--currency", "USD", "--close", CLOSE,
    ]  # fmt: skip
    done = dealreg("registration", "submit", *options, "--set", given, "--json")
    assert done.exit_code == 1
    error = json.loads(done.stderr)["error"]
    return f"{error['message']} {error['hint']}"


def test_several_choices_and_a_moment_are_kept_as_such(dealreg: Dealreg) -> None:
    number = submitted(dealreg, set="modules=routing; cold chain;routing")
    shown = dealreg("registration", "show", number).stdout
    assert "routing" in shown
    assert "cold chain" in shown
    assert shown.count("routing") == 1
    later = submitted(dealreg, set="demo_at=2027-03-31T09:30+02:00", deal="Another")
    assert "2027-03-31 07:30" in dealreg("registration", "show", later).stdout


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("modules=routing;rockets", "'rockets' is not offered. One of: routing, cold chain, customs; "),
        ("modules=routing,customs", "several with ; between"),
        ("demo_at=2027-03-31", "is no moment"),
        ("demo_at=2027-03-31T09:30", "2027-03-31T09:30+02:00"),
        ("urgent=perhaps", "neither yes nor no"),
    ],
)  # fmt: skip
def test_what_does_not_fit_says_how_it_is_written(dealreg: Dealreg, given: str, told: str) -> None:
    assert told in refused(dealreg, given)


def test_a_file_gives_several_choices_in_one_cell(dealreg: Dealreg, tmp_path: Path) -> None:
    path = tmp_path / "deals.csv"
    path.write_text(
        "partner,customer,country,deal,product,amount,currency,close,modules\n"
        f"northwind,Avocet,US,Lab,platform,48000,USD,{CLOSE},routing;customs\n"
    )
    (row,) = answer(dealreg("registration", "import", str(path), "--json"))["registered"]
    assert "customs" in dealreg("registration", "show", row["number"]).stdout
