"""How many calls a conflict check costs each CRM, on the wire."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.port import CrmConnector
from registration_core.contracts import Condition, ConnectionName
from registration_core.findings import FindingKind
from registration_core.matching import of_customer
from registration_core.model import Customer
from registration_core.store import match_index
from sandbox.org import Org
from sandbox.records import Json
from sandbox.serving import Running
from sync import checking
from sync.accounts import directory
from sync.process.runtime import Runtime
from tests.contract.names import NAMES, Names
from tests.contract.peers import Timepiece
from tests.contract.stories import CONNECTIONS, CUSTOMER, built, submitted

CALLS_MAX = 4
#: What a CRM's users cannot leave out of a deal.
NEEDED: Mapping[str, Mapping[str, Json]] = {
    "salesforce": {"StageName": "Prospecting", "CloseDate": "2030-06-30"},
    "dynamics365": {},
    "hubspot": {"dealstage": "appointmentscheduled", "pipeline": "default"},
}


@pytest.fixture(scope="module")
def runtime(
    tmp_path_factory: pytest.TempPathFactory,
    running: Running,
    sqlite_template: Path,
    timepiece: Timepiece,
) -> Iterator[Runtime]:
    """The shipped configuration at work on the three stand-ins."""
    with built(tmp_path_factory.mktemp("checks"), running, sqlite_template, timepiece) as made:
        yield made


@pytest.fixture(scope="module")
def number(runtime: Runtime, running: Running, timepiece: Timepiece) -> str:
    """A registration for a customer with open deals in each CRM, checked once; its number."""
    for crm, stand_in in running.crms.items():
        add_deals(runtime.connector(CONNECTIONS[crm]), stand_in.org, NAMES[crm])
    made = submitted(runtime)
    timepiece.skip(timedelta(minutes=3))  # what other tests changed is in every index by now
    checking.check_now(runtime, made.number)
    return made.number


def add_deals(connector: CrmConnector, org: Org, names: Names) -> None:
    """Open two deals with the customer, as a sales rep does."""
    assert names.accounts is not None
    where = [Condition(names.accounts.tax_id, (CUSTOMER.tax_id,))]
    (account,) = connector.select(names.accounts.object, where, [], 1).records
    for title in ("Freezers", "Cold rooms"):
        fields = {names.text: title, names.account_link: account.record_id, **NEEDED[org.crm]}
        org.add(names.object, fields, names.user)


@pytest.mark.parametrize("crm", CONNECTIONS)
def test_a_check_takes_few_calls_when_the_directory_is_up_to_date(
    runtime: Runtime, running: Running, number: str, crm: str
) -> None:
    journal = running.crms[crm].journal
    before = journal.total

    check = checking.check_now(runtime, number)

    calls = journal.last(journal.total - before)
    deals = [f for f in check.findings if f.kind is FindingKind.OPEN_OPPORTUNITY]
    assert not check.incomplete
    assert [f.connection for f in deals].count(CONNECTIONS[crm]) == 2
    assert len(calls) <= CALLS_MAX, [f"{call.method} {call.path}" for call in calls]


def test_a_company_is_found_by_a_domain_that_it_has_besides(
    runtime: Runtime, running: Running, timepiece: Timepiece
) -> None:
    hubspot = ConnectionName("hubspot")
    brand = "brand-of-a-house.example"
    fields = {"name": "House of Brands", "domain": "houseofbrands.example", "country": "NO"}
    company = running.crms["hubspot"].org.add(
        "companies",
        {**fields, "hs_additional_domains": f"older-name.example;{brand}"},
        NAMES["hubspot"].user,
    )
    timepiece.skip(timedelta(minutes=3))
    directory.refresh(runtime, hubspot)
    with runtime.database.read() as session:
        found = match_index.likely_accounts(
            session, of_customer(Customer("The Brand AS", "NO", website=f"www.{brand}"))
        )
    assert company.id in {a.record_id for a in found if a.connection == hubspot}
