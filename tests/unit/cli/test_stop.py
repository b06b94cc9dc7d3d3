"""Stopping and resuming, as an operator types it; no CRM answers here."""

from __future__ import annotations

from typing import Any

from tests.unit.cli.conftest import Dealreg, answer


def test_a_stop_is_seen_in_the_status_and_lifted_by_the_command_it_names(dealreg: Dealreg) -> None:
    told = dealreg("stop", "--writes", "--reason", "wrong stage map")
    assert "dealreg resume" in told.output
    # The store alone is needed: no connection of this test can be used.
    states = {one["stop"]["reason"] for one in _connections(dealreg)}
    assert states == {"wrong stage map"}

    assert answer(dealreg("resume", "--yes", "--json"))["resumed"] is True
    assert {one["stop"] for one in _connections(dealreg)} == {None}


def test_a_script_sees_the_backlog_and_lifts_nothing_unless_it_says_yes(dealreg: Dealreg) -> None:
    dealreg("stop")
    result = dealreg("resume", "--json")
    assert result.exit_code == 3
    assert {one["stop"]["scope"] for one in _connections(dealreg)} == {"*"}


def test_resuming_what_is_not_stopped_names_what_is(dealreg: Dealreg) -> None:
    dealreg("stop", "--connection", "salesforce")
    result = dealreg("resume")
    assert result.exit_code == 1
    assert "dealreg resume --connection salesforce" in result.output


def test_a_connection_that_does_not_exist_is_not_stopped(dealreg: Dealreg) -> None:
    result = dealreg("stop", "--connection", "salseforce")
    assert result.exit_code == 1
    assert "salesforce" in result.output


def _connections(dealreg: Dealreg) -> list[dict[str, Any]]:
    connections: list[dict[str, Any]] = answer(dealreg("status", "--json"))["connections"]
    assert connections
    return connections
