"""The state folder, its secrets, and the certificate authority kept in it."""

from __future__ import annotations

import ssl
import stat
from contextlib import closing
from pathlib import Path

import pytest

from sandbox import tls
from sandbox.state import StateBusyError, StateFolder, write_private


def test_credentials_are_made_once_and_kept(tmp_path: Path) -> None:
    with closing(StateFolder(tmp_path / "state")) as state:
        first = state.credentials()
    with closing(StateFolder(tmp_path / "state")) as state:
        assert state.credentials() == first
    assert set(first["salesforce"]) == {"client_id", "client_secret", "webhook_secret"}
    assert set(first["dynamics365"]) == {
        "tenant_id",
        "client_id",
        "client_secret",
        "webhook_secret",
    }
    assert set(first["hubspot"]) == {"access_token", "app_id", "webhook_secret"}
    secrets = [value for owner in first.values() for value in owner.values()]
    assert len(set(secrets)) == len(secrets)


def test_two_folders_have_different_credentials(tmp_path: Path) -> None:
    with closing(StateFolder(tmp_path / "a")) as one, closing(StateFolder(tmp_path / "b")) as two:
        assert one.credentials()["control"] != two.credentials()["control"]


def test_a_folder_in_use_is_refused_until_it_is_closed(tmp_path: Path) -> None:
    with closing(StateFolder(tmp_path)), pytest.raises(StateBusyError, match="--state"):
        StateFolder(tmp_path)
    StateFolder(tmp_path).close()


def test_secrets_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    with closing(StateFolder(tmp_path)) as state:
        state.credentials()
        tls.prepare(tmp_path)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    secret = ("credentials.json", "ca.key", "server.pem")
    assert [modes[name] for name in secret] == [0o600] * 3


def test_a_private_file_is_replaced_whole_and_leaves_no_draft(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("older and longer")
    write_private(file, b"new")
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("env", b"new")]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_authority_outlives_a_restart_and_issues_a_new_server_certificate(
    tmp_path: Path,
) -> None:
    files = tls.prepare(tmp_path)
    authority, server = files.ca_file.read_bytes(), files.server_file.read_bytes()
    again = tls.prepare(tmp_path)
    assert again.ca_file.read_bytes() == authority
    assert again.server_file.read_bytes() != server
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(again.server_file)
