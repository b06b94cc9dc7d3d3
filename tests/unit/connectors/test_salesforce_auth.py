"""The three ways to sign in, word for word, and what each refusal tells an admin to do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qsl

import jwt
import pytest
import requests
import responses
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.errors import AuthenticationFailed, RateLimited
from connectors.port import ConnectionSettings
from connectors.salesforce.auth import JWT_BEARER, TokenProvider
from connectors.tokens import MemoryTokenVault
from registration_core.contracts import ConnectionName

BASE = "https://acme.my.salesforce.com"
TOKEN_URL = f"{BASE}/services/oauth2/token"
NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)
BY_SECRET = {"client_id": "an-app", "client_secret": "the-secret"}
BY_REFRESH = BY_SECRET | {"refresh_token": "first-refresh"}


@pytest.fixture
def endpoint() -> Iterator[responses.RequestsMock]:
    """The token endpoint, with canned answers."""
    with responses.RequestsMock() as mock:
        yield mock


def _provider(
    credentials: dict[str, str],
    vault: MemoryTokenVault | None = None,
    environment: str = "production",
) -> TokenProvider:
    settings = ConnectionSettings(
        ConnectionName("acme"), environment, base_url=BASE, credentials=credentials
    )
    return TokenProvider(settings, requests.Session, lambda: NOW, vault or MemoryTokenVault())


def _grant(endpoint: responses.RequestsMock, token: str, **more: str) -> None:
    identity = "https://login.salesforce.com/id/00D000000000001EAA/005000000000001AAA"
    answer = {"access_token": token, "instance_url": BASE, "id": identity, "token_type": "Bearer"}
    endpoint.post(TOKEN_URL, json=answer | more)


def _sent(endpoint: responses.RequestsMock) -> list[dict[str, str]]:
    return [dict(parse_qsl(str(call.request.body))) for call in endpoint.calls]


def test_client_credentials_send_key_and_secret(endpoint: responses.RequestsMock) -> None:
    _grant(endpoint, "one")

    token = _provider(BY_SECRET).current()

    assert (token.access_token, token.instance_url) == ("one", BASE)
    assert token.identity.org_id == "00D000000000001EAA"
    assert _sent(endpoint) == [BY_SECRET | {"grant_type": "client_credentials"}]


@pytest.mark.parametrize(
    ("environment", "audience"),
    [
        ("production", "https://login.salesforce.com"),
        ("sandbox", "https://test.salesforce.com"),
    ],
)
def test_a_jwt_bearer_assertion_is_signed_and_ends_within_minutes(
    endpoint: responses.RequestsMock, tmp_path: Path, environment: str, audience: str
) -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (tmp_path / "key.pem").write_bytes(pem)
    _grant(endpoint, "one")
    given = {
        "client_id": "an-app",
        "username": "sync@acme.example",
        "private_key_file": str(tmp_path / "key.pem"),
    }

    _provider(given, environment=environment).current()

    (form,) = _sent(endpoint)
    assert form["grant_type"] == JWT_BEARER
    claims = jwt.decode(
        form["assertion"],
        key.public_key(),
        algorithms=["RS256"],
        audience=audience,
        options={"verify_exp": False},
    )
    assert (claims["iss"], claims["sub"]) == ("an-app", "sync@acme.example")
    assert 0 < claims["exp"] - NOW.timestamp() <= 300


@pytest.mark.parametrize("content", [None, "no key at all"])
def test_a_private_key_that_cannot_be_used_is_told_without_its_content(
    tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "key.pem").write_text(content)
    given = {"client_id": "x", "username": "y", "private_key_file": str(tmp_path / "key.pem")}

    with pytest.raises(AuthenticationFailed, match="private_key_file cannot be used") as caught:
        _provider(given).current()

    assert "no key at all" not in str(caught.value)
    assert "PEM" in caught.value.hint


def test_a_rotated_refresh_token_is_the_next_one_used(endpoint: responses.RequestsMock) -> None:
    _grant(endpoint, "one", refresh_token="second-refresh")
    _grant(endpoint, "two", refresh_token="third-refresh")
    _grant(endpoint, "three")
    _grant(endpoint, "four")
    vault = MemoryTokenVault()
    first = _provider(BY_REFRESH, vault)
    second = first.renew(first.current())

    # Another process, which knows the store and the first refresh token only.
    other = _provider(BY_REFRESH, vault)
    third = other.renew(second)
    other.renew(third)

    assert [form["refresh_token"] for form in _sent(endpoint)] == [
        "first-refresh",
        "second-refresh",
        "third-refresh",
        "third-refresh",
    ]
    assert {form["grant_type"] for form in _sent(endpoint)} == {"refresh_token"}


def test_a_worker_takes_the_token_that_another_one_got(endpoint: responses.RequestsMock) -> None:
    vault = MemoryTokenVault()
    mine, other = _provider(BY_SECRET, vault), _provider(BY_SECRET, vault)
    _grant(endpoint, "one")
    _grant(endpoint, "two")
    refused = mine.current()
    assert other.renew(refused).access_token == "two"

    assert mine.renew(refused).access_token == "two"

    assert len(endpoint.calls) == 2


@pytest.mark.parametrize(
    ("error", "description", "advice"),
    [
        ("invalid_grant", "request not supported on this domain", "My Domain"),
        ("invalid_grant", "no client credentials user enabled", "run-as user"),
        ("invalid_grant", "user hasn't approved this consumer", "Permitted Users"),
        ("invalid_grant", "expired access/refresh token", "authorize the app again"),
        ("invalid_grant", "audience is invalid", "environment"),
        ("invalid_grant", "invalid assertion", "certificate"),
        ("invalid_grant", "inactive user", "Activate"),
        ("invalid_grant", "ip restricted or invalid login hours", "IP"),
        ("invalid_grant", "authentication failure", "licensed"),
        ("invalid_client_id", "client identifier invalid", "client_id"),
        ("invalid_client", "invalid client credentials", "client_secret"),
        ("unsupported_grant_type", "grant type not supported", "Switch this flow on"),
        ("something_new", "", "flow switched on"),
    ],
)
def test_each_refusal_says_what_to_do(
    endpoint: responses.RequestsMock, error: str, description: str, advice: str
) -> None:
    endpoint.post(TOKEN_URL, status=400, json={"error": error, "error_description": description})

    with pytest.raises(AuthenticationFailed, match=error) as caught:
        _provider(BY_SECRET).current()

    assert advice in caught.value.hint


@pytest.mark.parametrize(
    ("error", "description"),
    [("rate_limit_exceeded", ""), ("invalid_grant", "login rate exceeded")],
)
def test_too_many_logins_are_a_pause_and_not_a_refusal(
    endpoint: responses.RequestsMock, error: str, description: str
) -> None:
    endpoint.post(TOKEN_URL, status=400, json={"error": error, "error_description": description})

    with pytest.raises(RateLimited) as caught:
        _provider(BY_SECRET).current()

    assert caught.value.retry_after_seconds >= 30
