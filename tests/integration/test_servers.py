"""The servers behind the tests: each test has its own empty store, and nothing stays behind."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
import redis
from sqlalchemy import URL, create_engine, inspect, make_url, text

from tests import conftest, servers

PROJECT = Path(__file__).parents[2]
#: A run that Ctrl-C ends, also where the tests run in the background of a shell, which ignores it.
RUNNER = """
import signal, sys, time
from tests import servers
signal.signal(signal.SIGINT, signal.default_int_handler)
with getattr(servers, sys.argv[1])({}) as address:
    print(getattr(address, "render_as_string", lambda: address)(), flush=True)
    time.sleep(60)
"""


def _answers(address: str) -> bool:
    try:
        if address.startswith("unix"):
            with redis.Redis.from_url(address) as client:
                client.ping()
        else:
            psycopg.connect(address).close()
    except (redis.RedisError, psycopg.OperationalError):
        return False
    return True


def _directory(address: str) -> Path:
    if address.startswith("unix"):
        return Path(address.removeprefix("unix://")).parent
    host = make_url(address).query["host"]
    assert isinstance(host, str)
    return Path(host)


def test_the_same_test_runs_on_an_empty_database_of_either_store(
    database_url: str, request: pytest.FixtureRequest
) -> None:
    engine = create_engine(database_url)
    with engine.begin() as connection:
        assert inspect(connection).get_table_names() == []
        connection.execute(text("CREATE TABLE left_behind (id INTEGER)"))
    engine.dispose()
    expected = {"sqlite": "sqlite", "postgres": "postgresql"}[request.node.callspec.id]
    assert engine.dialect.name == expected


def test_a_database_is_dropped_although_a_pool_still_holds_a_connection(
    postgres_server: URL,
) -> None:
    with servers.postgres_database(postgres_server, "dealreg_test_held") as address:
        held = psycopg.connect(address)
    with (
        held,
        pytest.raises(psycopg.OperationalError),
    ):
        held.execute("SELECT 1")
    assert not _answers(address)


def test_postgres_keeps_any_text_whatever_the_machine_is_set_to(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        row = connection.execute("SELECT %s, current_setting('server_encoding')", ["Ægir 株式会社"])
        assert row.fetchone() == ("Ægir 株式会社", "UTF8")


@pytest.mark.parametrize("run", ["first", "second"])
def test_every_test_finds_redis_empty(redis_url: str, run: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set(run, "left behind")


def test_a_redis_database_with_keys_in_it_is_refused_and_left_alone(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set("somebody's", "data")
        with (
            pytest.raises(servers.ServerUnavailableError, match=r"holds 1 keys.*flushdb"),
            servers.redis_server({servers.REDIS_VARIABLE: redis_url}),
        ):
            pass
        assert client.dbsize() == 1


def test_a_named_redis_is_used_as_it_is(redis_url: str) -> None:
    with servers.redis_server({servers.REDIS_VARIABLE: redis_url}) as address:
        assert address == redis_url
    assert _answers(redis_url)


def test_a_named_postgres_is_used_as_it_is_whatever_driver_its_address_names(
    postgres_server: URL,
) -> None:
    named = postgres_server.set(drivername="postgresql+psycopg")
    environment = {servers.POSTGRES_VARIABLE: named.render_as_string(hide_password=False)}
    with servers.postgres_server(environment) as address:
        assert address == postgres_server
    assert _answers(postgres_server.render_as_string())


@pytest.mark.parametrize("server", ["postgres_server", "redis_server"])
def test_a_server_is_gone_with_its_files_after_its_block(server: str) -> None:
    with getattr(servers, server)({}) as given:
        address = given if isinstance(given, str) else given.render_as_string()
        directory = _directory(address)
        assert _answers(address)
        assert directory.stat().st_mode & 0o077 == 0
        assert len(os.fsencode(directory)) < servers.SOCKET_PATH_BYTES
    assert not directory.exists()
    assert not _answers(address)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("server", ["postgres_server", "redis_server"])
def test_a_server_does_not_outlive_the_run_that_started_it(
    server: str, end: signal.Signals
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", RUNNER, server],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as run:
        assert run.stdout is not None
        address = run.stdout.readline().strip()
        directory = _directory(address)
        assert _answers(address)
        run.send_signal(end)
        run.wait(30)
    deadline = time.monotonic() + 30
    while directory.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not directory.exists()
    assert not _answers(address)


@pytest.mark.parametrize(
    ("server", "variable"),
    [
        ("postgres_server", servers.POSTGRES_VARIABLE),
        ("redis_server", servers.REDIS_VARIABLE),
    ],
)
def test_a_machine_without_the_server_is_told_what_to_type(
    server: str, variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(servers.ServerUnavailableError, match=rf"make setup.*export {variable}="),
        getattr(servers, server)({}),
    ):
        pass


def test_a_server_that_cannot_start_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\necho no memory left\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(servers.ServerUnavailableError, match="no memory left"),
        servers.redis_server({}),
    ):
        pass


def test_settings_and_proxies_of_the_caller_do_not_reach_a_test(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DEALREG_DATABASE_URL", "sqlite:///somebody's.sqlite3")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    conftest.forget_callers_settings()
    assert "DEALREG_DATABASE_URL" not in os.environ
    assert "HTTPS_PROXY" not in os.environ


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "crm.example"])
def test_a_test_that_reaches_for_another_machine_fails(host: str) -> None:
    with pytest.raises(pytest.fail.Exception, match=host):
        socket.create_connection((host, 443), timeout=1)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_test_may_talk_to_its_own_machine(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        socket.create_connection((host, listening.getsockname()[1]), timeout=5).close()
