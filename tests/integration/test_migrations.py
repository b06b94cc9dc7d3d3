"""Migrations: they make what the table classes say, take it away again, and guard the trail."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, column, create_engine, insert, inspect, text
from sqlalchemy import table as table_of
from sqlalchemy.exc import DatabaseError

from registration_core.model import LIST_FILE
from registration_core.program import ListKind
from registration_core.store import account_lists, audit
from registration_core.store.database import Database
from registration_core.store.tables import Base
from tests.factories import NOW, add_partners
from tests.stores import alembic_config


@contextmanager
def _migrations(url: str) -> Iterator[Config]:
    settings = alembic_config(url)
    engine = create_engine(url)
    with engine.begin() as connection:
        settings.attributes["connection"] = connection
        yield settings
    engine.dispose()


def _tables(url: str) -> set[str]:
    engine = create_engine(url)
    with engine.connect() as connection:
        names = set(inspect(connection).get_table_names())
    engine.dispose()
    return names - {"alembic_version"}


def test_migrations_make_every_table_and_nothing_else(migrated_url: str) -> None:
    assert _tables(migrated_url) == set(Base.metadata.tables)


def test_migrations_and_table_classes_agree(migrated_url: str) -> None:
    with _migrations(migrated_url) as settings:
        command.check(settings)


def test_migrations_go_down_to_nothing_and_up_again(migrated_url: str) -> None:
    with _migrations(migrated_url) as settings:
        command.downgrade(settings, "base")
    assert _tables(migrated_url) == set()
    with _migrations(migrated_url) as settings:
        command.upgrade(settings, "head")
        command.check(settings)
    assert _tables(migrated_url) == set(Base.metadata.tables)


def test_a_new_store_has_its_one_lock_and_has_received_nothing(database: Database) -> None:
    with database.read() as session:
        rows = session.execute(text("SELECT name, receipt_seq FROM store_lock")).all()
    assert [tuple(row) for row in rows] == [("protection", 0)]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_event SET action = 'x'",
        "DELETE FROM audit_event",
        "UPDATE audit_checkpoint SET hash = 'x'",
        "DELETE FROM audit_checkpoint",
    ],
)
def test_the_audit_trail_cannot_be_changed_or_deleted(database: Database, statement: str) -> None:
    add_partners(database, "P1")
    with database.begin() as unit:
        audit.checkpoint(unit)
    with pytest.raises(DatabaseError, match="is append-only"), database.begin() as unit:
        unit.session.execute(text(statement))
    with database.read() as session:
        assert audit.verify(session) == (1, [])


def test_the_audit_trail_cannot_be_emptied_at_once(migrated_postgres_url: str) -> None:
    engine = create_engine(migrated_postgres_url)
    for table in ("audit_event", "audit_checkpoint"):
        with pytest.raises(DatabaseError, match="is append-only"), engine.begin() as connection:
            connection.execute(text(f"TRUNCATE {table}"))
    engine.dispose()


#: The first versions made the tables anew, before anybody had any.
_FIRST_KEPT = "0003"


def test_no_version_takes_away_what_the_one_before_reads_or_needs(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'store.db'}")
    settings = alembic_config("")
    before: dict[tuple[str, str], bool] = {}
    with engine.begin() as connection:
        settings.attributes["connection"] = connection
        for version in _versions():
            command.upgrade(settings, version)
            after = _columns(connection)
            if before and version > _FIRST_KEPT:
                tables = {table for table, _ in before}
                needed = {c for c, may_be_left_out in after.items() if not may_be_left_out}
                fresh = {c for c in needed if c[0] in tables and before.get(c, True)}
                assert (before.keys() - after.keys(), fresh) == (set(), set()), version
            before = after
    engine.dispose()


def _versions() -> list[str]:
    scripts = ScriptDirectory.from_config(alembic_config(""))
    return sorted(script.revision for script in scripts.walk_revisions())


def _columns(connection: Connection) -> dict[tuple[str, str], bool]:
    """Return every column, and whether a program that does not know it may leave it out."""
    rows = connection.execute(
        text(
            'SELECT m.name, c.name, NOT c."notnull" OR c.dflt_value IS NOT NULL '
            "FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table'"
        )
    )
    return {(table, name): bool(may) for table, name, may in rows}


def test_accounts_that_were_on_a_list_of_a_crm_get_their_entry_and_those_of_files_keep_theirs(
    migrated_url: str,
) -> None:
    account = {
        "connection": "salesforce", "record_id": "001A", "object": "Account", "name": "Kestrel",
        "country": "US", "city": "", "domain": "kestrel.example", "tax_id": "84-1", "duns": "",
        "owner": "", "lists": '["direct", "house"]', "read_at": NOW, "postcode": "", "phone": "",
        "parent": "", "ref": 1, "aliases": "", "other_domains": "",
    }  # fmt: skip
    unlisted = account | {"record_id": "001B", "lists": "[]", "ref": 2}
    entry = {
        "id": "e1", "kind": "house", "customer": '{"name": "Pipit", "country": "GB"}', "owner": "",
        "reason": "moved", "valid_from": NOW.date(), "notice_days": 0, "source": "list.csv",
        "added_at": NOW, "added_by": "ann", "ended_by": "",
    }  # fmt: skip
    with _migrations(migrated_url) as settings:
        command.downgrade(settings, "0038")
    engine = create_engine(migrated_url)
    with engine.begin() as connection:
        for table, row in (
            ("account", account), ("account", unlisted), ("account_list_entry", entry),
        ):  # fmt: skip
            connection.execute(insert(table_of(table, *map(column, row))).values(row))
    with _migrations(migrated_url) as settings:
        command.upgrade(settings, "head")
    database = Database(migrated_url, lambda: NOW, random.Random(1))
    with database.read() as session:
        found = account_lists.history(session, ListKind.HOUSE, ended=True)
        assert {(row["connection"], row["record_id"], row["valid_from"]) for row in found} == {
            ("salesforce", "001A", None), (LIST_FILE, "e1", NOW.date()),
        }  # fmt: skip
        (direct,) = account_lists.history(session, ListKind.DIRECT, ended=True)
        assert (direct["name"], direct["website"]) == ("Kestrel", "kestrel.example")
    database.close()
    with _migrations(migrated_url) as settings:
        command.downgrade(settings, "0038")
    with engine.connect() as connection:
        left = connection.execute(text("SELECT id, reason FROM account_list_entry")).all()
    engine.dispose()
    assert [tuple(row) for row in left] == [("e1", "moved")]
