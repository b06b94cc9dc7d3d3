"""A CRM that is away for days: comparison and feed go on where they stopped, or read everything.

Four days are within what every feed keeps. Sixteen are more than the tokens of Dynamics 365 and the
recycle bin of Salesforce last; HubSpot's search has no end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.errors import ConnectorError
from registration_core.contracts import ConnectionName
from registration_core.store import repository
from sandbox.faults import Fault, FaultKind
from sandbox.serving import CRMS, Running, start
from sandbox.stand_in import StandIn
from sync import push, runs
from sync.links.linking import Link, links
from sync.process.runtime import Runtime
from sync.repair import comparing, drift
from tests.contract.names import NAMES
from tests.contract.peers import Timepiece
from tests.contract.stories import CONNECTIONS, approved, at_home_in, poll


@pytest.fixture(scope="module")
def timepiece() -> Timepiece:
    """A clock of this module's own, which weeks pass on."""
    return Timepiece()


@pytest.fixture(scope="module")
def running(timepiece: Timepiece) -> Iterator[Running]:
    """Stand-ins of this module's own."""
    started = start(None, clock=timepiece)
    yield started
    started.stop()


@contextmanager
def away(stand_in: StandIn, timepiece: Timepiece, days: int) -> Iterator[None]:
    """Let a CRM answer nobody for days, but those who work in it."""
    stand_in.faults.add(Fault(FaultKind.DOWN))
    yield
    timepiece.skip(timedelta(days=days))
    stand_in.faults.clear()
    timepiece.skip(timedelta(minutes=1))


def link_of(runtime: Runtime, registration_id: str, connection: ConnectionName) -> Link:
    with runtime.database.read() as session:
        (link,) = [
            each for each in links(session, registration_id) if each.connection == connection
        ]
    return link


@pytest.mark.parametrize("days", [4, 16])
@pytest.mark.parametrize("crm", CRMS)
def test_what_happened_in_a_crm_while_it_was_away_is_found(
    tmp_path: Path,
    running: Running,
    sqlite_template: Path,
    timepiece: Timepiece,
    crm: str,
    days: int,
) -> None:
    stand_in, home, names = running.crms[crm], CONNECTIONS[crm], NAMES[crm]
    with at_home_in(crm, tmp_path, running, sqlite_template, timepiece, str) as runtime:
        deal = approved(runtime).id
        push.drain(runtime, home)
        poll(runtime, home, timepiece)
        link = link_of(runtime, deal, home)
        drift.begin(runtime, home, drift.LINKS)
        with away(stand_in, timepiece, days):
            with pytest.raises(ConnectorError):
                comparing.advance(runtime, home)
            failed = runs.poll(runtime, home)
            assert failed is not None
            assert failed.state == "failed"
            stand_in.org.edit(link.object, link.record_id, {names.text: "Renamed"}, names.user)

        run = comparing.advance(runtime, home)
        assert (run.state, run.compared) == ("done", 1)
        assert {(t.field, t.cause) for t in run.tally} == {("deal_name", "remote edit not taken")}
        poll(runtime, home, timepiece)
        with runtime.database.read() as session:
            assert repository.registration(session, deal).deal_name == "Renamed"
        drift.begin(runtime, home, drift.LINKS)
        assert comparing.advance(runtime, home).tally == ()

        with away(stand_in, timepiece, days):
            stand_in.org.remove(link.object, link.record_id, names.user)
        poll(runtime, home, timepiece)
        assert link_of(runtime, deal, home).state == "orphaned"
