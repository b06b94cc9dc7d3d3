"""A Salesforce stand-in and a connector to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connectors.port import ConnectionSettings, CrmConnector
from connectors.salesforce.connector import SalesforceConnector
from sandbox.salesforce.engine import SalesforceOrg
from sandbox.serving import Running
from tests.contract.peers import Timepiece, settings_of


@pytest.fixture(scope="session")
def settings(running: Running) -> ConnectionSettings:
    """The connection to the Salesforce stand-in."""
    return settings_of(running, "salesforce")


@pytest.fixture(scope="session")
def connector(settings: ConnectionSettings, timepiece: Timepiece) -> CrmConnector:
    """The connector under test, checked against the port by its type."""
    return SalesforceConnector(settings, timepiece)


@pytest.fixture
def org(running: Running) -> Iterator[SalesforceOrg]:
    """The engine behind the stand-in; rules, quota and faults are as before afterwards."""
    engine = running.crms["salesforce"].org
    assert isinstance(engine, SalesforceOrg)
    allowed = engine.calls_max
    yield engine
    engine.rules.clear()
    engine.calls_max = allowed
    running.crms["salesforce"].faults.clear()
