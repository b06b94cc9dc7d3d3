"""The command line on a store of its own, with no CRM anywhere."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import pytest
from click.testing import CliRunner, Result

from cli.db import upgrade_store
from cli.main import root
from config.settings import load_settings
from registration_core.store.database import Database


class Dealreg(Protocol):
    """Types a command and returns what came of it."""

    def __call__(self, *args: str) -> Result: ...


def answer(result: Result) -> Any:
    """Read the JSON answer of a command that succeeded."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that has its tables and nothing else."""
    home = tmp_path_factory.mktemp("template")
    upgrade_store(load_settings({"DEALREG_HOME": str(home)}))
    return home / "dealreg.db"


@pytest.fixture
def home(empty_store: Path, tmp_path: Path) -> Path:
    """The DEALREG_HOME of this test."""
    folder = tmp_path / "home"
    folder.mkdir()
    shutil.copy(empty_store, folder / "dealreg.db")
    return folder


@pytest.fixture
def dealreg(home: Path) -> Dealreg:
    """Types commands as the operating-system user."""
    runner = CliRunner(env={"DEALREG_HOME": str(home)})
    return lambda *args: runner.invoke(root, args)


@pytest.fixture
def store(home: Path) -> Iterator[Database]:
    """The same store, for what only a CRM or a worker would put into it."""
    database = Database(
        f"sqlite:///{home / 'dealreg.db'}", lambda: datetime.now(UTC), random.Random(1)
    )
    yield database
    database.close()


@pytest.fixture
def number(dealreg: Dealreg) -> str:
    """The number of a submitted registration."""
    answer(dealreg("partner", "add", "northwind", "--name", "Northwind", "--json"))
    return submitted(dealreg)


def submitted(dealreg: Dealreg, **changes: str) -> str:
    """Submit a deal and return its number."""
    given = {
        "partner": "northwind", "customer": "Avocet Biosciences Inc.", "country": "US",
        "deal": "Lab", "product": "platform", "amount": "48000", "currency": "USD",
        "close": str(datetime.now(UTC).date().replace(day=1).replace(year=datetime.now(UTC).year + 1)),
    } | changes  # fmt: skip
    options = [part for name, value in given.items() for part in (f"--{name}", value)]
    made = answer(dealreg("registration", "submit", *options, "--json"))
    return str(made["number"])
