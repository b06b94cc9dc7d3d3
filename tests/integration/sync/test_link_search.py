"""Linking an org that has worked for years: searched as a whole and accepted in bulk."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import update

from connectors.errors import CrmUnavailable
from connectors.memory import MemoryFault
from registration_core.contracts import Mode
from registration_core.errors import DomainRefusal
from registration_core.limits import Limits
from registration_core.model import Customer
from sync import checking
from sync.conflicts import resolving
from sync.gates import holding
from sync.ledger.tables import LeaseRow, LinkRow
from sync.links import linking
from sync.proposals import proposing, searching
from sync.proposals.fitting import Candidate, compare
from tests.integration.sync.old_org import (
    DEALS,
    accept,
    accept_sure,
    climb,
    deal,
    links,
    old_org,
    registration,
    search,
    waiting,
)  # fmt: skip
from tests.world import BEN, HOME, World


@pytest.fixture
def world(fast_url: str) -> Iterator[World]:
    """An org that has worked for years, and registrations that are there already."""
    made = old_org(fast_url)
    yield made
    made.runtime.close()


def interrupt(world: World, *, after: int) -> None:
    """Begin or go on with a search that breaks off after so many pages of accounts and deals."""
    pages = iter(range(100))

    def break_off(call: str) -> None:
        if call == "changes" and next(pages) == after:
            world.doors[HOME].fail(MemoryFault.UNAVAILABLE, "changes", times=1)

    world.doors[HOME].on_call = break_off
    with pytest.raises(CrmUnavailable):
        search(world)
    world.doors[HOME].on_call = None
    world.pass_time(120)


def test_only_what_is_surely_the_same_and_the_only_one_is_sure(world: World) -> None:
    deal(world, 0)
    deal(world, 1), deal(world, 1)
    deal(world, 2, Name="Something else")
    deal(world, 3, Closed=True)
    climb(world, Mode.LINK)

    found = search(world)
    assert [each.surely for each in found[0]] == [True]
    assert [(each.band, each.surely) for each in found[1]] == [("strong", False)] * 2
    assert [each.band for each in found[2]] == ["review"]
    assert found[3] == []
    assert found[0][0].evidence["agrees"] == "name"


@pytest.mark.parametrize(("amount", "surely"), [(5000, True), (4000, False)])
def test_an_account_that_only_has_the_name_takes_a_deal_that_agrees_in_more(
    world: World, amount: int, surely: bool
) -> None:
    account = world.orgs[HOME].add("Account", {"Name": "Customer 0 GmbH", "Country": "DE"})
    deal(world, 0, Amount=Decimal(amount), Account=account)
    climb(world, Mode.LINK)
    assert [each.surely for each in search(world)[0]] == [surely]


def test_nothing_is_searched_or_linked_before_the_rung_that_links(world: World) -> None:
    deal(world, 0)
    with pytest.raises(DomainRefusal, match="at observe, where nothing is linked"):
        search(world)


def test_links_are_made_in_bulk_and_nothing_is_written_on_that_rung(world: World) -> None:
    ids = [deal(world, number) for number in range(DEALS)]
    climb(world, Mode.LINK)
    search(world)
    world.doors[HOME].calls.clear()

    assert set(accept_sure(world).values()) == {None}
    assert world.doors[HOME].calls["read"] == 1
    world.settle()

    org = world.orgs[HOME]
    assert (world.doors[HOME].calls["update"], world.doors[HOME].calls["create"]) == (0, 0)
    assert [org.value("Deal", each, "Partner") for each in ids] == [None] * DEALS
    after = registration(world, 0)
    assert after.amount == Decimal(4000)  # what the home CRM holds is taken all the same
    with world.database.read() as session:
        kept = resolving.conflicts(session, everything=True)
    assert {(each.state, each.store["amount"]) for each in kept if "amount" in each.store} == {
        ("auto_settled", Decimal(5000))
    }

    climb(world, Mode.PUSH)
    world.settle()
    assert [org.value("Deal", each, "Partner") for each in ids] == ["Acme Partners"] * DEALS
    assert world.deals(HOME) == ids


def test_what_is_taken_at_a_first_link_is_no_mass_change(world: World) -> None:
    limits = Limits(taken_per_ten_minutes=1)
    world.runtime.limits[HOME] = limits  # type: ignore[index]
    for number in range(DEALS):
        deal(world, number)
    climb(world, Mode.LINK)
    search(world)
    accept_sure(world)
    world.settle()

    amounts = [registration(world, number).amount for number in range(DEALS)]
    assert amounts == [Decimal(4000)] * DEALS
    with world.database.read() as session:
        assert holding.held(session) == []


def test_a_search_that_was_interrupted_goes_on_where_it_stopped(world: World) -> None:
    world.doors[HOME]._feed_page = 1
    for number in range(DEALS):
        deal(world, number)
    climb(world, Mode.LINK)
    interrupt(world, after=3)
    world.doors[HOME].calls.clear()

    found = search(world)
    assert [len(each) for each in found.values()] == [1] * DEALS
    assert world.doors[HOME].calls["changes"] < DEALS + 1


def test_who_came_while_a_search_was_interrupted_is_searched_for_afterwards(world: World) -> None:
    world.doors[HOME]._feed_page = 1
    tax = {"Name": "Late Comer AG", "Country": "DE", "Tax": "DE8000"}
    account = world.orgs[HOME].add("Account", tax)
    deal(world, 0, Account=account, Name="Late deal")
    for number in range(DEALS):
        deal(world, number)
    climb(world, Mode.LINK)
    interrupt(world, after=3)
    late = world.submit(
        token="late",
        deal_name="Late deal",
        customer=Customer("Late Comer AG", "DE", tax_id="DE8000"),
    )
    checking.drain(world.runtime)
    checking.approve(world.runtime, late.number, BEN)  # it has an open deal: a person decides
    interrupt(world, after=2)

    searching.search(world.runtime, HOME, BEN, lambda done, total: None)
    assert len(waiting(world)) == DEALS + 1
    assert all(each.surely for each in waiting(world))


def test_accepting_one_takes_the_record_from_the_others(world: World) -> None:
    deal(world, 0)
    climb(world, Mode.LINK)
    (first,) = search(world)[0]
    with world.database.begin() as unit:
        same = [Candidate(first.object, first.record_id, {})]
        proposing.propose(unit, registration(world, 2).id, HOME, same)

    linking.accept(world.runtime, first.id, BEN)
    with world.database.read() as session:
        assert linking.proposals(session) == []


def test_others_write_while_a_page_is_matched(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    deal(world, 0)
    climb(world, Mode.LINK)
    compared = []

    def compare_at_leisure(*args: Any, **more: Any) -> Candidate:
        with world.database.begin() as unit:
            unit.session.execute(update(LeaseRow).where(LeaseRow.fence < 0).values(fence=0))
        compared.append(args)
        return compare(*args, **more)

    monkeypatch.setattr(searching, "compare", compare_at_leisure)
    assert len(search(world)[0]) == len(compared) == 1


def test_what_is_linked_while_the_search_reads_is_not_proposed(world: World) -> None:
    """Another search's proposal is accepted while this one has read who has no record."""
    first, second = deal(world, 0), deal(world, 0)
    climb(world, Mode.LINK)
    ours = registration(world, 0)

    def link(call: str) -> None:
        if call == "count" and not links(world, ours):
            with world.database.begin() as unit:
                proposing.propose(unit, ours.id, HOME, [Candidate("Deal", first, {})])
            linking.accept(world.runtime, waiting(world)[0].id, BEN)

    world.doors[HOME].on_call = link
    assert search(world)[0] == []
    assert (links(world, ours), world.deals(HOME)) == ([first], [first, second])


def test_what_has_been_linked_is_said_and_the_others_are_accepted_all_the_same(
    world: World,
) -> None:
    for number in range(DEALS):
        deal(world, number)
    climb(world, Mode.LINK)
    search(world)
    sure = [each.id for each in waiting(world)]
    theirs, ours = deal(world, 1), registration(world, 1)
    with world.database.begin() as unit:
        unit.session.add(LinkRow.fresh(unit, ours.id, (HOME, "Deal", theirs), {}))

    ended = accept(world, [*sure, "no-such-proposal"])
    said = {why.message for why in ended.values() if why is not None}
    assert len(ended) - len(said) == DEALS - 1
    assert said == {
        f"{ours.number} is linked to {theirs} in alpha already.",
        "There is no link proposal no-such-proposal.",
    }


def test_what_is_not_sure_any_more_is_left_to_a_person(world: World) -> None:
    first, *_ = [deal(world, number) for number in range(DEALS)]
    climb(world, Mode.LINK)
    search(world)
    sure = [each.id for each in waiting(world)]
    ours = registration(world, 0).number
    deal(world, 0)
    assert len(search(world)[0]) == 2  # while somebody is asked whether to accept the sure ones

    said = [why.message for why in accept(world, sure).values() if why is not None]
    assert said == [f"{first} in alpha is not surely {ours} any more."]
    assert len(waiting(world)) == 2


def test_a_record_that_is_not_any_more_what_made_it_sure_is_left_to_a_person(world: World) -> None:
    renamed, closed, *_ = [deal(world, number) for number in range(DEALS)]
    climb(world, Mode.LINK)
    search(world)
    world.orgs[HOME].edit("Deal", renamed, {"Name": "Something else"}, "rep")
    world.orgs[HOME].edit("Deal", closed, {"Stage": "Lost", "Closed": True}, "rep")

    said = {why.message for why in accept_sure(world).values() if why is not None}
    one, other = registration(world, 0).number, registration(world, 1).number
    assert said == {
        f"The record {renamed} in alpha does not agree with {one} in its name any more.",
        f"The record {closed} in alpha is not open any more, so it is not surely {other}.",
    }
    (looked_at,) = [each.id for each in waiting(world) if each.record_id == renamed]
    linking.accept(world.runtime, looked_at, BEN)
    assert links(world, registration(world, 0)) == [renamed]
