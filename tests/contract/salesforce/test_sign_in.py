"""Signing in to Salesforce by each flow, and keeping the token, through its real wire protocol."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.errors import AuthenticationFailed
from connectors.port import ConnectionSettings
from connectors.salesforce.connector import SalesforceConnector
from connectors.tokens import MemoryTokenVault
from sandbox.salesforce.engine import SalesforceOrg
from tests.contract.peers import Timepiece

USER = "dealreg.integration@dealreg.example"


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    """A key pair, made once because that takes long."""
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def by_key(
    settings: ConnectionSettings, org: SalesforceOrg, key: rsa.RSAPrivateKey, tmp_path: Path
) -> ConnectionSettings:
    """The connection, signing in by a key that the org's app trusts."""
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (tmp_path / "key.pem").write_bytes(private)
    org.sessions.trust(public.decode())
    given = {
        "client_id": settings.credentials["client_id"],
        "username": USER,
        "private_key_file": str(tmp_path / "key.pem"),
    }
    return replace(settings, credentials=given)


def _by_refresh_token(settings: ConnectionSettings, token: str) -> ConnectionSettings:
    given = {n: settings.credentials[n] for n in ("client_id", "client_secret")}
    return replace(settings, credentials=given | {"refresh_token": token})


def test_a_signed_assertion_signs_in_as_its_user(
    by_key: ConnectionSettings, org: SalesforceOrg, timepiece: Timepiece
) -> None:
    identity = SalesforceConnector(by_key, timepiece).identity()

    assert (identity.org_id, identity.user_name) == (org.org_id, USER)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"username": "somebody@else.example"}, "hasn't approved"),
        ({"client_id": "another-app"}, "invalid_client_id"),
    ],
)
def test_an_assertion_that_claims_something_else_is_refused_with_advice(
    by_key: ConnectionSettings, timepiece: Timepiece, wrong: dict[str, str], told: str
) -> None:
    stranger = replace(by_key, credentials={**by_key.credentials, **wrong})

    (item,) = SalesforceConnector(stranger, timepiece).check([])

    assert not item.ok
    assert told in item.detail
    assert item.remedy


def test_a_clock_that_is_wrong_is_told_as_that(
    by_key: ConnectionSettings, timepiece: Timepiece
) -> None:
    late = SalesforceConnector(by_key, lambda: timepiece() - timedelta(hours=1))

    with pytest.raises(AuthenticationFailed) as caught:
        late.identity()

    assert "clock" in caught.value.hint


def test_rotated_refresh_tokens_carry_a_connection_across_processes(
    settings: ConnectionSettings, org: SalesforceOrg, timepiece: Timepiece
) -> None:
    first = org.sessions.authorize(rotating=True)
    given, vault = _by_refresh_token(settings, first), MemoryTokenVault()
    SalesforceConnector(given, timepiece, vault).identity()

    for _ in range(3):
        org.expire_tokens()
        # A new process: all it has is its settings, with the first token, and the vault.
        identity = SalesforceConnector(given, timepiece, vault).identity()
        assert identity.org_id == org.org_id


def test_a_spent_refresh_token_ends_the_grant_and_says_to_authorize_again(
    settings: ConnectionSettings, org: SalesforceOrg, timepiece: Timepiece
) -> None:
    given = _by_refresh_token(settings, org.sessions.authorize(rotating=True))
    SalesforceConnector(given, timepiece).identity()

    with pytest.raises(AuthenticationFailed) as caught:
        SalesforceConnector(given, timepiece).identity()

    assert "authorize the app again" in caught.value.hint
