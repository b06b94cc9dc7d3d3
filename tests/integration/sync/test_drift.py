"""What differs is found, told with its cause, and repaired without writing over anybody."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import delete, event, select, update

from cli.main import root
from connectors.errors import ConnectorError
from connectors.memory import MemoryFault
from connectors.port import Gone, RemoteRecord
from mapping.loader import load
from registration_core.contracts import Fields
from registration_core.limits import Limits
from registration_core.model import Customer, Registration
from registration_core.store.tables import OutboxRow
from registration_core.store.types import load_fields
from sync import push, rounds
from sync.gates import holding
from sync.ledger.drift import DriftPageRow, DriftRunRow
from sync.ledger.tables import CursorRow, LinkRow
from sync.plans.jobs import Job
from sync.process.runtime import Runtime
from sync.repair import comparing, drift, drifting
from sync.repair.drift import LINKS, DriftRun
from sync.repair.drifting import Finding, Pending
from sync.reports.today import today
from tests.integration.sync.test_mapping_manners import GROUPS, OURS
from tests.world import ANN, HOME, MIRROR, World

DAY = 86_400


def compare(world: World, kind: str = LINKS) -> DriftRun:
    drift.begin(world.runtime, HOME, kind, ANN)
    return comparing.advance(world.runtime, HOME, kind)


def told(run: DriftRun) -> set[tuple[str, str, str, int]]:
    return {(t.field, t.cause, t.repair, t.records) for t in run.tally}


def repair(world: World) -> None:
    with world.database.read() as session:
        run = drift.last(session, HOME)
    assert run is not None
    drift.repair(world.runtime, run.id, ANN)
    world.settle()


@pytest.fixture
def deal(world: World) -> Registration:
    """A registration that both CRMs hold, and that the home CRM's people have taken over."""
    made = world.approved()
    world.settle()
    world.edit(HOME, Stage="D")
    world.settle()
    return world.registration(made.id)


def lose_news(world: World) -> None:
    """Let the feed pass over everything that has happened so far."""
    for name, door in world.doors.items():
        page = door.changes("Deal", ["Name"], None)
        with world.database.begin() as unit:
            row = unit.session.get_one(CursorRow, (name, "Deal"))
            row.cursor = page.cursor


def test_two_sides_that_agree_have_nothing_to_tell(world: World, deal: Registration) -> None:
    run = compare(world)
    assert (run.state, run.compared, run.tally) == ("done", 1, ())


def test_an_edit_that_the_feed_lost_is_found_and_taken(world: World, deal: Registration) -> None:
    world.edit(HOME, Amount=Decimal(7000))
    lose_news(world)
    assert told(compare(world)) == {("amount", "remote edit not taken", "pull", 1)}
    (line,) = (line for line in today(world.runtime) if line.topic == "differences to repair")
    assert (line.count, line.command) == (1, f"dealreg drift {HOME} --last")
    repair(world)
    assert world.registration(deal.id).amount == Decimal(7000)
    assert compare(world).tally == ()


def test_a_write_that_was_lost_is_told_from_one_that_is_on_its_way(
    world: World, deal: Registration
) -> None:
    world.update(deal.id, amount=Decimal(6000))
    assert told(compare(world)) == {("amount", "on its way", "wait", 1)}
    with world.database.begin() as unit:
        unit.session.execute(update(OutboxRow).values(done=OutboxRow.wanted))
    assert told(compare(world)) == {("amount", "our write not landed", "push", 1)}
    repair(world)
    assert world.deal(HOME, "Amount") == Decimal(6000)


def test_a_repair_never_writes_over_what_a_person_changed_since(
    world: World, deal: Registration
) -> None:
    world.update(deal.id, amount=Decimal(6000))
    with world.database.begin() as unit:
        unit.session.execute(delete(OutboxRow))
    compare(world)
    world.edit(HOME, Amount=Decimal(6500))
    repair(world)
    assert world.deal(HOME, "Amount") == Decimal(6500)
    assert world.registration(deal.id).amount == Decimal(6500)


def test_a_write_in_the_middle_of_a_comparison_is_no_difference(
    world: World, deal: Registration
) -> None:
    world.update(deal.id, amount=Decimal(6000))
    door = world.doors[HOME]

    def push_now(operation: str) -> None:
        if operation == "read":
            door.on_call = None
            push.drain(world.runtime, HOME)

    door.on_call = push_now
    assert compare(world).tally == ()
    assert world.deal(HOME, "Amount") == Decimal(6000)
    world.settle()
    assert compare(world).tally == ()


def test_a_write_that_was_put_back_is_told_from_another_edit(
    world: World, deal: Registration
) -> None:
    world.update(deal.id, amount=Decimal(6000))
    world.settle()
    world.edit(HOME, Amount=Decimal(5500))
    assert told(compare(world)) == {("amount", "remote edit not taken", "pull", 1)}
    world.edit(HOME, Amount=Decimal(5000))
    assert told(compare(world)) == {("amount", "our write undone", "pull", 1)}


def test_of_all_writes_to_a_record_that_differs_only_the_last_is_loaded(
    world: World, deal: Registration, monkeypatch: pytest.MonkeyPatch
) -> None:
    for amount in (6000, 7000, 8000):  # in one and the same moment
        world.update(deal.id, amount=Decimal(amount))
        world.push()
    world.pass_time(60)
    world.edit(HOME, Amount=Decimal(7000))
    loaded: list[str] = []

    def noting(text: str) -> Fields:
        loaded.append(text)
        return load_fields(text)

    monkeypatch.setattr("registration_core.store.types.load_fields", noting)
    assert told(compare(world)) == {("amount", "our write undone", "pull", 1)}
    assert any("7000" in text for text in loaded)
    assert not any("6000" in text for text in loaded)


def test_what_may_not_be_changed_there_goes_back(world: World, deal: Registration) -> None:
    world.edit(HOME, State="closed")
    assert told(compare(world)) == {
        ("registration_state", "changed where it may not be", "restore", 1)
    }
    repair(world)
    assert world.deal(HOME, "State") == "approved"


def test_what_waits_for_a_person_already_is_nothing_to_repair(
    world: World, deal: Registration
) -> None:
    world.edit(HOME, Name="")
    assert told(compare(world)) == {("deal_name", "sync conflict", "conflict", 1)}
    repair(world)
    assert told(compare(world)) == {("deal_name", "sync conflict", "wait", 1)}


def test_a_value_without_counterpart_becomes_one_dead_letter(
    world: World, deal: Registration
) -> None:
    text = world.runtime.mappings[HOME].source.text.replace("developing: [D]", "developing: [X]")
    draft = load(text, "alpha.yaml", OURS, GROUPS)
    world.runtime = replace(world.runtime, mappings={**world.runtime.mappings, HOME: draft})
    assert told(compare(world)) == {("sales_stage", "no counterpart", "refused", 1)}
    repair(world)
    assert told(compare(world)) == {("sales_stage", "no counterpart", "wait", 1)}


def test_a_record_that_is_gone_is_told_by_how_it_went(world: World, deal: Registration) -> None:
    (record_id,) = world.deals(HOME)
    world.orgs[HOME].remove("Deal", record_id)
    assert told(compare(world)) == {("", "deleted", "pull", 1)}


def test_another_form_of_the_same_value_is_told_and_left(world: World, deal: Registration) -> None:
    world.update(deal.id, sales_stage="qualifying")
    world.settle()
    world.edit(HOME, Stage="Q0")
    world.settle()
    run = compare(world)
    assert told(run) == {("sales_stage", "canonical form", "agree", 1)}
    assert run.repairable == 0
    assert compare(world).tally == run.tally  # remembered with the page


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The links that a comparison looks at closer, by registration, as it goes on."""
    ids: list[str] = []
    judge = drifting.differences

    def noting(
        runtime: Runtime, job: Job, record: RemoteRecord | Gone, pending: Pending
    ) -> list[Finding]:
        ids.append(job.registration.id)
        return judge(runtime, job, record, pending)

    monkeypatch.setattr("sync.repair.comparing.differences", noting)
    return ids


def test_a_page_that_agreed_is_not_looked_at_again_until_a_side_has_moved(
    world: World, deal: Registration, looked: list[str]
) -> None:
    compare(world)
    looked.clear()
    compare(world)
    assert looked == []
    world.edit(HOME, Name="Warm chain")
    compare(world)
    assert looked == [deal.id]


def test_a_link_that_is_orphaned_has_only_its_own_page_looked_at_again(
    world: World, looked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparing, "PAGE", 2)
    for number in range(7):
        _customer(world, number)
    world.settle()
    world.settle()  # our own writes are read back
    compare(world)
    pages = _pages(world)
    with world.database.read() as session:
        here = LinkRow.connection == HOME
        first, second, *_ = session.scalars(select(LinkRow).where(here).order_by(LinkRow.id))
    world.orgs[HOME].remove("Deal", first.record_id)
    world.settle()
    looked.clear()
    assert compare(world).compared == 6
    assert looked == [second.registration_id]
    assert _pages(world) == pages


def test_pages_that_a_comparison_does_not_come_by_are_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparing, "PAGE", 2)
    for number in range(7):
        _customer(world, number)
    world.settle()
    compare(world)
    monkeypatch.setattr(comparing, "PAGE", 3)
    compare(world)
    assert len(_pages(world)) == 3
    monkeypatch.setattr(comparing, "PAGE", 1_000)
    compare(world)
    assert _pages(world) == [""]


def _customer(world: World, number: int) -> Registration:
    customer = Customer(f"Customer {number} GmbH", "DE", tax_id=f"DE7{number:03d}")
    return world.submit(token=f"t{number}", customer=customer)


def _pages(world: World) -> list[str]:
    with world.database.read() as session:
        here = DriftPageRow.connection == HOME
        return list(
            session.scalars(select(DriftPageRow.after).where(here).order_by(DriftPageRow.after))
        )


def test_a_comparison_survives_days_of_outage_and_goes_on_where_it_stopped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparing, "PAGE", 2)
    for number in range(5):
        customer = Customer(f"Customer {number} GmbH", "DE", tax_id=f"DE7{number:03d}")
        world.submit(token=f"t{number}", customer=customer)
    world.settle()
    drift.begin(world.runtime, HOME, LINKS)
    comparing.advance(world.runtime, HOME, pages=1)
    world.doors[HOME].fail(MemoryFault.UNAVAILABLE, times=None)
    with pytest.raises(ConnectorError):
        comparing.advance(world.runtime, HOME)
    for record_id in world.deals(HOME):
        world.orgs[HOME].edit("Deal", record_id, {"State": "odd"}, "rep")
    world.pass_time(4 * DAY)
    comparing.drain(world.runtime, HOME)  # a worker only says so in its log
    world.doors[HOME].recover()
    world.pass_time(60)
    world.doors[HOME].fail(MemoryFault.FEED_EXPIRED, "changes")

    run = compare(world)
    assert run.compared == 5
    assert {(t.cause, t.records) for t in run.tally} == {("changed where it may not be", 3)}
    world.settle()  # reads everything, because the feed does not reach back so far
    assert {world.orgs[HOME].value("Deal", i, "State") for i in world.deals(HOME)} == {"approved"}
    assert compare(world).tally == ()


def test_a_repair_of_very_many_waits_below_the_caps(world: World) -> None:
    for number in range(6):
        customer = Customer(f"Customer {number} GmbH", "DE", tax_id=f"DE7{number:03d}")
        world.submit(token=f"t{number}", customer=customer)
    world.settle()
    world.runtime = replace(world.runtime, limits={HOME: Limits(same_value_per_hour=2)})
    for record_id in world.deals(HOME):
        world.orgs[HOME].edit("Deal", record_id, {"State": "odd"}, "rep")
    lose_news(world)
    assert compare(world).repairable == 6
    repair(world)
    with world.database.read() as session:
        (item,) = holding.held(session)
    assert item.records == 4


def _compared(world: World) -> set[str]:
    kinds = rounds.tick(world.runtime, world.nudges.update)
    return {kind for kind in kinds if kind.startswith("drift")}


def test_a_night_begins_a_comparison_and_workers_end_it(world: World, deal: Registration) -> None:
    assert _compared(world) == set()
    world.pass_time(DAY)
    assert _compared(world) == {f"drift-links:{HOME}", f"drift-links:{MIRROR}"}
    for name in (HOME, MIRROR):
        comparing.drain(world.runtime, name)
    assert _compared(world) == set()
    world.pass_time(7 * DAY)
    assert f"drift-accounts:{HOME}" in _compared(world)


def test_a_comparison_that_died_as_it_began_begins_with_the_next_round(
    world: World, deal: Registration
) -> None:
    def die(*_: object) -> None:
        raise ConnectionAbortedError

    _compared(world)
    world.pass_time(DAY)
    event.listen(DriftRunRow, "before_insert", die)
    with pytest.raises(ConnectionAbortedError):
        _compared(world)
    event.remove(DriftRunRow, "before_insert", die)

    assert _compared(world) == {f"drift-links:{HOME}", f"drift-links:{MIRROR}"}


def test_the_command_shows_asks_and_repairs(
    world: World, deal: Registration, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world.edit(HOME, Amount=Decimal(7000))
    lose_news(world)
    monkeypatch.setattr("sync.wiring.build", lambda settings: world.runtime)
    runner = CliRunner(env={"DEALREG_HOME": str(tmp_path)})

    shown = runner.invoke(root, ["drift", HOME])
    assert shown.exit_code == 3
    assert "amount" in shown.output
    assert "remote edit not taken" in shown.output
    assert deal.number in shown.output

    refused = runner.invoke(root, ["drift", HOME, "--last", "--repair"], input="n\n")
    assert refused.exit_code == 1
    mended = runner.invoke(root, ["drift", HOME, "--last", "--repair", "--yes", "--json"])
    assert json.loads(mended.stdout)["repaired"] == 1
    world.settle()
    assert world.registration(deal.id).amount == Decimal(7000)
