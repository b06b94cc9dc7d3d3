"""Two processes at the same moment, on PostgreSQL: nobody waits in a circle, nobody falls over."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import select, text, update

from connectors.errors import CrmUnavailable
from connectors.memory import MemoryFault
from connectors.port import Absence, Gone
from registration_core import matches, protecting
from registration_core.announcing import Topic
from registration_core.findings import FindingKind
from registration_core.model import Band, Customer, Finding, Registration
from registration_core.store import audit, repository, work
from registration_core.store.announcements import announce
from registration_core.store.database import UnitOfWork
from registration_core.store.tables import CheckRequestRow
from sync.accounts import directory
from sync.announcing import foreseeing
from sync.ledger.stamps import StampRow
from sync.outcomes import settling, stamps
from sync.traffic.guard import CallMetrics, GuardedConnector
from tests.integration.sync.test_mapping_manners import remap
from tests.integration.sync.test_stamping import STAMP
from tests.world import BEN, HOME, MIRROR, World, build


@pytest.fixture
def world(migrated_postgres_url: str) -> Iterator[World]:
    """A world on PostgreSQL."""
    made = build(migrated_postgres_url)
    yield made
    made.runtime.close()


def at_once(*work: Callable[[], object]) -> list[BaseException]:
    """Run each in a thread of its own, from the same moment; return what went wrong."""
    wrong: list[BaseException] = []
    together = threading.Barrier(len(work))

    def run(do: Callable[[], object]) -> None:
        together.wait()
        try:
            do()
        except BaseException as error:  # noqa: BLE001 - told below
            wrong.append(error)

    threads = [threading.Thread(target=run, args=(do,)) for do in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return wrong


def test_two_workers_may_meet_a_new_connection_at_once(world: World) -> None:
    metrics = CallMetrics(CollectorRegistry())
    for number in range(6):
        with world.database.begin() as unit:
            unit.session.execute(text("DELETE FROM connection_state"))
        doors = [GuardedConnector(world.doors[HOME], world.database, metrics) for _ in range(4)]
        assert at_once(*(door.identity for door in doors)) == [], number


def test_two_workers_may_read_the_same_account_changes_at_once(world: World) -> None:
    def refresh() -> None:
        directory.refresh(world.runtime, HOME)

    assert at_once(refresh, refresh, refresh) == []
    org = world.orgs[HOME]
    for number in range(6):
        world.pass_time(1)
        for record in org.records("Account"):
            org.edit("Account", record.record_id, {"City": f"Town {number}"}, "admin")
        assert at_once(refresh, refresh, refresh) == [], number


def test_protections_expire_while_a_push_of_the_same_registrations_is_settled(
    world: World,
) -> None:
    first = world.approved("DE100", "a")
    second = world.approved("DE100", "b", product_line="support")
    assert first.id < second.id
    world.pass_time(91 * 86400)
    inside = threading.Event()

    def settle_in_order() -> None:
        """What T4 of a push holds, in its order: chain and outbox of each, by registration id."""
        with world.database.begin() as unit:
            _touch(unit, first.id)
            inside.set()
            _wait_for_a_waiter(world)
            _touch(unit, second.id)

    def expire() -> None:
        inside.wait()
        with world.database.begin() as unit:
            protecting.expire_due(unit)

    assert at_once(settle_in_order, expire) == []


def _touch(unit: UnitOfWork, registration_id: str) -> None:
    audit.record(unit, f"registration:{registration_id}", "update in CRM", {})
    settling.outbox_done(unit, registration_id, MIRROR, 1)


def _ask_in_order_while(world: World, first: str, second: str, other: Callable[[], object]) -> None:
    """Ask for two checks in the order of their ids while `other` asks for the same."""
    inside = threading.Event()

    def ask_in_order() -> None:
        with world.database.begin() as unit:
            work.request_check(unit, first, "changed")
            inside.set()
            _wait_for_a_waiter(world)
            work.request_check(unit, second, "changed")

    def do_other() -> None:
        inside.wait()
        other()

    assert at_once(ask_in_order, do_other) == []


def test_a_merge_and_a_change_of_accounts_may_ask_for_the_checks_that_others_ask_for(
    world: World,
) -> None:
    changed, moved = two_protected(world)
    with world.database.read() as session:
        account = repository.account(session, HOME, changed.accounts[HOME])
    assert account is not None
    news = replace(account, city="Bremerhaven", read_at=world.now)
    gone = Gone(moved.accounts[HOME], Absence.MERGED, "another account")

    def take() -> None:
        with world.database.begin() as unit:
            directory.take(unit, HOME, [news], [gone])

    _ask_in_order_while(world, changed.id, moved.id, take)
    assert world.registration(moved.id).accounts[HOME] == "another account"


def test_a_word_on_a_match_may_ask_for_the_checks_that_others_ask_for(world: World) -> None:
    first, second = two_protected(world)

    def deny() -> None:
        with world.database.begin(BEN) as unit:
            matches.deny(unit, second.number, first.number, "a namesake")

    _ask_in_order_while(world, first.id, second.id, deny)


def two_protected(world: World) -> tuple[Registration, Registration]:
    """Protect two partners for two customers, and let everything settle."""
    org = world.orgs[HOME]
    org.add("Account", {"Name": "Kestrel Avionics AG", "Country": "CH", "Tax": "CH777"})
    first = world.approved()
    kestrel = Customer("Kestrel Avionics AG", "CH", tax_id="CH777")
    second = world.approved(token="two", partner_code="BETA", customer=kestrel)
    world.settle()
    assert first.id < second.id
    return first, second


def _wait_for_a_waiter(world: World) -> None:
    """Go on once another transaction waits for a lock that this one holds."""
    query = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    for _ in range(200):
        with world.database.engine.connect() as connection:
            if connection.execute(query).scalar_one():
                return
        threading.Event().wait(0.02)
    raise AssertionError("nobody waits")


def test_a_recovered_connection_and_changed_accounts_may_ask_for_checks_at_once(
    world: World,
) -> None:
    made = [world.approved("DE100", "a"), world.approved("DE100", "b", product_line="support")]
    with world.database.begin() as unit:
        unit.session.execute(update(CheckRequestRow).values(attempts=1))
    with world.database.read() as session:
        order = list(session.scalars(select(CheckRequestRow.registration_id)))
    assert set(order) == {r.id for r in made}
    world.doors[HOME].fail(MemoryFault.UNAVAILABLE)
    with pytest.raises(CrmUnavailable):
        world.runtime.connector(HOME).describe("Deal")
    world.pass_time(60)
    inside = threading.Event()

    def change_accounts() -> None:
        with world.database.begin() as unit:
            work.request_check(unit, order[1], "changed")
            inside.set()
            threading.Event().wait(0.3)
            work.request_check(unit, order[0], "changed")

    def recover() -> None:
        inside.wait()
        world.runtime.connector(HOME).describe("Deal")

    assert at_once(change_accounts, recover) == []


def test_two_clocks_may_announce_the_same_trouble_at_once(world: World) -> None:
    world.doors[HOME].fail(MemoryFault.UNAVAILABLE, times=None)
    for _ in range(foreseeing.FAILURES):
        world.pass_time(60)
        with pytest.raises(CrmUnavailable):
            world.runtime.connector(HOME).describe("Deal")
    told: list[int] = []

    def note(unit: UnitOfWork) -> None:
        about = f"trouble:{HOME}:{unit.now.date()}"
        assert announce(unit, Topic.TROUBLE, about, {"connection": HOME, "reason": "down"})

    _while_uncommitted(world, note, lambda: told.append(foreseeing.note_trouble(world.runtime)))
    assert told == [0]


def test_two_may_ask_for_the_same_stamp_at_once(world: World) -> None:
    remap(world, STAMP)
    first, second = two_protected(world)
    summary = "an open opportunity"
    found = Finding(
        FindingKind.OPEN_OPPORTUNITY, Band.STRONG, ("tax_id",), summary, HOME, record_id="9"
    )

    def ask_second() -> None:
        with world.database.begin() as unit:
            stamps.request(unit, world.runtime, second, [found])

    _while_uncommitted(
        world, lambda unit: stamps.request(unit, world.runtime, first, [found]), ask_second
    )
    with world.database.read() as session:
        assert list(session.scalars(select(StampRow.registration_id))) == [first.id]


def _while_uncommitted(
    world: World, one: Callable[[UnitOfWork], None], other: Callable[[], object]
) -> None:
    """Do `other` while the commit of `one` is still to come, until one waits for the other."""
    inside = threading.Event()

    def first() -> None:
        with world.database.begin() as unit:
            one(unit)
            unit.session.flush()
            inside.set()
            _wait_for_a_waiter(world)

    def second() -> None:
        inside.wait()
        other()

    assert at_once(first, second) == []
