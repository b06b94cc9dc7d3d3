"""Match keys made anew: everything is found again, and checks wait until it is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import delete, select, update

from registration_core.matching import Organisation, blocking
from registration_core.store import match_index, match_upkeep, repository
from registration_core.store.database import Database
from registration_core.store.rivals import rivals_of
from registration_core.store.tables import MatchKeyCountRow, MatchKeyRow, RegistrationKeyRow
from tests.factories import HUBSPOT, account, add_partners, customer, submit

WANTED = Organisation("Avocet Biosciences", country="US")


def _found(database: Database) -> tuple[list[str], list[str]]:
    with database.read() as session:
        accounts = match_index.likely_accounts(session, WANTED)
        rivals = rivals_of(session, WANTED)
    return sorted(a.connection for a in accounts), [r.registration.number for r in rivals]


def _keys(database: Database) -> list[tuple[int, ...]]:
    with database.read() as session:
        tables = (MatchKeyRow.key, MatchKeyRow.account_ref), (
            RegistrationKeyRow.key, RegistrationKeyRow.receipt_seq
        )  # fmt: skip
        return sorted(tuple(row) for columns in tables for row in session.execute(select(*columns)))


def test_keys_made_anew_are_those_that_were_kept_with_every_change(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(match_upkeep, "RUN", 400)
    add_partners(database, "P1")
    made = submit(database, customer=customer(website=""))
    many = [account(record_id=f"{n:05d}", name=f"Plover {n} Ltd", domain="") for n in range(900)]
    with database.begin() as unit:
        repository.put_accounts(unit.session, [account(), account(connection=HUBSPOT), *many])
    kept, found = _keys(database), _found(database)
    assert found == (["hubspot", "salesforce"], [made.number])
    with database.begin() as unit:
        unit.session.execute(delete(MatchKeyRow))
        unit.session.execute(update(RegistrationKeyRow).values(key=RegistrationKeyRow.key + 1))
    assert _found(database) == ([], [])
    told: list[tuple[int, int]] = []
    assert match_upkeep.rebuild(database, lambda *at: told.append(at)) == len(many) + 2
    assert (_keys(database), _found(database)) == (kept, found)
    assert told[-1] == (len(many) + 2, len(many) + 2)


def test_the_index_is_not_reliable_until_it_was_made_anew_to_the_end(database: Database) -> None:
    with database.begin() as unit:
        repository.put_accounts(unit.session, [account()])
    heard: list[bool] = []

    def look(_done: int, _total: int) -> None:
        with database.read() as session:
            heard.append(match_index.reliable(session))

    match_upkeep.rebuild(database, look)
    match_upkeep.rebuild(database, look)
    with database.read() as session:
        assert (heard, match_index.reliable(session)) == ([False, False], True)


def test_an_account_that_changes_meanwhile_keeps_its_new_keys_only(database: Database) -> None:
    first, second = account(record_id="1"), account(record_id="2", connection=HUBSPOT)
    renamed = replace(first, name="Harrier Dairy Ltd", domain="")
    with database.begin() as unit:
        repository.put_accounts(unit.session, [first, second])

    def rename(_done: int, _total: int) -> None:
        with database.begin() as unit:
            repository.put_accounts(unit.session, [renamed, replace(second, name="Harrier Ltd")])

    match_upkeep.rebuild(database, rename)
    kept = _keys(database)
    match_upkeep.rebuild(database, lambda *_: None)
    assert _keys(database) == kept


def test_frequent_keys_are_counted_and_the_mark_of_an_unreliable_index_stays(
    database: Database,
) -> None:
    many = [
        account(record_id=f"{n:05d}", name=f"Plover {n} Ltd", domain="")
        for n in range(match_upkeep._COUNTED_MIN)
    ]
    with database.begin() as unit:
        repository.put_accounts(unit.session, [*many, account()])
        unit.session.add(MatchKeyCountRow(key=match_index.UNRELIABLE, accounts=0))
    assert match_upkeep.recount(database) > 0
    with database.read() as session:
        counts = {row.key: row.accounts for row in session.scalars(select(MatchKeyCountRow))}
    assert counts[blocking.digest("word:plover")] == len(many)
    assert counts[match_index.TOTAL] == len(many) + 1
    assert match_index.UNRELIABLE in counts
    assert match_upkeep.recount(database) == len(counts) - 2


def test_an_account_that_changes_while_its_keys_are_made_has_its_new_keys_only(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    renamed = account(name="Harrier Dairy Ltd", domain="")
    with database.begin() as unit:
        repository.put_accounts(unit.session, [account()])
    make = blocking.digests_of

    def meanwhile(organisation: Organisation) -> set[int]:
        monkeypatch.setattr(match_upkeep, "digests_of", make)
        with database.begin() as unit:
            repository.put_accounts(unit.session, [renamed])
        return make(organisation)

    monkeypatch.setattr(match_upkeep, "digests_of", meanwhile)
    match_upkeep.rebuild(database, lambda *_: None)
    kept = _keys(database)
    match_upkeep.rebuild(database, lambda *_: None)
    assert _keys(database) == kept


@pytest.mark.parametrize("counted", [0, 5])
def test_an_equal_name_is_found_in_a_directory_that_was_counted_before_it_was_filled(
    database: Database, counted: int
) -> None:
    """As on the first day of every installation: the clock counts once a day."""
    few = [account(record_id=f"a{n}", name=f"Harrier {n}", domain="") for n in range(counted)]
    crowd = [
        account(record_id=f"b{n}", name=f"{'ABCDEFGH'[n % 8] * 3}ester {n} Biosciences", domain="")
        for n in range(blocking.CANDIDATES_MAX * 2)
    ]
    with database.begin() as unit:
        repository.put_accounts(unit.session, few)
    match_upkeep.recount(database)
    alike = [account(record_id=f"c{n}", domain="") for n in range(6)]
    with database.begin() as unit:
        repository.put_accounts(unit.session, [*crowd, *alike])
    with database.read() as session:
        found = match_index.likely_accounts(session, WANTED)
    assert {each.record_id for each in alike} <= {each.record_id for each in found}
