"""Accounts are read as the mapping and the lists say today, those that were read before as well."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import func, select, update

from connectors.errors import CrmUnavailable
from connectors.memory import MemoryConnector, MemoryFault
from registration_core.contracts import Condition, Value
from registration_core.model import Account
from registration_core.program import ListKind
from registration_core.store import repository
from registration_core.store.tables import AccountRow
from sync.accounts import directory
from sync.ledger.tables import CursorRow
from sync.process.runtime import Runtime
from tests.world import HOME, World


def add(world: World, name: str, **values: Value) -> str:
    """Add an account to the home CRM."""
    return world.orgs[HOME].add("Account", {"Name": name, "Country": "DE", **values}, "rep")


def with_aliases(runtime: Runtime) -> Runtime:
    """Map one more field of accounts, which the CRM has kept all along."""
    mapping = runtime.mappings[HOME]
    accounts = replace(mapping.accounts, fields={**mapping.accounts.fields, "aliases": "Key"})
    return replace(
        runtime, mappings={**runtime.mappings, HOME: replace(mapping, accounts=accounts)}
    )


def known(world: World, record_id: str) -> Account:
    """Return an account as the directory has it."""
    with world.database.read() as session:
        found = repository.account(session, HOME, record_id)
    assert found is not None
    return found


def count(world: World) -> int:
    """Return how many accounts of the home CRM the directory has."""
    here = select(func.count()).select_from(AccountRow).where(AccountRow.connection == HOME)
    with world.database.read() as session:
        return session.scalar(here) or 0


def pages_read(world: World, runtime: Runtime) -> int:
    """Bring the directory up to date; returns how many pages that took."""
    before = world.doors[HOME].calls["changes"]
    assert directory.refresh(runtime, HOME).complete
    return world.doors[HOME].calls["changes"] - before


def test_a_field_that_is_mapped_later_is_filled_for_accounts_that_are_known_already(
    world: World,
) -> None:
    record_id = add(world, "Kestrel", Key="Kestrel Avionics")
    directory.refresh(world.runtime, HOME)
    assert known(world, record_id).aliases == ""
    directory.refresh(with_aliases(world.runtime), HOME)
    assert known(world, record_id).aliases == "Kestrel Avionics"


def test_accounts_are_read_anew_once(world: World) -> None:
    add(world, "Kestrel")
    directory.refresh(world.runtime, HOME)
    assert pages_read(world, world.runtime) == 1
    changed = with_aliases(world.runtime)
    assert pages_read(world, changed) == 2  # what is new since the last look, and then all
    assert pages_read(world, changed) == 1


def test_a_list_that_is_read_by_another_predicate_marks_accounts_that_are_known_already(
    world: World,
) -> None:
    record_id = add(world, "Kestrel", City="Bern")
    directory.refresh(world.runtime, HOME)
    ((name, rules),) = world.runtime.programs.items()
    by_city = tuple(
        replace(rule, where=(Condition("City", ("Bern",)),))
        if rule.kind is ListKind.HOUSE
        else rule
        for rule in rules.lists
    )
    changed = replace(world.runtime, programs={name: replace(rules, lists=by_city)})
    directory.refresh(changed, HOME)
    assert known(world, record_id).lists == {ListKind.HOUSE}


def test_accounts_that_were_read_before_anybody_noted_how_are_read_anew(world: World) -> None:
    directory.refresh(world.runtime, HOME)
    with world.database.begin() as unit:
        unit.session.execute(update(CursorRow).values(read_as=None))
    assert pages_read(world, world.runtime) == 2
    assert pages_read(world, world.runtime) == 1


def test_what_was_merged_since_the_last_look_is_followed_before_all_is_read_anew(
    world: World,
) -> None:
    made = world.approved()
    world.settle()
    winner = add(world, "Kestrel")
    world.orgs[HOME].merge("Account", made.accounts[HOME], winner, "admin")
    directory.refresh(with_aliases(world.runtime), HOME)
    assert world.registration(made.id).accounts[HOME] == winner


def test_reading_anew_that_is_cut_off_goes_on_and_the_directory_is_never_empty(
    world: World,
) -> None:
    ids = [add(world, f"Kestrel {number}", Key=f"K{number}") for number in range(250)]
    directory.refresh(world.runtime, HOME)
    everything = count(world)
    changed = with_aliases(world.runtime)
    left = iter(range(2))  # calls that still go well

    def cut_off(operation: str) -> None:
        if operation == "changes" and next(left, None) is None:
            world.doors[HOME].fail(MemoryFault.UNAVAILABLE)

    door: MemoryConnector = world.doors[HOME]
    door.on_call = cut_off
    with pytest.raises(CrmUnavailable):
        directory.refresh(changed, HOME)
    assert count(world) == everything
    assert (known(world, ids[0]).aliases, known(world, ids[-1]).aliases) == ("K0", "")
    door.on_call = None
    door.recover()
    world.pass_time(60)
    assert pages_read(world, changed) == 2  # the first of three pages is not read again
    assert known(world, ids[-1]).aliases == "K249"
    assert count(world) == everything
