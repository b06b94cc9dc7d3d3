"""Alembic's entry: every table of the program hangs on one metadata."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

# Each adds its tables to the metadata, which is what the migrations are held against.
import registration_core.store.account_lists  # noqa: F401 - and of the merges that it asks for
import sync.ledger.drift
import sync.ledger.gates
import sync.ledger.mappings
import sync.ledger.stamps
import sync.ledger.tables  # noqa: F401
from registration_core.store.tables import Base


def run() -> None:
    """Run migrations on the connection that the caller passes, or on `sqlalchemy.url`."""
    given = context.config.attributes.get("connection")
    if given is not None:
        _migrate(given)
        return
    url = context.config.get_main_option("sqlalchemy.url")
    if not url:
        raise SystemExit("Type: dealreg db upgrade (it passes the database).")
    with create_engine(url, poolclass=NullPool).begin() as connection:
        _migrate(connection)


def _migrate(connection: object) -> None:
    context.configure(
        connection=connection,  # type: ignore[arg-type]
        target_metadata=Base.metadata,
        render_as_batch=True,
        compare_type=True,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
