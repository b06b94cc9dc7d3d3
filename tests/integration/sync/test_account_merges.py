"""Accounts that a CRM merges away: whoever stood on them stands on the one that is left."""

from __future__ import annotations

from itertools import permutations

import pytest
from sqlalchemy import select

from connectors.port import Absence, Gone
from registration_core.model import Registration
from registration_core.store.tables import CheckRequestRow
from sync.accounts import directory
from tests.world import HOME, World


def merged(loser: str, winner: str) -> Gone:
    """Return what a feed tells of a merge."""
    return Gone(loser, Absence.MERGED, winner)


def tell(world: World, *gone: Gone) -> None:
    """Have the directory take one page of a feed that tells of these."""
    with world.database.begin() as unit:
        directory.take(unit, HOME, [], gone)


def account_of(world: World, made: Registration) -> str:
    """Return on which account of the home CRM a registration stands by now."""
    return world.registration(made.id).accounts[HOME]


def accounts(world: World, *names: str) -> list[str]:
    """Add accounts to the home CRM that nobody has registered; returns their ids."""
    return [world.orgs[HOME].add("Account", {"Name": n, "Country": "CH"}, "rep") for n in names]


def test_registrations_follow_a_chain_of_merges_to_its_end(world: World) -> None:
    made = world.approved()
    world.settle()
    first = account_of(world, made)
    second, third, last = accounts(world, "Kestrel", "Plover", "Avocet")
    world.settle()
    org = world.orgs[HOME]
    for loser, winner in ((first, second), (second, third), (third, last)):
        org.merge("Account", loser, winner, "admin")
    world.settle()
    assert account_of(world, made) == last
    org.edit("Account", last, {"City": "Bern"}, "admin")
    world.settle()
    assert account_of(world, made) == last


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_the_order_in_which_merges_are_told_does_not_matter(
    world: World, order: tuple[int, ...]
) -> None:
    first = world.approved()
    world.settle()
    start = account_of(world, first)
    chain = [merged(start, "B"), merged("B", "C"), merged("C", "D")]
    tell(world, *(chain[place] for place in order))
    assert account_of(world, first) == "D"


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_a_chain_that_is_told_page_by_page_is_followed_whatever_comes_first(
    world: World, order: tuple[int, ...]
) -> None:
    made = world.approved()
    world.settle()
    chain = [merged(account_of(world, made), "B"), merged("B", "C"), merged("C", "D")]
    for place in order:
        tell(world, chain[place])
    assert account_of(world, made) == "D"


def test_registrations_follow_the_merge_of_an_account_that_the_directory_never_had(
    world: World,
) -> None:
    made = world.approved()
    world.settle()
    loser = account_of(world, made)
    with world.database.begin() as unit:
        directory.take(unit, HOME, [], [Gone(loser, Absence.DELETED)])
    tell(world, merged(loser, "B"))
    assert account_of(world, made) == "B"


def test_a_merge_that_is_told_again_moves_nobody_and_asks_for_no_check(world: World) -> None:
    made = world.approved()
    world.settle(seconds=90_000)
    told = merged(account_of(world, made), "B")
    tell(world, told)
    before = world.registration(made.id)
    requests = select(CheckRequestRow.version)
    with world.database.read() as session:
        asked = session.scalars(requests).all()
    assert asked
    tell(world, told)
    with world.database.read() as session:
        assert session.scalars(requests).all() == asked
    assert world.registration(made.id) == before


def test_an_account_that_is_back_is_the_end_of_a_chain_again(world: World) -> None:
    made = world.approved()
    world.settle()
    middle, last = accounts(world, "Kestrel", "Plover")
    world.settle()
    org = world.orgs[HOME]
    org.merge("Account", middle, last, "admin")
    world.settle()
    org.restore("Account", middle, "admin")
    world.settle()
    org.merge("Account", account_of(world, made), middle, "admin")
    world.settle()
    assert account_of(world, made) == middle
