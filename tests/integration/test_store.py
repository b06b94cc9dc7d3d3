"""The store's transactions and columns, the same on both databases."""

from __future__ import annotations

import gc
import json
import random
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import DBAPIError, StatementError

from registration_core.contracts import ConnectionName, Fields
from registration_core.errors import NotFound
from registration_core.fields import SalesStage
from registration_core.findings import FindingKind
from registration_core.matching import Organisation
from registration_core.model import (
    Band,
    Finding,
    Reading,
    Registration,
)
from registration_core.program import ListKind
from registration_core.store import match_index, repository
from registration_core.store.database import Database, StoreUnavailable
from registration_core.store.tables import PartnerRow, RegistrationRow
from tests import factories
from tests.factories import (
    DYNAMICS,
    HUBSPOT,
    NOW,
    SALESFORCE,
    Clock,
    add_partners,
    check,
    customer,
    stored,
    submit,
)

EVERYTHING: Fields = {
    "amount": Decimal("1E+3"),
    "loss": Decimal("-0.0001"),
    "start": date(2031, 3, 4),
    "seen": datetime(2031, 3, 4, 15, 0, 0, 123456, timezone(timedelta(hours=5, minutes=30))),
    "name": "Łódź é 鷗 \u0000",
    "regions": ("apac", "emea"),
    "renewal": False,
    "empty": None,
}


@pytest.fixture
def made(database: Database) -> Registration:
    add_partners(database, "P1")
    return submit(database)


def _save(database: Database, changed: Registration) -> Registration:
    with database.begin() as unit:
        return repository.save(unit.session, changed, unit.now)


def test_a_registration_comes_back_as_it_was_saved(database: Database, made: Registration) -> None:
    full = replace(
        made,
        sales_stage=SalesStage.WON,
        amount=Decimal("1E+9"),
        won_amount=Decimal("-12.3400"),
        reason_code="DUP_SELF",
        partner_message="Zażółć",
        decided_at=datetime(2031, 3, 4, 10, 0, tzinfo=timezone(timedelta(hours=1))),
        protection_starts_on=date(2031, 3, 4),
        protection_ends_on=date(2031, 6, 2),
        converted_at=NOW,
        actual_close_on=date(2031, 5, 1),
        loss_reason="price",
        accounts={SALESFORCE: "001A"},
        owners={SALESFORCE: "005R", ConnectionName("other"): "7"},
        custom=EVERYTHING,
    )
    saved = _save(database, full)
    held = stored(database, made)
    assert held == saved == replace(full, version=2, updated_at=NOW)
    assert (str(held.amount), str(held.won_amount)) == ("1000000000", "-12.34")
    assert held.decided_at is not None
    assert held.decided_at.utcoffset() == timedelta(0)
    assert {n: type(v) for n, v in held.custom.items()} == {
        n: type(v) for n, v in EVERYTHING.items()
    }


@pytest.mark.parametrize(
    "values",
    [
        {"submitted_at": datetime(2031, 3, 4)},  # noqa: DTZ001 - naive is the point
        {"amount": Decimal("1.23456")},
        {"amount": Decimal("NaN")},
        {"amount": Decimal("1e14")},
        {"custom": {"t": datetime(2031, 3, 4)}},  # noqa: DTZ001
    ],
)
def test_a_value_that_one_of_the_stores_would_change_is_refused_by_both(
    database: Database, made: Registration, values: dict[str, object]
) -> None:
    with pytest.raises(StatementError), database.begin() as unit:
        unit.session.execute(update(RegistrationRow).values(**values))
    assert stored(database, made) == made


def test_a_check_comes_back_as_it_was_kept_and_the_newest_one_counts(
    database: Database, made: Registration
) -> None:
    finding = Finding(
        FindingKind.HOUSE_ACCOUNT, Band.STRONG, ("duns", "tax_id"), "on the list", HUBSPOT, "7",
        None, "house-desk", {"account": "Gold"},
    )  # fmt: skip
    readings = (
        Reading(SALESFORCE, True, NOW),
        Reading(DYNAMICS, False, None, "login refused", overridable=True),
    )
    kept = check(made, [finding], id="c2", readings=readings, accounts={SALESFORCE: "001A"})
    with database.begin() as unit:
        assert repository.last_check(unit.session, made.id) is None
        repository.add_check(unit.session, kept)
        repository.add_check(unit.session, check(made, at=NOW - timedelta(1), id="c1"))
    with database.read() as session:
        assert repository.last_check(session, made.id) == kept


def test_the_newest_complete_check_is_found_and_leaves_no_cursor_open(
    database: Database, made: Registration
) -> None:
    unread = (Reading(SALESFORCE, False, None, "away"),)
    with database.begin() as unit:
        for minutes in range(15):
            at = NOW - timedelta(minutes=minutes)
            each = check(made, at=at, id=f"c{minutes}")
            repository.add_check(
                unit.session, replace(each, readings=unread) if minutes < 2 else each
            )
    with database.read() as session:
        found = repository.last_counting_check(session, made.id)
        gc.collect()  # a cursor that was left open says so now, and the test fails
    assert found is not None
    assert found.id == "c2"


def test_an_account_is_found_by_its_keys_until_they_change_or_it_is_gone(
    database: Database,
) -> None:
    first = factories.account(tax_id="84-1190277", lists=frozenset(ListKind))
    moved = replace(first, tax_id="99-1", domain="", lists=frozenset())
    wanted = Organisation("Somebody Else", tax_id="841190277", website="avocet.example")
    with database.begin() as unit:
        repository.put_accounts(unit.session, [first, replace(first, connection=HUBSPOT)])
        repository.put_accounts(unit.session, [first])
        found = match_index.likely_accounts(unit.session, wanted)
        assert sorted(a.connection for a in found) == [HUBSPOT, SALESFORCE]
        assert first in found
        repository.put_accounts(unit.session, [moved])
        repository.drop_account(unit.session, HUBSPOT, "001A")
    with database.read() as session:
        assert match_index.likely_accounts(session, wanted) == []
        assert repository.account(session, SALESFORCE, "001A") == moved
        assert repository.account(session, HUBSPOT, "001A") is None


def test_a_registration_is_found_by_id_or_number_in_any_case(
    database: Database, made: Registration
) -> None:
    with database.read() as session:
        assert repository.registration(session, made.number.lower()) == made
        with pytest.raises(NotFound) as missing:
            repository.registration(session, "DR-NONE")
        assert "dealreg registration list" in missing.value.hint
        with pytest.raises(NotFound, match="There is no partner P9"):
            repository.partner(session, "P9")
        with pytest.raises(NotFound):
            repository.partner_by_id(session, "none")


def test_a_transaction_that_fails_leaves_nothing_behind_and_nudges_nobody(
    database: Database,
) -> None:
    nudged: list[set[str]] = []
    database.on_work = nudged.append
    with pytest.raises(RuntimeError):
        _add_partner_and_fail(database)
    with database.read() as session:
        assert repository.partners(session) == []
    assert nudged == []


def _add_partner_and_fail(database: Database) -> None:
    with database.begin() as unit:
        unit.session.add(
            PartnerRow(id="p", code="P", name="", tier="", email="", active=True, created_at=NOW)
        )
        unit.session.flush()
        unit.nudges.add("check")
        raise RuntimeError


def test_a_nudge_comes_after_its_commit(database: Database) -> None:
    seen: list[tuple[set[str], int]] = []

    def look(kinds: set[str]) -> None:
        with database.read() as session:
            seen.append((kinds, len(repository.registrations(session))))

    add_partners(database, "P1")
    database.on_work = look
    submit(database)
    assert seen == [({"check"}, 1)]


def test_a_read_sees_one_state_while_others_write(database: Database, made: Registration) -> None:
    with database.read() as session:
        before = repository.registration(session, made.id).version
        _save(database, made)
        session.expire_all()
        assert repository.registration(session, made.id).version == before
    assert stored(database, made).version == before + 1


def test_a_write_in_a_read_is_an_error_and_the_next_transaction_may_write(
    database: Database, made: Registration
) -> None:
    with pytest.raises(DBAPIError), database.read() as session:
        session.execute(text("UPDATE registration SET description = 'x'"))
    _save(database, replace(made, description="y"))
    assert stored(database, made).description == "y"


def test_no_crm_is_called_while_a_transaction_is_open(database: Database) -> None:
    database.require_no_transaction("a read of salesforce")
    with database.begin(), pytest.raises(AssertionError, match="during a read of salesforce"):
        database.require_no_transaction("a read of salesforce")
    with database.read(), pytest.raises(AssertionError):
        database.require_no_transaction("a read of salesforce")
    with pytest.raises(RuntimeError), database.begin():
        raise RuntimeError
    database.require_no_transaction("a read of salesforce")


def test_a_commit_of_another_process_is_noticed(
    sqlite_database: Database, migrated_sqlite_url: str
) -> None:
    before = sqlite_database.changed()
    assert sqlite_database.changed() == before
    path = migrated_sqlite_url.removeprefix("sqlite:///")
    code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute("
    code += "'UPDATE store_lock SET receipt_seq = 5'); c.commit()"
    subprocess.run([sys.executable, "-c", code, path], check=True)
    after = sqlite_database.changed()
    assert after != before
    assert sqlite_database.changed() == after


def test_postgres_has_no_number_that_moves(migrated_postgres_url: str) -> None:
    store = Database(migrated_postgres_url, Clock(), random.Random(1))
    assert store.changed() == 0
    store.close()


@pytest.mark.parametrize(
    "url", ["sqlite:////no/such/folder/dealreg.sqlite3", "postgresql://x@/x?host=/no/such/folder"]
)
def test_a_store_that_cannot_be_reached_says_so(url: str) -> None:
    store = Database(url, Clock(), random.Random(1))
    with pytest.raises(StoreUnavailable) as told:
        store.ping()
    assert "DEALREG_DATABASE_URL" in told.value.hint
    store.close()


def test_a_store_without_tables_is_not_called_unreachable(tmp_path: Path) -> None:
    store = Database(
        f"sqlite:///{tmp_path / 'new.sqlite3'}", lambda: datetime.now(UTC), random.Random(1)
    )
    store.ping()
    with pytest.raises(DBAPIError, match="no such table"), store.read() as session:
        session.execute(text("SELECT 1 FROM connection_state"))
    store.close()


def test_a_customer_is_kept_so_that_two_versions_of_the_program_can_read_it(
    database: Database,
) -> None:
    add_partners(database, "P1")
    made = submit(database)
    column = text("SELECT customer FROM registration")
    with database.read() as session:
        kept = json.loads(session.scalar(column))
    assert kept == {
        "name": "Avocet Biosciences Inc.", "country": "US", "website": "avocet.example",
    }  # fmt: skip
    told = kept | {"email_domain": "", "said by a later version": "x", "aliases": ["ABL"]}
    with database.begin() as unit:
        unit.session.execute(text("UPDATE registration SET customer = :c"), {"c": json.dumps(told)})
    assert stored(database, made).customer == customer(aliases=("ABL",))
