"""An integration user who loses sight of a territory makes checks incomplete, never clear."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from registration_core.contracts import ConnectionName
from registration_core.model import ConflictCheck
from sandbox.dynamics365.engine import DynamicsOrg
from sandbox.hubspot.engine import HubSpotOrg
from sandbox.salesforce.engine import SalesforceOrg
from sandbox.serving import Running
from sync import checking
from sync.accounts import emptiness
from sync.process.runtime import Runtime
from sync.repair import comparing, drift
from tests.contract.peers import Timepiece
from tests.contract.stories import APPROVER, CUSTOMER, built, submitted

SALESFORCE = ConnectionName("salesforce")
DYNAMICS, HUBSPOT = ConnectionName("dynamics"), ConnectionName("hubspot")
HOUSE_CANARY = "00-0000002"
OUT_OF_SIGHT = pytest.mark.parametrize(
    ("tax_id", "told"),
    [(CUSTOMER.tax_id, "cannot be seen any more"), (HOUSE_CANARY, "canary of the house list")],
)


@pytest.fixture
def salesforce(running: Running) -> Iterator[SalesforceOrg]:
    """The Salesforce stand-in, whose integration user sees everything again afterwards."""
    made = cast("SalesforceOrg", running.crms["salesforce"].org)
    yield made
    made.reader.unseen.clear()


@pytest.fixture
def dynamics(running: Running) -> Iterator[DynamicsOrg]:
    """The Dynamics stand-in, whose role reaches everything again afterwards."""
    made = cast("DynamicsOrg", running.crms["dynamics365"].org)
    yield made
    made.show_records("account")
    made.behaviour.untracked.clear()


@pytest.fixture
def hubspot(running: Running) -> Iterator[HubSpotOrg]:
    """The HubSpot stand-in, whose app has every scope again afterwards."""
    made = cast("HubSpotOrg", running.crms["hubspot"].org)
    scopes = set(made.access.scopes)
    yield made
    made.access.scopes = scopes


@pytest.fixture
def runtime(
    tmp_path: Path, running: Running, sqlite_template: Path, timepiece: Timepiece
) -> Iterator[Runtime]:
    """The shipped configuration at work on the three stand-ins."""
    with built(tmp_path, running, sqlite_template, timepiece) as made:
        yield made


def account(org: SalesforceOrg | DynamicsOrg, object_name: str, field: str, tax_id: str) -> str:
    (found,) = [r.id for r in org.store.rows(object_name) if r.fields.get(field) == tax_id]
    return found


def reason(check: ConflictCheck, connection: ConnectionName) -> str:
    (unread,) = check.incomplete
    assert unread.connection == connection
    return unread.reason


@pytest.fixture
def checked(runtime: Runtime, timepiece: Timepiece) -> Callable[[], ConflictCheck]:
    """Check one and the same registration, each time a minute later."""
    number = submitted(runtime).number

    def check() -> ConflictCheck:
        timepiece.skip(timedelta(minutes=1))
        return checking.check_now(runtime, number)

    return check


@OUT_OF_SIGHT
def test_an_account_out_of_sight_is_no_account_without_claims(
    checked: Callable[[], ConflictCheck], salesforce: SalesforceOrg, tax_id: str, told: str
) -> None:
    assert checked().incomplete == ()
    salesforce.hide_records(account(salesforce, "Account", "Tax_Id__c", tax_id))
    assert told in reason(checked(), SALESFORCE)
    salesforce.reader.unseen.clear()
    assert checked().incomplete == ()


@OUT_OF_SIGHT
def test_so_it_is_where_a_role_reaches_one_business_unit_and_no_change_is_tracked(
    checked: Callable[[], ConflictCheck], dynamics: DynamicsOrg, tax_id: str, told: str
) -> None:
    dynamics.behaviour.untracked.add("account")
    assert checked().incomplete == ()
    dynamics.hide_records("account", account(dynamics, "account", "dr_taxid", tax_id))
    assert told in reason(checked(), DYNAMICS)
    dynamics.show_records("account")
    assert checked().incomplete == ()


def test_the_tracked_feed_of_dynamics_is_refused_to_a_role_that_does_not_reach_everything(
    checked: Callable[[], ConflictCheck], dynamics: DynamicsOrg
) -> None:
    assert checked().incomplete == ()
    dynamics.hide_records("account")
    assert "prvReadAccount" in reason(checked(), DYNAMICS)


def test_an_app_of_hubspot_sees_all_companies_or_none(
    checked: Callable[[], ConflictCheck], hubspot: HubSpotOrg
) -> None:
    assert checked().incomplete == ()
    hubspot.access.scopes = hubspot.access.scopes - {"crm.objects.companies.read"}
    assert "crm.objects.companies.read" in reason(checked(), HUBSPOT)


def test_a_person_may_say_that_what_nobody_sees_any_more_was_deleted(
    runtime: Runtime, checked: Callable[[], ConflictCheck], salesforce: SalesforceOrg
) -> None:
    checked()
    salesforce.hide_records(account(salesforce, "Account", "Tax_Id__c", CUSTOMER.tax_id))
    assert "accept-deletes salesforce" in reason(checked(), SALESFORCE)
    emptiness.accept_deletes(runtime, SALESFORCE, APPROVER)
    drift.begin(runtime, SALESFORCE, drift.ACCOUNTS)
    comparing.advance(runtime, SALESFORCE, drift.ACCOUNTS)
    assert checked().incomplete == ()
