"""What every test may ask for: both stores, a Redis-protocol server, and no surprises.

Tests see none of the caller's `DEALREG_*` settings and no proxy, and reach this machine only.
"""

from __future__ import annotations

import ipaddress
import os
import random
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import URL

from registration_core.store.database import Database
from sync.process import garbage
from tests import factories, servers, stores

#: Where the caller's own servers are, kept from the settings that tests do not see.
SERVICES: Mapping[str, str] = {
    name: os.environ[name]
    for name in (servers.POSTGRES_VARIABLE, servers.REDIS_VARIABLE)
    if name in os.environ
}
ROOT = Path(__file__).parents[1]
LOCAL_HOSTS = frozenset(
    {"", "localhost", *(urlsplit(address).hostname or "" for address in SERVICES.values())}
)
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")
#: Files that take or wait longest, the longest first; begun last, one would run on alone.
LONG_FILES = (
    "tests/acceptance/test_story.py",
    "tests/simulation/test_simulation.py",
    "tests/integration/cli/test_serve.py",
    "tests/process/test_operated.py",
    "tests/process/test_kill.py",
    "tests/process/test_operated.py",
    "tests/integration/test_contested.py",
)

# A shared machine can be slow for reasons that no test should fail for.
settings.register_profile(
    "dealreg", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)


def pytest_configure() -> None:
    forget_callers_settings()
    settings.load_profile("dealreg")
    sys.addaudithook(_refuse_network)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first, in an order that is otherwise left alone."""
    place = {ROOT / name: number for number, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


def pytest_collection_finish() -> None:
    garbage.collect_seldom()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests have recorded, of whichever worker they come."""
    for report in terminalreporter.stats.get("passed", ()):
        for name, told in report.user_properties:
            if name == "figures":
                terminalreporter.write_line(str(told))


def forget_callers_settings() -> None:
    """Remove from the environment, for this process and its children, what would change a test."""
    for name in list(os.environ):
        if name.startswith("DEALREG_") or name.lower() in PROXY_VARIABLES:
            del os.environ[name]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[URL]:
    """The address of a PostgreSQL server on which databases may be created."""
    with servers.postgres_server(SERVICES) as address:
        yield address


@pytest.fixture
def postgres_url(postgres_server: URL) -> Iterator[str]:
    """The address of an empty PostgreSQL database of this test's own."""
    with servers.postgres_database(postgres_server, f"dealreg_test_{uuid.uuid4().hex}") as address:
        yield address


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The address of an SQLite file of this test's own, not yet made."""
    return f"sqlite:///{tmp_path / 'dealreg.sqlite3'}"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The address of an empty database of this test's own; runs the test once for each store."""
    address = request.getfixturevalue(f"{request.param}_url")
    assert isinstance(address, str)
    return address


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with every table; a copy is a migrated store in no time."""
    path = tmp_path_factory.mktemp("template") / "dealreg.sqlite3"
    stores.migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_server: URL) -> Iterator[str]:
    """The name of a PostgreSQL database with every table, for others to be copied from."""
    name = f"dealreg_template_{uuid.uuid4().hex}"
    with servers.postgres_database(postgres_server, name) as address:
        stores.migrate(address)
        yield name


@pytest.fixture
def migrated_sqlite_url(sqlite_template: Path) -> Iterator[str]:
    """The address of an SQLite file of this test's own, with every table.

    It does not wait for the disk.
    """
    with tempfile.TemporaryDirectory(dir=servers.fast_directory()) as folder:
        yield f"sqlite:///{shutil.copy(sqlite_template, Path(folder) / 'dealreg.sqlite3')}"


@pytest.fixture
def migrated_postgres_url(postgres_server: URL, postgres_template: str) -> Iterator[str]:
    """The address of a PostgreSQL database of this test's own, with every table."""
    name = f"dealreg_test_{uuid.uuid4().hex}"
    with servers.postgres_database(postgres_server, name, postgres_template) as address:
        yield address


@pytest.fixture(params=["sqlite", "postgres"])
def migrated_url(request: pytest.FixtureRequest) -> str:
    """The address of a migrated store of this test's own; runs the test once for each store."""
    address = request.getfixturevalue(f"migrated_{request.param}_url")
    assert isinstance(address, str)
    return address


@pytest.fixture
def clock() -> factories.Clock:
    """The clock of `database`; it stands still until the test moves it."""
    return factories.Clock()


@pytest.fixture
def database(migrated_url: str, clock: factories.Clock) -> Iterator[Database]:
    """A migrated store of this test's own; runs the test once for each store."""
    store = Database(migrated_url, clock, random.Random(7))
    yield store
    store.close()


@pytest.fixture
def sqlite_database(migrated_sqlite_url: str, clock: factories.Clock) -> Iterator[Database]:
    """A migrated SQLite store, for what has nothing to do with the kind of store."""
    store = Database(migrated_sqlite_url, clock, random.Random(7))
    yield store
    store.close()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """The address of a server that speaks the Redis protocol."""
    with servers.redis_server(SERVICES) as address:
        yield address


@pytest.fixture
def redis_url(redis_server: str) -> Iterator[str]:
    """The address of an empty Redis database."""
    servers.empty_redis(redis_server)
    yield redis_server
    servers.empty_redis(redis_server)


def _refuse_network(event: str, arguments: tuple[object, ...]) -> None:
    """Fail the test that looks up or connects to a host other than this one."""
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    name = host.decode() if isinstance(host, bytes) else str(host or "")
    if name in LOCAL_HOSTS:
        return
    try:
        if ipaddress.ip_address(name).is_loopback:
            return
    except ValueError:
        pass  # a name, not an address
    pytest.fail(f"A test tried to reach {name}; tests talk to this machine only.")
