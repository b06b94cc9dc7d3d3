"""The store's engine and its transactions, the same on SQLite and PostgreSQL.

SQLite: WAL, `synchronous=FULL`, and every write transaction is `BEGIN IMMEDIATE`, so that a
committed row survives a power cut and two processes never write over each other.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ARRAY, Text, cast, create_engine, event, func, inspect, select, text, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from registration_core.errors import DealregError
from registration_core.ids import Ids
from registration_core.model import SYSTEM, Actor

Row = TypeVar("Row")

#: What makes a transaction read one state and nothing else, by database.
_READING: dict[str, dict[str, Any]] = {
    "sqlite": {"sqlite_begin": "DEFERRED"},
    "postgresql": {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
}


class StoreUnavailable(DealregError):
    """The store's database cannot be reached."""

    code = "store_unavailable"


@dataclass
class UnitOfWork:
    """One write transaction: its session, who acts, and the one time that all of it happens at."""

    session: Session
    actor: Actor
    now: datetime
    ids: Ids
    #: Kinds of work that this commit makes due, for example `push:salesforce`.
    nudges: set[str] = field(default_factory=set)
    #: Last place and hash of the audit chains that `audit.hold` holds until the commit.
    chains: dict[str, tuple[int, str]] = field(default_factory=dict)
    _held: dict[tuple[type[Any], Any], Any] = field(default_factory=dict)

    def lock(self, table: type[Row], key: Any) -> Row | None:
        """Return a row as it is now, held until the commit; None if there is none.

        No query for a row that is held already.
        """
        held: Row | None = self._held.get((table, key))
        if held is not None:
            return held
        row = self.session.get(table, key, with_for_update=True, populate_existing=True)
        # Rolling a savepoint back would let go of what was taken in it.
        if row is not None and not self.session.in_nested_transaction():
            self._held[table, key] = row
        return row

    def lock_all(self, table: type[Row], keys: Iterable[Any]) -> None:
        """Hold many rows with one query, in the order that Python sorts their text keys in.

        Outside of savepoints only: rolling one back would let go of what was taken in it.
        """
        columns = inspect(table).primary_key
        wanted = [key if isinstance(key, tuple) else (key,) for key in keys]
        postgres = self.session.get_bind().dialect.name == "postgresql"
        rows = self.session.scalars(
            select(table)
            .where(tuple_(*columns).in_(wanted))
            .order_by(*(column.collate("C") if postgres else column for column in columns))
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        for row in rows:
            identity = inspect(row).identity
            self._held[table, identity if len(identity) > 1 else identity[0]] = row

    def insert_new(self, table: type[Any], rows: Sequence[Mapping[str, Any]]) -> int:
        """Insert those rows of which no key is taken, and return how many; all columns are named.

        Of two who insert the same at once, the other waits for the commit and inserts nothing.
        """
        if not rows:
            return 0
        self.session.flush()  # what the rows refer to
        postgres = self.session.get_bind().dialect.name == "postgresql"
        insert = (postgresql.insert if postgres else sqlite.insert)(table).values(rows)
        key = inspect(table).primary_key
        return len(self.session.execute(insert.on_conflict_do_nothing().returning(*key)).all())

    def hold(self, *names: str) -> None:
        """Keep others who hold one of these names out until the commit; needs no rows."""
        if self.session.get_bind().dialect.name == "postgresql":  # SQLite has one writer at a time
            name = func.unnest(cast(sorted(names), ARRAY(Text))).column_valued("name")
            self.session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))


class Database:
    """Engine, transactions, and the proof that none is open while a CRM is called."""

    def __init__(
        self, url: str, clock: Callable[[], datetime], rng: random.Random, pool_size: int = 10
    ) -> None:
        self.url = url
        self.clock = clock
        self.ids = Ids(clock, rng)
        self.engine = _engine(url, pool_size)
        #: Called after a commit with the kinds of work it made due.
        self.on_work: Callable[[set[str]], None] = lambda kinds: None
        self._open = threading.local()

    @contextmanager
    def begin(self, actor: Actor = SYSTEM) -> Iterator[UnitOfWork]:
        """Open a write transaction; commits at the end, rolls back on any exception."""
        with (
            self._counted(),
            _told(),
            Session(self.engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            unit = UnitOfWork(session, actor, self.clock(), self.ids)
            yield unit
        if unit.nudges:
            self.on_work(unit.nudges)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a read transaction on one consistent state; a write in it is an error."""
        options = _READING[self.engine.dialect.name]
        with (
            self._counted(),
            _told(),
            self.engine.connect().execution_options(**options) as connection,
            Session(connection, expire_on_commit=False, autoflush=False) as session,
        ):
            yield session

    def require_no_transaction(self, doing: str) -> None:
        """Raise `AssertionError` if this thread holds a transaction: a CRM call may take minutes."""
        if getattr(self._open, "depth", 0):
            raise AssertionError(f"a transaction is open during {doing}")

    def changed(self) -> int:
        """Return a number that moves when another process commits (SQLite only, else 0)."""
        if self.engine.dialect.name != "sqlite":
            return 0
        with self._lookout() as connection:
            return int(connection.exec_driver_sql("PRAGMA data_version").scalar_one())

    def ping(self) -> None:
        """Raise `StoreUnavailable` unless the store answers."""
        with self.read() as session:
            session.execute(text("SELECT 1"))

    def close(self) -> None:
        """Give every pooled connection back."""
        lookout = getattr(self._open, "lookout", None)
        if lookout is not None:
            lookout.close()
        self.engine.dispose()

    @contextmanager
    def _lookout(self) -> Iterator[Connection]:
        # `data_version` only moves relative to one connection, so a thread keeps one for it.
        if getattr(self._open, "lookout", None) is None:
            self._open.lookout = self.engine.connect().execution_options(
                isolation_level="AUTOCOMMIT", sqlite_begin="DEFERRED"
            )
        yield self._open.lookout

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._open.depth = getattr(self._open, "depth", 0) + 1
        try:
            yield
        finally:
            self._open.depth -= 1


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        if _unreachable(error):
            raise StoreUnavailable(
                "The store does not answer.",
                hint="Check DEALREG_DATABASE_URL and that the database runs.",
            ) from error
        raise


def _unreachable(error: OperationalError) -> bool:
    sqlite_error = getattr(error.orig, "sqlite_errorname", None)
    if sqlite_error is not None:
        return str(sqlite_error).startswith("SQLITE_CANTOPEN")
    return error.connection_invalidated or "connect" in str(error.orig).lower()


def _engine(url: str, pool_size: int) -> Engine:
    # Values in the text of an error would end up in a log: names, bodies of webhooks.
    options: dict[str, Any] = {
        "pool_size": pool_size, "max_overflow": pool_size, "hide_parameters": True,
    }  # fmt: skip
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True, **options)
    engine = create_engine(url, **options)

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        # The driver's own transaction handling begins too late; `on_begin` does it instead.
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "busy_timeout=30000",
            "foreign_keys=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        mode = connection.get_execution_options().get("sqlite_begin", "IMMEDIATE")
        if not connection.get_execution_options().get("isolation_level"):
            if connection.info.get("mode") != mode:
                connection.exec_driver_sql(f"PRAGMA query_only={mode == 'DEFERRED'}")
                connection.info["mode"] = mode
            connection.exec_driver_sql(f"BEGIN {mode}")

    return engine
