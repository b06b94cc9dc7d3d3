"""A HubSpot stand-in, and a connector to it by dated and by v3 paths."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from connectors.hubspot.connector import HubSpotConnector
from sandbox.hubspot.engine import HubSpotOrg
from sandbox.serving import Running
from sandbox.stand_in import StandIn
from tests.contract.peers import Peer, Timepiece, settings_of, unhurried


@pytest.fixture
def stand_in(running: Running) -> StandIn:
    return running.crms["hubspot"]


@pytest.fixture
def org(stand_in: StandIn) -> Iterator[HubSpotOrg]:
    portal = stand_in.org
    assert isinstance(portal, HubSpotOrg)
    scopes = set(portal.access.scopes)
    yield portal
    portal.index_lag = timedelta(0)
    portal.errors_under_200 = portal.webhooks_unruly = portal.keeps_primary_id = False
    portal.limits.enforced = False
    portal.access.scopes, portal.access.private_app = scopes, True
    portal.access.reissue()
    stand_in.faults.clear()


@pytest.fixture(scope="session", params=["2026-09", "v3"])
def hubspot(
    request: pytest.FixtureRequest, running: Running, timepiece: Timepiece
) -> HubSpotConnector:
    """A connector to each kind of path, kept for the session as a worker keeps it."""
    settings = replace(settings_of(running, "hubspot"), api_version=request.param)
    return HubSpotConnector(settings, timepiece, pace=unhurried())


@pytest.fixture
def new_key(remote: Callable[[str], Peer]) -> Callable[[], str]:
    return remote("hubspot").new_key
