"""Many records that vanish at once are not believed until a person says so."""

from __future__ import annotations

import pytest

from registration_core.model import Customer
from sync import pull
from sync.accounts import directory, emptiness
from sync.ledger.inbox import Notice, take_note
from sync.links import linking
from sync.repair import comparing, drift
from sync.repair.drift import ACCOUNTS
from sync.reports.today import Line, today
from tests.world import BEN, HOME, World

DEALS = emptiness.ALWAYS_PLAUSIBLE + 2


@pytest.fixture
def many(world: World) -> World:
    for number in range(DEALS):
        tax_id = f"DE7{number:03d}"
        customer = Customer(f"Customer {number} GmbH", "DE", tax_id=tax_id)
        world.submit(token=f"t{number}", customer=customer)
    world.settle()
    assert len(world.deals(HOME)) == DEALS
    return world


def orphans(world: World) -> int:
    with world.database.read() as session:
        return sum(link.state == "orphaned" for link in linking.links(session))


def vanish(world: World) -> None:
    for record_id in world.deals(HOME):
        world.orgs[HOME].remove("Deal", record_id, "loader")


def poll_and_push(world: World) -> None:
    world.pass_time(301)
    world.poll()
    world.push()


def test_a_mass_deletion_orphans_nothing_and_waits(many: World) -> None:
    vanish(many)
    poll_and_push(many)
    assert orphans(many) == 0
    (told,) = masses(many)
    assert (told.topic, told.count) == ("records vanished at once", DEALS)
    assert told.command == f"dealreg connection accept-deletes {HOME}"
    assert told.to_do


def masses(world: World) -> list[Line]:
    return [line for line in today(world.runtime) if "vanished" in line.topic]


def test_a_person_may_vouch_for_it(many: World) -> None:
    vanish(many)
    poll_and_push(many)

    emptiness.accept_deletes(many.runtime, HOME, BEN)
    poll_and_push(many)

    assert orphans(many) == DEALS
    assert masses(many) == []


def test_records_that_come_back_were_never_lost(many: World) -> None:
    ids = many.deals(HOME)
    vanish(many)
    poll_and_push(many)
    for record_id in ids:
        many.orgs[HOME].restore("Deal", record_id, "admin")

    many.settle(seconds=301)

    assert (orphans(many), len(many.deals(HOME))) == (0, DEALS)
    many.pass_time(901)
    assert masses(many) == []


def test_single_deletions_are_believed(many: World) -> None:
    many.orgs[HOME].remove("Deal", many.deals(HOME)[0], "rep")
    poll_and_push(many)
    assert orphans(many) == 1


# --- the account directory --------------------------------------------------------------------


@pytest.fixture
def accounts(world: World) -> list[str]:
    """The ids of 24 accounts that the directory knows."""
    for number in range(20):
        world.orgs[HOME].add("Account", {"Name": f"Name {number}", "Country": "DE"})
    directory.refresh(world.runtime, HOME)
    assert known(world) == 24
    return [record.record_id for record in world.orgs[HOME].records("Account")]


def known(world: World) -> int:
    with world.database.read() as session:
        return comparing.to_compare(session, HOME, ACCOUNTS)


def compare(world: World) -> set[tuple[str, int]]:
    drift.begin(world.runtime, HOME, ACCOUNTS, BEN)
    tally = comparing.advance(world.runtime, HOME, ACCOUNTS).tally
    return {(each.cause, each.records) for each in tally}


def test_accounts_that_vanish_in_a_mass_are_kept_until_a_person_vouches_for_it(
    world: World, accounts: list[str]
) -> None:
    for account in accounts:
        world.orgs[HOME].remove("Account", account, "loader")
    directory.refresh(world.runtime, HOME)
    assert known(world) == 24
    assert [(line.topic, line.count) for line in masses(world)] == [
        ("accounts vanished at once", 24)
    ]
    assert compare(world) == {("many vanished at once", 24)}

    emptiness.accept_deletes(world.runtime, HOME, BEN)

    assert compare(world) == {("deleted", 24)}
    assert known(world) == 0
    assert masses(world) == []


def test_accounts_that_vanish_little_by_little_are_a_mass_within_the_hour(
    world: World, accounts: list[str]
) -> None:
    def lose(some: list[str]) -> int:
        for account in some:
            world.orgs[HOME].remove("Account", account, "loader")
        world.pass_time(60)
        directory.refresh(world.runtime, HOME)
        return known(world)

    assert [lose(accounts[at : at + 4]) for at in range(0, 16, 4)] == [20, 16, 16, 16]
    world.pass_time(emptiness.WINDOW.total_seconds())
    assert lose(accounts[16:18]) == 14


def test_accounts_that_were_merged_are_no_mass(world: World, accounts: list[str]) -> None:
    survivor, *losers = accounts
    for account in losers:
        world.orgs[HOME].merge("Account", account, survivor)
    directory.refresh(world.runtime, HOME)
    assert known(world) == 1


def test_accounts_whose_webhooks_tell_of_a_mass_are_kept(world: World, accounts: list[str]) -> None:
    for account in accounts:
        world.orgs[HOME].remove("Account", account, "loader")
    with world.database.begin() as unit:
        take_note(unit, HOME, [Notice("Account", account) for account in accounts], "webhook")
    pull.drain(world.runtime, HOME)
    assert known(world) == 24
