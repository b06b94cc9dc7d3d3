"""`connections.yaml`: secrets from the environment only, and one bad entry spoils no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from config.connections import Connection, Connections, load_connections
from config.settings import SHIPPED_CONFIG_DIR, Environment
from config.signing_in import Kind
from registration_core.contracts import ConnectionName, Mode
from registration_core.errors import ConfigurationError
from registration_core.limits import Limits

GOOD = """\
connections:
  acme:
    kind: salesforce
    environment: production
    base_url: https://acme.my.salesforce.com/
    credentials:
      client_id: literal-id
      client_secret: ${ACME_SECRET}
"""
VARIABLES = {"ACME_SECRET": "hunter2"}
ACME = ConnectionName("acme")


def load(folder: Path, text: str, variables: dict[str, str] | None = None) -> Connections:
    (folder / "connections.yaml").write_text(text)
    return load_connections(folder, VARIABLES if variables is None else variables)


def problems(folder: Path, text: str, variables: dict[str, str] | None = None) -> list[str]:
    connections = load(folder, text, variables)
    assert ACME not in connections.usable
    return [str(problem) for problem in connections.unusable[ACME]]


def test_a_connection_is_read_with_safe_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD) == Connections(
        usable={
            ACME: Connection(
                name=ACME,
                kind=Kind.SALESFORCE,
                environment=Environment.PRODUCTION,
                org_id="",
                base_url="https://acme.my.salesforce.com",
                token_url="",
                ca_file="",
                api_version="",
                credentials={"client_id": "literal-id", "client_secret": "hunter2"},
                webhook={},
                connect_timeout_seconds=5.0,
                read_timeout_seconds=30.0,
                modes={"registrations": Mode.OBSERVE},
                api_budget_reserve_percent=20,
                secret_expires_on=None,
                bulk_from=2000,
                limits=Limits(),
            )
        },
        unusable={},
    )


def test_every_key_can_be_set(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    text = (
        GOOD.replace("kind: salesforce", "kind: hubspot")
        .replace("      client_id: literal-id\n", "")
        .replace("client_secret:", "access_token:")
        + """\
    org_id: 62515
    token_url: ${TOKENS:-https://tokens.example}
    ca_file: ca.pem
    api_version: 2026-03
    webhook:
      app_id: 54321
      secret: ${ACME_SECRET}
    connect_timeout_seconds: 2
    read_timeout_seconds: 12.5
    modes: {registrations: push}
    api_budget_reserve_percent: 5
    bulk_from: 500
"""
    )
    acme = load(tmp_path, text).get("acme")
    assert acme.org_id == "62515"
    assert acme.token_url == "https://tokens.example"
    assert acme.ca_file == str(tmp_path / "ca.pem")
    assert acme.webhook == {"app_id": "54321", "secret": "hunter2"}
    assert (acme.connect_timeout_seconds, acme.read_timeout_seconds) == (2.0, 12.5)
    assert acme.modes == {"registrations": Mode.PUSH}
    assert acme.api_budget_reserve_percent == 5
    assert acme.bulk_from == 500
    assert acme.api_version == "2026-03"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "kind: salesforce",
            "kind: siebel",
            "3: connections.acme.kind: Input should be 'salesforce', 'dynamics365' or 'hubspot'",
        ),
        (
            "environment: production",
            "environment: prod",
            "4: connections.acme.environment: Input should be 'production' or 'sandbox'",
        ),
        (
            "    environment: production\n",
            "",
            "2: connections.acme.environment: it is missing (add it)",
        ),
        (
            "https://acme.my.salesforce.com/",
            "http://acme.my.salesforce.com",
            "5: connections.acme.base_url: http is allowed to this machine only (write https://)",
        ),
        (
            "https://acme.my.salesforce.com/",
            "acme.my.salesforce.com",
            "5: connections.acme.base_url: it is not a URL (write https://HOST)",
        ),
        (
            "https://acme.my.salesforce.com/",
            "https://me:hunter2@acme.example",
            "5: connections.acme.base_url: a URL must not hold a password (move it to credentials)",
        ),
        (
            "https://acme.my.salesforce.com/",
            '""',
            "5: connections.acme.base_url: it is empty (write https://HOST)",
        ),
        (
            "${ACME_SECRET}",
            "hunter2",
            (
                "8: connections.acme.credentials.client_secret: a secret must not stand in this file "
                "(write ${ACME_CREDENTIALS_CLIENT_SECRET}, with no default, and set that variable)"
            ),
        ),
        (
            "${ACME_SECRET}",
            "${ACME_SECRET:-hunter2}",
            (
                "8: connections.acme.credentials.client_secret: a secret must not stand in this file "
                "(write ${ACME_CREDENTIALS_CLIENT_SECRET}, with no default, and set that variable)"
            ),
        ),
        (
            "${ACME_SECRET}",
            "[hunter2]",
            (
                "8: connections.acme.credentials.client_secret: a secret must not stand in this file "
                "(write ${ACME_CREDENTIALS_CLIENT_SECRET}, with no default, and set that variable)"
            ),
        ),
        (
            "literal-id",
            "${ACME_ID}",
            (
                "7: connections.acme.credentials.client_id: variable ACME_ID is not set or empty "
                "(set it in the environment or env file)"
            ),
        ),
        (
            "      client_id: literal-id\n",
            "",
            "6: connections.acme.credentials.client_id: it is missing (add it)",
        ),
        (
            "client_id: literal-id",
            "client_id: literal-id\n      tenant_id: x",
            (
                "8: connections.acme.credentials.tenant_id: salesforce has no such field "
                "(known are client_id, client_secret, username, private_key_file, refresh_token)"
            ),
        ),
        (
            "    credentials:",
            "    ca_file: gone.pem\n    credentials:",
            "6: connections.acme.ca_file: there is no file {folder}/gone.pem (correct the path)",
        ),
        (
            "    credentials:",
            "    colour: red\n    credentials:",
            "6: connections.acme.colour: unknown field (remove it, or correct its spelling)",
        ),
        (
            "    credentials:",
            "    modes: {registrations: write}\n    credentials:",
            "6: connections.acme.modes.registrations: Input should be 'off', 'observe', 'link', 'canary' or 'push'",
        ),
        (
            "    credentials:",
            "    webhook: {}\n    credentials:",
            "6: connections.acme.webhook.secret: it is missing (add it)",
        ),
        (
            "    credentials:",
            "    api_budget_reserve_percent: 95\n    credentials:",
            (
                "6: connections.acme.api_budget_reserve_percent: "
                "Input should be less than or equal to 90"
            ),
        ),
        (
            "    credentials:",
            "    read_timeout_seconds: 0\n    credentials:",
            "6: connections.acme.read_timeout_seconds: Input should be greater than 0",
        ),
    ],
)
def test_what_is_wrong_is_told_with_line_and_remedy(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    assert old in GOOD
    told = told.replace("{folder}", str(tmp_path))
    assert problems(tmp_path, GOOD.replace(old, new)) == [f"connections.yaml:{told}"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9001", "http://[::1]:9001", "http://localhost"])
def test_this_machine_may_be_reached_without_tls(tmp_path: Path, url: str) -> None:
    text = GOOD.replace("https://acme.my.salesforce.com/", url)
    assert load(tmp_path, text).get("acme").base_url == url


@pytest.mark.parametrize("name", ["home", "store", "mirrors", "manual", "Acme", "9acme", "a b"])
def test_a_name_that_cannot_be_used_is_told(tmp_path: Path, name: str) -> None:
    connections = load(tmp_path, GOOD.replace("acme:", f"{name}:"))
    (problem,) = connections.unusable[ConnectionName(name)]
    assert problem.where == "connections.yaml:2"
    assert problem.what == f"{name} cannot be the name of a connection"


def test_everything_wrong_with_an_entry_is_told_at_once_in_the_order_of_the_file(
    tmp_path: Path,
) -> None:
    text = GOOD.replace("salesforce\n", "siebel\n").replace("production", "prod")
    lines = [told.split(":")[1] for told in problems(tmp_path, text, {})]
    assert lines == ["3", "4", "8"]


def test_one_bad_connection_leaves_the_others_usable(tmp_path: Path) -> None:
    other = GOOD.partition("\n")[2].replace("acme:", "other:").replace("ACME_SECRET", "UNSET")
    connections = load(tmp_path, GOOD + other)
    assert list(connections.usable) == [ACME]
    assert connections.names == {"acme", "other"}
    with pytest.raises(ConfigurationError, match="variable UNSET is not set") as caught:
        connections.get("other")
    assert caught.value.message == "Connection other cannot be used."
    with pytest.raises(ConfigurationError, match=r"no connection nobody .* acme, other\."):
        connections.get("nobody")


def test_an_org_of_the_other_environment_is_not_used_by_this_store(tmp_path: Path) -> None:
    (tmp_path / "connections.yaml").write_text(GOOD)
    assert ACME in load_connections(tmp_path, VARIABLES, Environment.PRODUCTION).usable
    connections = load_connections(tmp_path, VARIABLES, Environment.SANDBOX)
    assert connections.usable == {}
    (problem,) = connections.unusable[ACME]
    assert str(problem) == (
        "connections.yaml:4: connections.acme.environment: the org is production, "
        "but this store is sandbox "
        "(correct it, or DEALREG_ENVIRONMENT; never mix the two in one store)"
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "connections: {}",
            (
                "1: connections: it must map a name to each connection "
                "(describe at least one connection)"
            ),
        ),
        (
            GOOD + "colour: {}\n",
            "9: colour: unknown field (remove it, or correct its spelling)",
        ),
        (
            GOOD + "  acme: {}\n",
            "9: 'acme' stands here a second time (keep one of the two)",
        ),
    ],
)
def test_a_file_that_is_wrong_at_its_top_is_refused_whole(
    tmp_path: Path, text: str, told: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text)
    assert [str(problem) for problem in caught.value.problems] == [f"connections.yaml:{told}"]


def test_no_secret_is_in_the_repr_or_in_any_problem(tmp_path: Path) -> None:
    assert "hunter2" not in repr(load(tmp_path, GOOD))
    written_out = GOOD.replace("${ACME_SECRET}", "hunter2").replace("literal-id", "[hunter2]")
    doubled = written_out + "      client_secret: hunter2\n"
    assert "hunter2" not in "\n".join(problems(tmp_path, written_out))
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, doubled)
    assert "hunter2" not in str(caught.value)


def test_the_shipped_connections_are_usable_once_the_sandbox_has_written_its_variables(
    tmp_path: Path,
) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text("")
    text = (SHIPPED_CONFIG_DIR / "connections.yaml").read_text()
    names = re.findall(r"\$\{(DEALREG_SANDBOX_\w+)\}", text)
    variables = dict.fromkeys(names, "https://127.0.0.1:9001")
    variables["DEALREG_SANDBOX_CA_FILE"] = str(ca_file)

    connections = load_connections(SHIPPED_CONFIG_DIR, variables)

    assert connections.unusable == {}
    assert {name: found.kind for name, found in connections.usable.items()} == {
        "salesforce": Kind.SALESFORCE,
        "dynamics": Kind.DYNAMICS365,
        "hubspot": Kind.HUBSPOT,
    }
    for found in connections.usable.values():
        assert found.environment is Environment.SANDBOX
        assert found.modes == {"registrations": Mode.PUSH}
        assert found.webhook["secret"]


def test_the_shipped_connections_say_which_variables_are_missing() -> None:
    connections = load_connections(SHIPPED_CONFIG_DIR, {})
    assert connections.usable == {}
    told = [p.what for p in connections.unusable[ConnectionName("hubspot")]]
    assert (
        "connections.hubspot.credentials.access_token: "
        "variable DEALREG_SANDBOX_HUBSPOT_ACCESS_TOKEN is not set or empty"
    ) in told
