"""The ways to sign in that `connections.yaml` may describe, and what goes wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.config.test_connections import ACME, GOOD, VARIABLES, load, problems


def _signing_in_with(*lines: str) -> str:
    head, _, _ = GOOD.partition("      client_id")
    return head + "".join(f"      {line}\n" for line in lines)


REFRESHED = _signing_in_with(
    "client_id: x", "client_secret: ${ACME_SECRET}", "refresh_token: ${ACME_SECRET}"
)


def test_a_private_key_is_a_file_beside_the_connections(tmp_path: Path) -> None:
    (tmp_path / "acme.pem").write_text("")
    lines = ("client_id: x", "username: sync@acme.example", "private_key_file: acme.pem")

    acme = load(tmp_path, _signing_in_with(*lines)).get("acme")

    assert acme.credentials["private_key_file"] == str(tmp_path / "acme.pem")


def test_a_private_key_file_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    lines = ("client_id: x", "username: y", "private_key_file: gone.pem")
    assert problems(tmp_path, _signing_in_with(*lines)) == [
        (
            "connections.yaml:9: connections.acme.credentials.private_key_file: there is no file "
            f"{tmp_path}/gone.pem (correct the path)"
        )
    ]


def test_credentials_of_two_ways_to_sign_in_are_not_mixed(tmp_path: Path) -> None:
    lines = ("client_id: x", "client_secret: ${ACME_SECRET}", "username: y")
    assert problems(tmp_path, _signing_in_with(*lines)) == [
        (
            "connections.yaml:9: connections.acme.credentials.username: it is not for signing in by "
            "client credentials (remove it; that takes client_id, client_secret)"
        )
    ]


def test_a_refresh_token_needs_a_key_to_be_kept_with(tmp_path: Path) -> None:
    assert problems(tmp_path, REFRESHED) == [
        (
            "connections.yaml:6: connections.acme.credentials: the refresh token is kept in the store, "
            "and there is no key for it (set DEALREG_TOKEN_KEY: openssl rand -base64 32 | tr +/ -_)"
        )
    ]
    with_key = VARIABLES | {"DEALREG_TOKEN_KEY": "a key"}
    assert ACME in load(tmp_path, REFRESHED, with_key).usable


DYNAMICS = """\
connections:
  acme:
    kind: dynamics365
    environment: production
    base_url: https://acme.crm4.dynamics.com
    credentials: {tenant_id: t, client_id: c, certificate_file: acme.pfx%s}
    webhook: {secret: "${ACME_SECRET}", previous_secret: "${ACME_SECRET}"}
"""


@pytest.mark.parametrize("password", ["", ', certificate_password: "${ACME_SECRET}"'])
def test_dynamics_signs_in_with_a_certificate_beside_the_connections(
    tmp_path: Path, password: str
) -> None:
    (tmp_path / "acme.pfx").write_bytes(b"made up")
    acme = load(tmp_path, DYNAMICS % password).usable[ACME]
    assert acme.credentials["certificate_file"] == str(tmp_path / "acme.pfx")
    assert acme.webhook == {"secret": "hunter2", "previous_secret": "hunter2"}


def test_a_certificate_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, DYNAMICS % "")
    assert "certificate_file: there is no file" in problem


HUBSPOT = (
    _signing_in_with("access_token: ${ACME_SECRET}").replace("salesforce\n", "hubspot\n", 1)
    + "    webhook: {app_id: 1, secret: '${ACME_SECRET}', version: v1}\n"
)


def test_the_signature_of_a_webhook_is_one_that_can_be_verified(tmp_path: Path) -> None:
    assert load(tmp_path, HUBSPOT).get("acme").webhook["version"] == "v1"
    assert "version" not in load(tmp_path, HUBSPOT.replace(", version: v1", "")).get("acme").webhook
    assert problems(tmp_path, HUBSPOT.replace("version: v1", "version: v4")) == [
        (
            "connections.yaml:8: connections.acme.webhook.version: there is no signature v4 "
            "(write one of v3, v2, v1)"
        )
    ]


def test_a_hubspot_app_signs_in_with_a_refresh_token_too(tmp_path: Path) -> None:
    text = REFRESHED.replace("kind: salesforce", "kind: hubspot")
    assert ACME in load(tmp_path, text, VARIABLES | {"DEALREG_TOKEN_KEY": "a key"}).usable
