"""Whole stories of a registration in HubSpot: its deal merged, and one kept as a custom object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import select

from connectors.hubspot.connector import HubSpotConnector
from connectors.port import Outcome, RemoteRecord, UpdateItem
from registration_core import use_cases
from registration_core.contracts import ConnectionName
from registration_core.model import Customer, Registration
from registration_core.store import repository
from sandbox.hubspot.engine import HubSpotOrg
from sandbox.serving import Running
from sync import push
from sync.conflicts import resolving
from sync.links.linking import Link, links
from sync.mappings import connecting
from sync.outcomes import auditing
from sync.process.runtime import Runtime
from sync.traffic.guard import GuardedConnector
from tests.contract.hubspot.portal import REP
from tests.contract.peers import Timepiece
from tests.contract.stories import DESK, approved, at_home_in, poll

HUBSPOT = ConnectionName("hubspot")
REGISTRATIONS = "2-41750338"


@pytest.fixture
def runtime(
    tmp_path: Path, running: Running, sqlite_template: Path, timepiece: Timepiece
) -> Iterator[Runtime]:
    """The shipped configuration, but HubSpot is everybody's home."""
    with at_home_in(
        "hubspot", tmp_path, running, sqlite_template, timepiece, lambda text: text
    ) as built:
        yield built


def test_what_we_overwrote_is_found_when_the_deal_was_merged_before_it_was_looked_for(
    runtime: Runtime, org: HubSpotOrg, timepiece: Timepiece, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = approved(runtime, Customer("Fjellvang Verft", "NO"))  # of whom nobody else has deals
    push.drain(runtime, HUBSPOT)
    (deal,) = held(runtime, made)
    other = org.add("deals", {"dealname": "The same", "dealstage": "qualifiedtobuy"}, REP)
    hubspot = inner(runtime)
    written = hubspot.update

    def update(object_name: str, items: Sequence[UpdateItem]) -> tuple[Outcome, ...]:
        """A rep saves a name right before our write, and merges the deal right after it."""
        org.edit("deals", deal.record_id, {"dealname": "Never read"}, REP)
        outcomes = written(object_name, items)
        org.merge("deals", other.id, deal.record_id, REP)
        return outcomes

    monkeypatch.setattr(hubspot, "update", update)
    renamed(runtime, made, "Ours")
    push.drain(runtime, HUBSPOT)
    monkeypatch.undo()

    with runtime.database.read() as session:
        (kept,) = resolving.conflicts(session, everything=True)
        assert not session.scalar(select(auditing.are_owed(HUBSPOT)))
    assert kept.remote["deal_name"] == "Never read"

    poll(runtime, HUBSPOT, timepiece)
    (followed,) = held(runtime, made)
    survivor = org.resolve(org.kind("deals"), deal.record_id)
    assert survivor is not None
    assert (followed.record_id, followed.state) == (survivor.id, "active")
    assert survivor.id not in (deal.record_id, other.id)
    assert_kept_in_step(runtime, org, timepiece, made, "dealname")


CUSTOM = f"""\
  home:
    object: {REGISTRATIONS}
    key: dealreg_id
    on_create: {{hs_pipeline: "71004511"}}
    groups:
      name: [{{ours: deal_name, theirs: registration_name}}]
      stage:
        - ours: sales_stage
          theirs: hs_pipeline_stage
          transform:
            enum:
              qualifying: "140200301"
              developing: "140200302"
              proposing: "140200303"
              negotiating: "140200304"
              won: "140200305"
              lost: "140200306"
      amount: [{{ours: amount, theirs: registration_amount, transform: {{money: {{scale: 2}}}}}}]
      close: [{{ours: expected_close_on, theirs: registration_close, transform: date}}]
      account:
        - {{ours: account, theirs: associations.companies, direction: push, transform: reference}}

"""


@pytest.fixture
def custom(
    tmp_path: Path, running: Running, sqlite_template: Path, timepiece: Timepiece
) -> Iterator[Runtime]:
    """The same, with registrations in a custom object."""

    def as_custom(text: str) -> str:
        home = text[text.index("  home:\n") : text.index("  # Where another CRM is home")]
        return text.replace(home, CUSTOM)

    with at_home_in("hubspot", tmp_path, running, sqlite_template, timepiece, as_custom) as built:
        yield built


def test_a_registration_is_kept_as_a_custom_object_through_a_merge(
    custom: Runtime, org: HubSpotOrg, timepiece: Timepiece
) -> None:
    told = connecting.check(custom, HUBSPOT)
    assert [item for item in told if not item.ok] == []
    assert f"properties of {REGISTRATIONS}" in [item.step for item in told]

    made = approved(custom)
    push.drain(custom, HUBSPOT)
    (first,) = held(custom, made)
    assert first.object == REGISTRATIONS
    company = registration(custom, made).accounts[HUBSPOT]
    fields = ("registration_amount", "associations.companies", "hs_pipeline")
    assert read(custom, first.record_id, *fields) == (made.amount, company, "71004511")
    assert_kept_in_step(custom, org, timepiece, made, "registration_name")

    twin = org.add(REGISTRATIONS, {"registration_name": "Its twin"}, REP)
    org.merge(REGISTRATIONS, twin.id, first.record_id, REP)
    poll(custom, HUBSPOT, timepiece)
    (followed,) = held(custom, made)
    assert followed.record_id not in (first.record_id, twin.id)
    assert followed.state == "active"
    renamed(custom, made, "After the merge")
    push.drain(custom, HUBSPOT)
    assert read(custom, followed.record_id, "registration_name") == ("After the merge",)


def assert_kept_in_step(
    runtime: Runtime, org: HubSpotOrg, timepiece: Timepiece, made: Registration, name: str
) -> None:
    """A rep's edit of the linked record comes in."""
    (link,) = held(runtime, made)
    org.edit(link.object, link.record_id, {name: "Renamed by its owner"}, REP)
    poll(runtime, HUBSPOT, timepiece)
    assert registration(runtime, made).deal_name == "Renamed by its owner"


def inner(runtime: Runtime) -> HubSpotConnector:
    """The connector behind the guard."""
    door = runtime.connectors[HUBSPOT]
    assert isinstance(door, GuardedConnector)
    assert isinstance(door._inner, HubSpotConnector)
    return door._inner


def renamed(runtime: Runtime, made: Registration, name: str) -> None:
    """Give a registration another deal name here."""
    with runtime.database.begin(DESK) as unit:
        use_cases.update(unit, made.number, {"deal_name": name}, runtime.program("default"))


def registration(runtime: Runtime, made: Registration) -> Registration:
    """Read a registration as it is now."""
    with runtime.database.read() as session:
        return repository.registration(session, made.id)


def held(runtime: Runtime, made: Registration) -> list[Link]:
    """Read its links to HubSpot."""
    with runtime.database.read() as session:
        return [link for link in links(session, made.id) if link.connection == HUBSPOT]


def read(runtime: Runtime, record_id: str, *fields: str) -> tuple[object, ...]:
    """Read values of a registration's custom object."""
    found = runtime.connector(HUBSPOT).read(REGISTRATIONS, [record_id], fields)[record_id]
    assert isinstance(found, RemoteRecord)
    return tuple(found.fields[name] for name in fields)
