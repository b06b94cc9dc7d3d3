"""`connection check` of Salesforce: every step of the set-up, and the one that is missing by name."""

from __future__ import annotations

import pytest

from connectors.port import ConnectionSettings, ObjectNeed
from connectors.salesforce.connector import SalesforceConnector
from sandbox.serving import Running
from tests.contract.peers import Timepiece, settings_of
from tests.contract.salesforce import KEY, OPPORTUNITY


@pytest.fixture
def settings(running: Running) -> ConnectionSettings:
    """The connection to the Salesforce stand-in."""
    return settings_of(running, "salesforce")


@pytest.fixture
def connector(settings: ConnectionSettings, timepiece: Timepiece) -> SalesforceConnector:
    """The connector under test."""
    return SalesforceConnector(settings, timepiece)


def test_only_fields_that_flow_both_ways_have_to_keep_their_history(
    connector: SalesforceConnector,
) -> None:
    """A field that only we write, or write once, holds nothing that an overwrite could lose."""
    writes = ("Name", "NextStep", "LeadSource", "Description", "Dealreg_Number__c")
    need = ObjectNeed(OPPORTUNITY, KEY, writes=writes, two_way=("Name", "NextStep"))

    steps = [item.step for item in connector.check([need]) if item.step.startswith("history")]

    assert steps == ["history Opportunity.NextStep"]
