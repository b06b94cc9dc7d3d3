"""A registration that begins as a lead and goes on as the deal a user makes of it, on each stand-in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from mapping.schema import ObjectMapping
from registration_core.contracts import ConnectionName
from registration_core.model import Registration
from registration_core.store import repository
from sandbox.hubspot.engine import HubSpotOrg
from sandbox.org import Org
from sandbox.salesforce.engine import SalesforceOrg
from sandbox.serving import Running
from sync import push
from sync.links.linking import Link, links
from sync.process.runtime import Runtime
from tests.contract.names import NAMES
from tests.contract.peers import Timepiece
from tests.contract.stories import approved, at_home_in, poll

SALESFORCE = """\
  leads:
    role: home
    object: Lead
    key: Dealreg_Id__c
    when: {registration_state: [approved]}
    on_create: {LeadSource: Partner}
    groups:
      details:
        - {ours: customer_name, theirs: Company, direction: push}
        - {ours: contact_name, theirs: LastName, direction: push}
"""
DYNAMICS = """\
  leads:
    role: home
    object: lead
    key: dr_dealregid
    when: {registration_state: [approved]}
    on_create: {leadsourcecode: "4"}
    groups:
      name: [{ours: deal_name, theirs: subject}]
      details: [{ours: customer_name, theirs: companyname, direction: push}]
"""
HUBSPOT = """\
  leads:
    role: home
    object: leads
    key: dealreg_id
    when: {registration_state: [approved]}
    companions:
      contact:
        object: contacts
        key: dealreg_id
        fields:
          - {ours: contact_name, theirs: lastname}
          - {ours: contact_email, theirs: email}
    groups:
      name: [{ours: deal_name, theirs: hs_lead_name}]
      details:
        - {ours: contact, theirs: associations.contacts, direction: push, write: on_create, transform: reference}
"""


def _convert(org: Org, lead_id: str, account_id: str) -> str:
    assert isinstance(org, SalesforceOrg)
    return org.convert(lead_id, account_id, NAMES[org.crm].user).id


def _qualify(org: Org, lead_id: str, _account_id: str) -> str:
    row = org.edit("lead", lead_id, {"statecode": 1}, NAMES[org.crm].user)
    return str(row.fields["qualifyingopportunityid"])


def _turn_into_a_deal(org: Org, lead_id: str, account_id: str) -> str:
    assert isinstance(org, HubSpotOrg)
    user = NAMES[org.crm].user
    fields = {"dealname": "From a lead", "dealstage": "appointmentscheduled", "pipeline": "default"}
    deal = org.add("deals", {**fields, "associations.companies": account_id}, user)
    org.edit("leads", lead_id, {"hs_pipeline_stage": "qualified-stage-id"}, user)
    org.associate(("leads", lead_id), ("deals", deal.id), (582,), "user:1")
    return deal.id


@dataclass(frozen=True)
class Story:
    """How leads are mapped in a CRM, and what a user does to turn one into a deal."""

    connection: ConnectionName
    leads: str
    turn: Callable[[Org, str, str], str]


STORIES: Mapping[str, Story] = {
    "salesforce": Story(ConnectionName("salesforce"), SALESFORCE, _convert),
    "dynamics365": Story(ConnectionName("dynamics"), DYNAMICS, _qualify),
    "hubspot": Story(ConnectionName("hubspot"), HUBSPOT, _turn_into_a_deal),
}


@pytest.fixture(params=STORIES)
def crm(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def runtime(
    crm: str, tmp_path: Path, running: Running, sqlite_template: Path, timepiece: Timepiece
) -> Iterator[Runtime]:
    """The shipped configuration, but this CRM is everybody's home and begins with leads."""

    def with_leads(text: str) -> str:
        return text.replace("objects:\n", f"objects:\n{STORIES[crm].leads}")

    with at_home_in(crm, tmp_path, running, sqlite_template, timepiece, with_leads) as built:
        yield built


def test_a_lead_is_followed_to_the_deal_it_becomes_and_kept_in_step_there(
    runtime: Runtime, running: Running, crm: str, timepiece: Timepiece
) -> None:
    story, names, org = STORIES[crm], NAMES[crm], running.crms[crm].org
    made = approved(runtime)
    push.drain(runtime, story.connection)
    (lead,) = _links(runtime, made)
    assert lead.object.lower().startswith("lead")

    deal_id = story.turn(org, lead.record_id, _account_of(runtime, made, story.connection))
    poll(runtime, story.connection, timepiece)
    (deal,) = _links(runtime, made)
    assert (deal.object, deal.record_id, deal.state) == (names.object, deal_id, "active")

    org.edit(names.object, deal_id, {names.text: "Renamed by its owner"}, names.user)
    poll(runtime, story.connection, timepiece)
    push.drain(runtime, story.connection)
    held = _registration(runtime, made.number)
    assert held.deal_name == "Renamed by its owner"
    amounts = [row.theirs[0] for row in _home(runtime, story).rows if row.ours.name == "amount"]
    fields = runtime.connector(story.connection).read(names.object, [deal_id], amounts)[deal_id]
    assert fields.fields == {amounts[0]: made.amount}  # type: ignore[union-attr]


def _registration(runtime: Runtime, number: str) -> Registration:
    with runtime.database.read() as session:
        return repository.registration(session, number)


def _links(runtime: Runtime, made: Registration) -> list[Link]:
    with runtime.database.read() as session:
        return links(session, made.id)


def _account_of(runtime: Runtime, made: Registration, connection: ConnectionName) -> str:
    return _registration(runtime, made.number).accounts[connection]


def _home(runtime: Runtime, story: Story) -> ObjectMapping:
    return runtime.mappings[story.connection].objects["home"]
