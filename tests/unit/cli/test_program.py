"""`program replay` by command; what differs is tested where it is found."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from config.settings import SHIPPED_CONFIG_DIR
from registration_core.findings import FindingKind
from registration_core.program import Program
from registration_core.store.database import Database
from tests.unit.cli.conftest import Dealreg, answer
from tests.unit.cli.test_registration import HOUSE, checked, rules

__all__ = ["rules"]


@pytest.fixture
def tried(tmp_path: Path) -> Path:
    """A copy of the configuration in which house accounts are let pass."""
    folder = tmp_path / "config"
    shutil.copytree(SHIPPED_CONFIG_DIR / "programs", folder / "programs")
    with (folder / "programs" / "default.yaml").open("a") as file:
        file.write("\nfindings:\n  house_account: {decision: allow}\n")
    return folder


def test_a_replay_tells_what_would_come_out_otherwise_by_reason(
    dealreg: Dealreg, store: Database, number: str, rules: Program, tried: Path
) -> None:
    checked(store, number, rules, HOUSE)
    replayed = answer(
        dealreg("program", "replay", "--since", "2020-01-01", "--config", str(tried), "--json")
    )
    assert replayed["replayed"] == 1
    (one,) = replayed["differing"]
    assert one["number"] == number
    # No CRM was ever read here, so the account that was found is not in the directory.
    assert replayed["reasons"] == {f"found no more: {FindingKind.HOUSE_ACCOUNT}": 1}
    shown = dealreg("program", "replay", "--since", "2020-01-01", "--config", str(tried)).output
    assert "1 of 1 registrations since 2020-01-01 would differ" in shown
