"""Where somebody is at a deal, each write goes on the condition that nobody has changed it since."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from connectors.port import Outcome, Stale, UpdateItem
from registration_core import use_cases
from sandbox.salesforce.engine import SalesforceOrg
from sandbox.serving import Running
from sync import pull, push, runs
from sync.ledger.tables import SyncConflictRow
from sync.links import linking
from sync.plans.contention import CONTENDED_FOR
from sync.process.runtime import Runtime
from tests.contract.peers import Timepiece
from tests.contract.salesforce import OPPORTUNITY, REP
from tests.contract.stories import CONNECTIONS, DESK, approved, at_home_in

SALESFORCE = CONNECTIONS["salesforce"]


@pytest.fixture
def runtime(
    tmp_path: Path, running: Running, sqlite_template: Path, timepiece: Timepiece
) -> Iterator[Runtime]:
    """The engine, with Salesforce as everybody's home."""
    with at_home_in("salesforce", tmp_path, running, sqlite_template, timepiece, str) as built:
        yield built


class Deal:
    """A registration and its opportunity, which both sides change."""

    def __init__(self, runtime: Runtime, org: SalesforceOrg, running: Running) -> None:
        self._runtime, self._org = runtime, org
        self._journal = running.crms["salesforce"].journal
        self._registration = approved(runtime)
        push.drain(runtime, SALESFORCE)
        with runtime.database.read() as session:
            others = linking.proposals(session)  # what another test left open at the same customer
        for other in others:
            linking.reject(runtime, other.id, DESK)
        push.drain(runtime, SALESFORCE)
        rows = org.store.rows(OPPORTUNITY)
        (self.id,) = (
            row.id for row in rows if row.fields.get("Dealreg_Id__c") == self._registration.id
        )

    def edit(self, **fields: str) -> None:
        """Change the opportunity as a salesperson."""
        self._org.edit(OPPORTUNITY, self.id, fields, REP)

    def renamed(self, name: str) -> bool:
        """Rename it here and push; returns whether the write went on condition."""
        with self._runtime.database.begin(DESK) as unit:
            program = self._runtime.program("default")
            use_cases.update(unit, self._registration.id, {"deal_name": name}, program)
        before = self._journal.total
        push.drain(self._runtime, SALESFORCE)
        paths = [entry.path for entry in self._journal.last(self._journal.total - before)]
        return any(path.endswith("/composite") for path in paths)

    @property
    def name(self) -> object:
        """Its name in Salesforce."""
        row = self._org.store.get(OPPORTUNITY, self.id)
        assert row is not None
        return row.fields["Name"]

    def take(self) -> None:
        """Poll, take what changed, and write what follows from it."""
        runs.poll(self._runtime, SALESFORCE)
        pull.drain(self._runtime, SALESFORCE)
        push.drain(self._runtime, SALESFORCE)


@pytest.fixture
def deal(runtime: Runtime, org: SalesforceOrg, running: Running) -> Deal:
    """A deal that nobody has touched but us."""
    return Deal(runtime, org, running)


def test_a_deal_that_only_we_write_goes_without_a_condition(deal: Deal) -> None:
    assert [deal.renamed(f"Cold chain {number}") for number in range(2)] == [False, False]
    assert deal.name == "Cold chain 1"


@pytest.mark.parametrize("first", ["read", "taken"])
def test_our_own_write_does_not_end_the_care_for_who_is_at_a_deal(
    deal: Deal, timepiece: Timepiece, first: str
) -> None:
    deal.edit(NextStep="Call")
    if first == "taken":
        deal.edit(Name="Cold chain, as the rep calls it")
        deal.take()

    assert [deal.renamed(f"Cold chain {number}") for number in range(2)] == [True, True]
    timepiece.skip(CONTENDED_FOR - timedelta(minutes=1))
    assert deal.renamed("Cold chain, late")
    timepiece.skip(timedelta(minutes=1))
    assert not deal.renamed("Cold chain, later")


def test_an_edit_right_before_our_second_write_is_not_replaced_unseen(
    deal: Deal, timepiece: Timepiece, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    deal.edit(NextStep="Call")
    assert deal.renamed("Cold chain 2")
    door, rep = runtime.connector(SALESFORCE), "Cold chain, renamed by the rep"
    update, outcomes = door.update, list[Outcome]()

    def racing(object_name: str, items: Sequence[UpdateItem]) -> tuple[Outcome, ...]:
        if not outcomes:
            timepiece.skip(timedelta(seconds=2))  # the condition is in whole seconds
            deal.edit(Name=rep)
        outcomes.extend(update(object_name, items))
        return tuple(outcomes[-len(items) :])

    monkeypatch.setattr(door, "update", racing)
    deal.renamed("Cold chain 3")

    assert (outcomes, deal.name) == ([Stale(deal.id)], rep)
    timepiece.skip(timedelta(minutes=2))
    deal.take()
    assert (outcomes[1:], deal.name) == ([], rep)  # the home CRM's name goes
    with runtime.database.read() as session:
        kept = session.scalars(select(SyncConflictRow.store)).all()
    assert kept == [{"deal_name": "Cold chain 3"}]
