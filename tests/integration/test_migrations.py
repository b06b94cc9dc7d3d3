"""Migrations: they make what the table classes say, take it away again, and guard the trail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.exc import DatabaseError

from registration_core.store import audit
from registration_core.store.database import Database
from registration_core.store.tables import Base
from tests.factories import add_partners
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
