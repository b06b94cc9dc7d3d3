"""How many calls a conflict check costs each CRM, on the wire."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from config.settings import load_settings
from connectors.port import CrmConnector
from registration_core import use_cases
from registration_core.contracts import Condition, ConnectionName
from registration_core.findings import FindingKind
from registration_core.matching import of_customer
from registration_core.model import Actor, Customer
from registration_core.store import match_index
from registration_core.submission import Submission
from sandbox.org import Org
from sandbox.records import Json
from sandbox.serving import Running
from sync import checking, directory, wiring
from sync.runtime import Runtime
from tests.contract.names import NAMES, Names
from tests.contract.peers import Timepiece, connect, settings_of

#: A customer with an account in all three CRMs, and so has its subsidiary.
VANGHOLT = Customer("Vangholt Energi ASA", "NO", tax_id="NO881328463")
CALLS_MAX = 4
CONNECTIONS = {"salesforce": "salesforce", "dynamics365": "dynamics", "hubspot": "hubspot"}
#: What a CRM's users cannot leave out of a deal.
NEEDED: Mapping[str, Mapping[str, Json]] = {
    "salesforce": {"StageName": "Prospecting", "CloseDate": "2030-06-30"},
    "dynamics365": {},
    "hubspot": {"dealstage": "appointmentscheduled", "pipeline": "default"},
}
DESK = Actor("partner-desk", "desk")


@pytest.fixture(scope="module")
def runtime(
    tmp_path_factory: pytest.TempPathFactory,
    running: Running,
    sqlite_template: Path,
    timepiece: Timepiece,
) -> Iterator[Runtime]:
    """The shipped configuration at work on the three stand-ins."""
    home = tmp_path_factory.mktemp("checks")
    (home / "store.sqlite3").write_bytes(sqlite_template.read_bytes())
    settings = load_settings(
        {
            "DEALREG_HOME": str(home),
            "DEALREG_DATABASE_URL": f"sqlite:///{home / 'store.sqlite3'}",
            **running.environment(),
        }
    )
    doors: dict[str, CrmConnector] = {
        name: connect(settings_of(running, crm), crm, timepiece)
        for crm, name in CONNECTIONS.items()
    }
    with closing(wiring.build(settings, clock=timepiece, connectors=doors)) as built:  # type: ignore[arg-type]
        yield built


@pytest.fixture(scope="module")
def number(runtime: Runtime, running: Running, timepiece: Timepiece) -> str:
    """A registration for a customer with open deals in each CRM, checked once; its number."""
    for crm, stand_in in running.crms.items():
        add_deals(runtime.connector(CONNECTIONS[crm]), stand_in.org, NAMES[crm])
    with runtime.database.begin(DESK) as unit:
        use_cases.add_partner(unit, code="ACME", name="Acme Partners", tier="gold", email="")
        made, _ = use_cases.submit(
            unit,
            Submission(
                partner_code="ACME",
                customer=VANGHOLT,
                deal_name="Cold chain",
                product_line="platform",
                amount=Decimal(200_000),
                currency="USD",
                expected_close_on=date(2030, 9, 30),
                token="t",
            ),
            runtime.program("default"),
        )
    timepiece.skip(timedelta(minutes=3))  # what other tests changed is in every index by now
    checking.check_now(runtime, made.number)
    return made.number


def add_deals(connector: CrmConnector, org: Org, names: Names) -> None:
    """Open two deals with the customer, as a sales rep does."""
    assert names.accounts is not None
    where = [Condition(names.accounts.tax_id, (VANGHOLT.tax_id,))]
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
    assert [f.connection for f in deals].count(ConnectionName(CONNECTIONS[crm])) == 2
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
