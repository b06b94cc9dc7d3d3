"""The account directory is compared with a CRM's accounts, and mended on the way."""

from __future__ import annotations

import pytest

from sync.repair import comparing, comparing_accounts, drift
from sync.repair.drift import ACCOUNTS
from tests.integration.sync.test_drift import compare, told
from tests.world import ANN, HOME, World


def test_the_account_directory_is_mended_by_its_comparison(world: World) -> None:
    world.approved()
    org = world.orgs[HOME]
    by_tax = {record.fields["Tax"]: record.record_id for record in org.records("Account")}
    org.edit("Account", by_tax["DE100"], {"City": "Kiel"}, "rep")
    org.add("Account", {"Name": "Unseen GmbH", "Country": "DE", "Tax": "DE555"})
    org.remove("Account", by_tax["DE900001"])
    run = compare(world, ACCOUNTS)
    assert told(run) == {
        ("", "missing here", "pull", 1),
        ("city", "remote edit not taken", "pull", 1),
        ("", "deleted", "pull", 1),
    }
    assert compare(world, ACCOUNTS).tally == ()


def test_accounts_that_vanish_in_a_mass_are_not_believed(world: World) -> None:
    for number in range(20):
        world.orgs[HOME].add("Account", {"Name": f"Name {number}", "Country": "DE"})
    world.approved()
    for record in world.orgs[HOME].records("Account"):
        world.orgs[HOME].remove("Account", record.record_id)
    assert told(compare(world, ACCOUNTS)) == {("", "many vanished at once", "wait", 24)}


@pytest.mark.parametrize("tombstones", [False, True])
def test_accounts_that_vanish_in_a_mass_are_kept_on_every_page(
    world: World, monkeypatch: pytest.MonkeyPatch, *, tombstones: bool
) -> None:
    monkeypatch.setattr(comparing_accounts, "PAGE", 11)  # two pages over the limit, and a tail
    for number in range(20):
        world.orgs[HOME].add("Account", {"Name": f"Name {number}", "Country": "DE"})
    world.approved()
    drift.begin(world.runtime, HOME, ACCOUNTS, ANN)
    if tombstones:  # they vanish while the feed is walked: it goes on with all of them
        page = world.doors[HOME].changes("Account", ["Name"], None)
        with world.database.begin() as unit:
            run = drift.running(unit.session, HOME, ACCOUNTS)
            assert run is not None
            run.cursor = comparing_accounts.FEED + page.cursor
    for record in world.orgs[HOME].records("Account"):
        world.orgs[HOME].remove("Account", record.record_id)

    finished = comparing.advance(world.runtime, HOME, ACCOUNTS)

    assert told(finished) == {("", "many vanished at once", "wait", 24)}
    with world.database.read() as session:
        assert comparing.to_compare(session, HOME, ACCOUNTS) == 24
