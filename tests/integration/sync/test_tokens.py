"""Tokens in the store: encrypted, renewed once for everybody, and never lost to a rotation."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import text

from connectors.errors import AuthenticationFailed, CrmUnavailable
from connectors.tokens import Fetch, MemoryTokenVault, StoredToken, TokenVault
from registration_core.contracts import ConnectionName
from registration_core.store.database import Database
from sync.traffic import tokens
from sync.traffic.tokens import StoredTokenVault

ACME = ConnectionName("acme")
KEY, OTHER_KEY = Fernet.generate_key().decode(), Fernet.generate_key().decode()
SECRET = {"client_id": "app", "client_secret": "hunter2"}


def _vault(database: Database, *keys: str, secret: str = "hunter2") -> StoredTokenVault:
    return StoredTokenVault(database, keys or (KEY,), ACME, SECRET | {"client_secret": secret})


def _gives(token: str, refresh: str = "") -> Fetch:
    return lambda _: StoredToken(token, refresh_token=refresh, details={"instance_url": "x"})


def _nobody(_: StoredToken | None) -> StoredToken:
    raise AssertionError("nobody should have signed in")


@pytest.fixture(params=["memory", "store"])
def make(request: pytest.FixtureRequest) -> Callable[[], TokenVault]:
    """Make vaults that share one connection's token."""
    if request.param == "memory":
        vault = MemoryTokenVault()
        return lambda: vault
    database: Database = request.getfixturevalue("sqlite_database")
    return lambda: _vault(database)


def test_the_first_to_ask_signs_in_and_the_others_get_what_it_got(
    make: Callable[[], TokenVault],
) -> None:
    first = make().renew(None, _gives("one"))

    assert make().renew(None, _nobody) == first


def test_a_token_that_was_refused_is_renewed_once(make: Callable[[], TokenVault]) -> None:
    one = make().renew(None, _gives("one"))

    two = make().renew(one, _gives("two"))

    assert two.access_token == "two"
    assert make().renew(one, _nobody) == two


def test_a_sign_in_is_given_the_refresh_token_that_came_last(
    make: Callable[[], TokenVault],
) -> None:
    one = make().renew(None, _gives("one", refresh="r1"))
    given: list[StoredToken | None] = []

    def fetch(stored: StoredToken | None) -> StoredToken:
        given.append(stored)
        return StoredToken("two", refresh_token="r2")

    make().renew(one, fetch)

    assert given == [one]


def test_a_sign_in_that_fails_changes_nothing(make: Callable[[], TokenVault]) -> None:
    one = make().renew(None, _gives("one", refresh="r1"))

    def fail(_: StoredToken | None) -> StoredToken:
        raise CrmUnavailable("down", connection=ACME)

    with pytest.raises(CrmUnavailable):
        make().renew(one, fail)

    assert make().renew(None, _nobody) == one


def test_workers_that_ask_together_sign_in_once(make: Callable[[], TokenVault]) -> None:
    one = make().renew(None, _gives("one"))
    fetched, got = [], []
    inside = threading.Event()

    def slow(_: StoredToken | None) -> StoredToken:
        fetched.append(1)
        inside.wait(0.2)
        return StoredToken("two")

    def work() -> None:
        got.append(make().renew(one, slow).access_token)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (got, len(fetched)) == (["two"] * 4, 1)


def test_nobody_waits_for_ever_for_another_workers_sign_in(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "TURN_SECONDS_MAX", 0.2)

    def outer(_: StoredToken | None) -> StoredToken:
        with pytest.raises(CrmUnavailable, match="another worker"):
            _vault(sqlite_database).renew(None, _nobody)
        return StoredToken("one")

    assert _vault(sqlite_database).renew(None, outer).access_token == "one"


def test_what_the_store_holds_is_of_no_use_without_the_key(database: Database) -> None:
    kept = StoredToken(
        "the-access-token", datetime(2027, 1, 1, tzinfo=UTC), "the-refresh-token", {"org_id": "00D"}
    )
    _vault(database).renew(None, lambda _: kept)

    with database.read() as session:
        (row,) = session.execute(text("SELECT * FROM connection_token")).all()
    assert "the-access-token" not in str(row)
    assert "the-refresh-token" not in str(row)
    assert "hunter2" not in str(row)
    assert _vault(database).renew(None, _nobody) == kept


def test_a_new_key_in_front_of_the_old_one_still_opens_the_token(sqlite_database: Database) -> None:
    one = _vault(sqlite_database, KEY).renew(None, _gives("one"))

    assert _vault(sqlite_database, OTHER_KEY, KEY).renew(None, _nobody) == one
    two = _vault(sqlite_database, OTHER_KEY, KEY).renew(one, _gives("two"))
    assert _vault(sqlite_database, OTHER_KEY).renew(None, _nobody) == two


def test_a_lost_key_costs_a_sign_in(sqlite_database: Database) -> None:
    _vault(sqlite_database, KEY).renew(None, _gives("one"))

    assert _vault(sqlite_database, OTHER_KEY).renew(None, _gives("two")).access_token == "two"


def test_a_lost_key_never_sends_a_refresh_token_that_may_be_spent(
    sqlite_database: Database,
) -> None:
    _vault(sqlite_database, KEY).renew(None, _gives("one", refresh="r1"))

    with pytest.raises(AuthenticationFailed, match="DEALREG_TOKEN_KEY") as caught:
        _vault(sqlite_database, OTHER_KEY).renew(None, _nobody)

    assert "NEW,OLD" in caught.value.hint


def test_other_credentials_start_anew(sqlite_database: Database) -> None:
    _vault(sqlite_database).renew(None, _gives("one", refresh="r1"))
    given: list[StoredToken | None] = []

    def fetch(stored: StoredToken | None) -> StoredToken:
        given.append(stored)
        return StoredToken("two")

    assert _vault(sqlite_database, secret="hunter3").renew(None, fetch).access_token == "two"
    assert given == [None]
