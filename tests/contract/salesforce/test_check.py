"""`connection check` of Salesforce: every step of the set-up, and the one that is missing by name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connectors.port import ConnectionSettings, ObjectNeed
from connectors.salesforce.connector import SalesforceConnector
from sandbox.salesforce.engine import SalesforceOrg
from sandbox.salesforce.permissions import withheld
from sandbox.serving import Running
from tests.contract.peers import Timepiece
from tests.contract.salesforce import KEY, OPPORTUNITY


@pytest.fixture
def connector(settings: ConnectionSettings, timepiece: Timepiece) -> SalesforceConnector:
    """The connector under test."""
    return SalesforceConnector(settings, timepiece)


@pytest.fixture
def org(running: Running) -> Iterator[SalesforceOrg]:
    """The engine behind the stand-in; what was taken from our user is given back."""
    engine = running.crms["salesforce"].org
    assert isinstance(engine, SalesforceOrg)
    yield engine
    engine.show_field("ObjectPermissions", "PermissionsViewAllRecords")
    engine.store.set_fact(withheld("Account"), "")


def test_only_fields_that_flow_both_ways_have_to_keep_their_history(
    connector: SalesforceConnector,
) -> None:
    """A field that only we write, or write once, holds nothing that an overwrite could lose."""
    writes = ("Name", "NextStep", "LeadSource", "Description", "Dealreg_Number__c")
    need = ObjectNeed(OPPORTUNITY, KEY, writes=writes, two_way=("Name", "NextStep"))

    steps = [item.step for item in connector.check([need]) if item.step.startswith("history")]

    assert steps == ["history Opportunity.NextStep"]


def test_a_key_has_to_be_unique_and_an_external_id(connector: SalesforceConnector) -> None:
    """Either alone is not enough: what is no external id is not indexed for our look-ups."""
    unique = "Quote_Number__c"
    needs = [ObjectNeed(OPPORTUNITY, key) for key in (KEY, unique)]

    items = {item.step: item for item in connector.check(needs)}

    assert items[f"key Opportunity.{KEY}"].ok
    wrong = items[f"key Opportunity.{unique}"]
    assert not wrong.ok
    assert "External ID" in wrong.remedy


def test_an_object_whose_records_our_user_does_not_all_see_fails_the_check_by_name(
    connector: SalesforceConnector, org: SalesforceOrg
) -> None:
    needs = [ObjectNeed(name, reads=("Name",)) for name in ("Account", OPPORTUNITY)]
    org.store.set_fact(withheld("Account"), "yes")

    items = {item.step: item for item in connector.check(needs)}

    assert items["view all records Opportunity"].ok
    hidden = items["view all records Account"]
    assert not hidden.ok
    assert "View All Records on Account" in hidden.remedy


def test_permissions_that_our_user_may_not_look_at_are_a_warning_that_names_the_step(
    connector: SalesforceConnector, org: SalesforceOrg
) -> None:
    org.hide_field("ObjectPermissions", "PermissionsViewAllRecords")

    items = {item.step: item for item in connector.check([ObjectNeed("Account", reads=("Name",))])}

    unseen = items["view all records"]
    assert unseen.warning
    assert "View Setup and Configuration" in unseen.remedy
