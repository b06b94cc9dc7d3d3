"""A Dynamics 365 stand-in behind a connector."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.contract.dynamics365 import Crm, restored
from tests.contract.peers import Peer


@pytest.fixture
def crm(remote: Callable[[str], Peer]) -> Iterator[Crm]:
    """The stand-in, as it was again after each test."""
    with restored(remote("dynamics365")) as crm:
        yield crm
