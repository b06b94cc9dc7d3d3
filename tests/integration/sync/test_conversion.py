"""A record that becomes one of another object, as a lead becomes an opportunity, is followed."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from connectors.memory_org import MemoryOrg
from mapping.loader import load
from registration_core import fields
from registration_core.contracts import Mode
from registration_core.fields import FieldGroup, members
from registration_core.model import Registration
from registration_core.store.tables import OutboxRow
from sync import push
from sync.gates import grading, ladder
from sync.links import linking
from sync.proposals import searching
from sync.reports import explaining
from tests.world import BEN, DEAL, HOME, MIRROR, World

LEAD = "Lead"


@pytest.fixture
def leads(world: World) -> MemoryOrg:
    """A home CRM where registrations begin as leads, and deals are what leads become."""
    return with_leads(world)


def with_leads(world: World) -> MemoryOrg:
    """Let registrations begin as leads in the home CRM."""
    map_leads(world, deals=True)
    org = world.orgs[HOME]
    org.schemas[LEAD] = replace(DEAL, name=LEAD)
    org._records[LEAD] = {}
    return org


def map_leads(world: World, *, deals: bool) -> None:
    text = world.mapping_text(HOME)
    head, _, rest = text.partition("  home: &deal\n    object: Deal\n")
    body, _, tail = rest.partition("  mirror: *deal\n")
    lead = f"  leads:\n    role: home\n    object: {LEAD}\n    when: {{product_line: [platform]}}\n"
    deal = f"  home:\n    object: Deal\n{body}" if deals else ""
    ours, groups = fields.schema(), {group.value: members(group) for group in FieldGroup}
    mapping = load(f"{head}{lead}{body}{deal}{tail}", "alpha.yaml", ours, groups)
    world.runtime.mappings[HOME] = mapping  # type: ignore[index]


@pytest.fixture
def approved(world: World, leads: MemoryOrg) -> Registration:
    """A registration that stands in the home CRM as a lead."""
    made = world.approved()
    world.settle()
    assert len(leads.records(LEAD)) == 1
    assert world.deals(HOME) == []
    return made


def convert(world: World, org: MemoryOrg) -> str:
    """Convert the only lead as a salesperson: the deal has a name of its own, and no amount yet."""
    (lead,) = org.records(LEAD)
    deal = org.add(
        "Deal",
        {"Name": "From a lead", "Stage": "P", "Owner": "rep-1", "Closed": False},
        "rep",
    )
    org.convert(LEAD, lead.record_id, "Deal", deal)
    return deal


def _link(world: World, registration: Registration) -> linking.Link:
    with world.database.read() as session:
        (found,) = [e for e in linking.links(session, registration.id) if e.connection == HOME]
    return found


def test_the_link_moves_to_what_the_lead_became_and_nothing_is_made_twice(
    world: World, leads: MemoryOrg, approved: Registration
) -> None:
    deal = convert(world, leads)
    world.settle()

    link = _link(world, approved)
    assert (link.object, link.record_id, link.state) == ("Deal", deal, "active")
    assert world.deals(HOME) == [deal]
    assert leads.records(LEAD) == []
    with world.database.read() as session:
        runtime = world.runtime
        told = explaining.explain(
            session, runtime.mappings, runtime.programs, approved.number, "deal_name"
        )
    (here,) = [each for each in told.standings if each.connection == HOME]
    assert here.agreed == "From a lead"


def test_a_conversion_in_the_home_crm_takes_the_deal_over(
    world: World, leads: MemoryOrg, approved: Registration
) -> None:
    convert(world, leads)
    world.settle()

    after = world.registration(approved.id)
    assert after.converted_at is not None
    assert (after.deal_name, after.owners[HOME]) == ("From a lead", "rep-1")
    assert world.deal(HOME, "Key") == approved.id
    assert world.deal(HOME, "Amount") == Decimal(5000)
    assert (world.deal(HOME, "Stage"), world.deal(MIRROR, "Stage")) == ("P", "P")
    world.edit(HOME, Name="Renamed")
    world.settle()
    assert world.deal(MIRROR, "Name") == "Renamed"


def test_a_push_that_meets_a_converted_lead_writes_to_what_it_became(
    world: World, leads: MemoryOrg, approved: Registration
) -> None:
    deal = convert(world, leads)
    world.update(approved.id, deal_name="Ours")
    world.pass_time(1)

    push.drain(world.runtime, HOME)
    world.settle()

    assert _link(world, approved).record_id == deal
    assert world.deal(HOME, "Partner") == "Acme Partners"


def test_a_lead_that_became_nothing_is_orphaned_and_not_made_again(
    world: World, leads: MemoryOrg, approved: Registration
) -> None:
    (lead,) = leads.records(LEAD)
    leads.convert(LEAD, lead.record_id, "", "")
    world.settle()

    link = _link(world, approved)
    assert (link.state, link.object) == ("orphaned", LEAD)
    assert "converted" in link.reason
    assert leads.records(LEAD) == []


def test_what_a_lead_became_waits_where_it_is_not_mapped(
    world: World, leads: MemoryOrg, approved: Registration
) -> None:
    map_leads(world, deals=False)
    convert(world, leads)
    for _ in range(3):
        world.pass_time(60)
        world.poll()
        world.push()

    assert _link(world, approved).object == "Deal"
    assert leads.records(LEAD) == []
    with world.database.read() as session:
        row = session.get_one(OutboxRow, (approved.id, HOME))
    assert "mapped" in row.reason


def test_a_lead_that_was_there_before_is_found_by_the_link_search(
    world: World, leads: MemoryOrg
) -> None:
    ladder.demote(world.runtime, HOME, BEN, to=Mode.OBSERVE)
    world.approved()
    world.settle()
    (account,) = [r for r in leads.records("Account") if r.fields["Tax"] == "DE100"]
    lead = {"Name": "Cold chain", "Account": account.record_id, "Stage": "P"}
    record_id = leads.add(LEAD, lead, "rep")
    report = grading.report(world.runtime, HOME)
    ladder.promote(world.runtime, HOME, BEN, found=report, to=Mode.LINK)

    searching.search(world.runtime, HOME, BEN, lambda done, total: None)
    with world.database.read() as session:
        (found,) = linking.proposals(session)
    assert (found.object, found.record_id, found.surely) == (LEAD, record_id, True)
