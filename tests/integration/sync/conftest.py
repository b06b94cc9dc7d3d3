"""A fresh world per test; the store's file lies in memory where the machine has such a place."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stores import migrate
from tests.world import World, build


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file to copy."""
    path = tmp_path_factory.mktemp("template") / "template.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def fast_url(template: Path) -> Iterator[str]:
    """The address of a migrated SQLite file that costs no disk writes."""
    memory = Path("/dev/shm")  # noqa: S108 - a private folder is made below it
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        path = Path(folder) / "world.db"
        shutil.copy(template, path)
        yield f"sqlite:///{path}"


@pytest.fixture
def world(fast_url: str) -> Iterator[World]:
    """A world whose program lets the home CRM win."""
    made = build(fast_url)
    yield made
    made.runtime.close()
