"""A fresh world per test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.world import World, build


@pytest.fixture
def fast_url(migrated_sqlite_url: str) -> str:
    """The address of a migrated SQLite file that costs no disk writes."""
    return migrated_sqlite_url


@pytest.fixture
def world(fast_url: str) -> Iterator[World]:
    """A world whose program lets the home CRM win."""
    made = build(fast_url)
    yield made
    made.runtime.close()
