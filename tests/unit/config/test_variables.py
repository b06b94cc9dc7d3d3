"""Variables in files, and which names hold secrets."""

from __future__ import annotations

import pytest

from config.variables import Expansion, expand, is_one_variable, is_secret_name


@pytest.mark.parametrize(
    ("text", "expansion"),
    [
        ("plain", Expansion("plain")),
        ("${A}", Expansion("one")),
        ("https://${A}.example/${B}", Expansion("https://one.example/two")),
        ("${C:-fallback}", Expansion("fallback")),
        ("${A:-fallback}", Expansion("one")),
        ("${EMPTY:-fallback}", Expansion("fallback")),
        ("${C:-}", Expansion("")),
        ("${C}${EMPTY}", Expansion("", ("C", "EMPTY"))),
        ("$A and {A}", Expansion("$A and {A}")),
    ],
)
def test_variables_are_filled_in_as_in_a_shell(text: str, expansion: Expansion) -> None:
    assert expand(text, {"A": "one", "B": "two", "EMPTY": ""}) == expansion


def test_what_a_variable_holds_is_not_filled_in_again() -> None:
    assert expand("${A}", {"A": "${B}", "B": "two"}) == Expansion("${B}")


@pytest.mark.parametrize(
    "name",
    ["client_secret", "access_token", "PASSWORD", "Authorization", "x-dealreg-secret", "api_key"],
)
def test_names_of_secrets_are_known(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["client_id", "token_url", "private_key_file", "token_expires_at", "app_id", "key"]
)
def test_names_about_secrets_are_not_secrets(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize("text", ["${A:-x}", "x${A}", "${A}${B}", "$A", ""])
def test_only_a_variable_alone_may_stand_for_a_secret(text: str) -> None:
    assert is_one_variable("${A}")
    assert not is_one_variable(text)
