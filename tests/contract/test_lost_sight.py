"""An integration user who loses sight of a territory makes checks incomplete, never clear."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from registration_core.contracts import ConnectionName
from registration_core.model import ConflictCheck
from sandbox.salesforce.engine import SalesforceOrg
from sandbox.serving import Running
from sync import checking, comparing, drift, emptiness
from sync.runtime import Runtime
from tests.contract.peers import Timepiece
from tests.contract.stories import APPROVER, CUSTOMER, built, submitted

SALESFORCE = ConnectionName("salesforce")
HOUSE_CANARY = "00-0000002"


@pytest.fixture
def org(running: Running) -> Iterator[SalesforceOrg]:
    """The Salesforce stand-in, whose integration user sees everything again afterwards."""
    made = running.crms["salesforce"].org
    assert isinstance(made, SalesforceOrg)
    yield made
    made.reader.unseen.clear()


@pytest.fixture
def runtime(
    tmp_path: Path, running: Running, sqlite_template: Path, timepiece: Timepiece
) -> Iterator[Runtime]:
    """The shipped configuration at work on the three stand-ins."""
    with built(tmp_path, running, sqlite_template, timepiece) as made:
        yield made


def account(org: SalesforceOrg, tax_id: str) -> str:
    (found,) = [r.id for r in org.store.rows("Account") if r.fields.get("Tax_Id__c") == tax_id]
    return found


def reason(check: ConflictCheck) -> str:
    (unread,) = check.incomplete
    assert unread.connection == SALESFORCE
    return unread.reason


@pytest.mark.parametrize(
    ("tax_id", "told"),
    [(CUSTOMER.tax_id, "cannot be seen any more"), (HOUSE_CANARY, "canary of the house list")],
)
def test_an_account_out_of_sight_is_no_account_without_claims(
    runtime: Runtime, org: SalesforceOrg, timepiece: Timepiece, tax_id: str, told: str
) -> None:
    number = submitted(runtime).number
    assert checking.check_now(runtime, number).incomplete == ()
    org.hide_records(account(org, tax_id))
    timepiece.skip(timedelta(minutes=1))
    assert told in reason(checking.check_now(runtime, number))
    org.reader.unseen.clear()
    assert checking.check_now(runtime, number).incomplete == ()


def test_a_person_may_say_that_what_nobody_sees_any_more_was_deleted(
    runtime: Runtime, org: SalesforceOrg
) -> None:
    number = submitted(runtime).number
    checking.check_now(runtime, number)
    org.hide_records(account(org, CUSTOMER.tax_id))
    assert "accept-deletes salesforce" in reason(checking.check_now(runtime, number))
    emptiness.accept_deletes(runtime, SALESFORCE, APPROVER)
    drift.begin(runtime, SALESFORCE, drift.ACCOUNTS)
    comparing.advance(runtime, SALESFORCE, drift.ACCOUNTS)
    assert checking.check_now(runtime, number).incomplete == ()
