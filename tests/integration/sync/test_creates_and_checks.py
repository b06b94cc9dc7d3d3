"""A create whose customer's account is heard of meanwhile waits for the check that looks at it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connectors.memory import MemoryFault
from registration_core.contracts import ConnectionName
from registration_core.limits import Limits
from sync import checking, push
from tests.integration.sync.test_holding import NONE
from tests.integration.sync.test_link_or_create import (
    SPAETH,
    account_of,
    once_looked,
    reps_deal,
)
from tests.world import HOME, MIRROR, World


def deal_on_an_account(world: World) -> str:
    """Let an account of the customer be heard of, with a rep's deal on it."""
    theirs = reps_deal(world)
    world.orgs[HOME].edit("Deal", theirs, {"Account": account_of(world, SPAETH)}, "rep")
    return theirs


def hide_a_canary(world: World, connection: ConnectionName) -> None:
    """Let a CRM be one that cannot be read completely."""
    org = world.orgs[connection]
    (canary,) = [r for r in org.records("Account") if r.fields["Tax"] == "DE900001"]
    org.edit("Account", canary.record_id, {"Direct": False})


def test_a_check_that_ends_between_the_plan_and_the_create_is_heeded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world.approved(customer=SPAETH)
    theirs: list[str] = []

    def check() -> None:
        theirs.append(deal_on_an_account(world))
        checking.drain(world.runtime)
        assert HOME in world.registration(made.id).accounts

    once_looked(world, monkeypatch, check)
    push.drain(world.runtime, HOME)
    world.settle()
    assert len(theirs) == 1
    assert world.deals(HOME) == theirs


def test_an_account_heard_of_while_a_create_without_effect_has_no_answer_is_heeded(
    world: World,
) -> None:
    made = world.approved(customer=SPAETH)
    world.doors[HOME].fail(MemoryFault.UNAVAILABLE, "create")
    push.drain(world.runtime, HOME)
    assert world.deals(HOME) == []
    world.pass_time(60)
    theirs = deal_on_an_account(world)
    world.poll()
    checking.drain(world.runtime)
    assert not world.last_check(made.id).incomplete
    assert world.last_check(made.id).accounts[HOME]
    push.drain(world.runtime, HOME)
    world.settle()
    assert world.deals(HOME) == [theirs]


def test_an_account_that_the_repeat_of_an_incomplete_check_finds_is_taken(world: World) -> None:
    made = world.approved(customer=SPAETH)
    hide_a_canary(world, MIRROR)
    world.pass_time(5)
    assert checking.check_now(world.runtime, made.number).incomplete
    account = account_of(world, SPAETH)
    world.pass_time(5)
    check = checking.check_now(world.runtime, made.number)
    assert check.incomplete
    assert check.accounts[HOME] == account
    world.pass_time(0.5)
    push.drain(world.runtime, HOME)
    for _ in range(3):
        world.pass_time(2)
        push.drain(world.runtime, HOME)
    assert world.registration(made.id).accounts.get(HOME) == account


def test_nothing_is_made_in_the_gap_between_two_incomplete_checks(world: World) -> None:
    world.approved(customer=SPAETH)
    hide_a_canary(world, HOME)
    theirs = deal_on_an_account(world)
    push.drain(world.runtime, HOME)
    assert world.deals(HOME) == [theirs]
    world.pass_time(2.5)
    checking.drain(world.runtime)  # incomplete: again in a second
    push.drain(world.runtime, HOME)
    assert world.deals(HOME) == [theirs]


def test_a_create_that_waits_for_its_check_uses_up_no_cap(world: World) -> None:
    limits = {HOME: Limits(**(NONE | {"creates_per_hour": 5}))}
    world.runtime = replace(world.runtime, limits=limits)
    world.approved(customer=SPAETH)
    account_of(world, SPAETH)
    for _ in range(8):  # the check takes 20 seconds
        push.drain(world.runtime, HOME)
        world.pass_time(2.5)
    checking.drain(world.runtime)
    world.settle()
    assert len(world.deals(HOME)) == 1
