"""Sandboxes that were refreshed overnight refuse, until somebody says that it was meant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.serving import Running, start
from tests.acceptance.desk import typed

#: By connection: its stand-in, and the id of the org that answers after the refresh.
REFRESHED = {
    "salesforce": ("salesforce", "00D000000000999EAA"),
    "dynamics": ("dynamics365", "99999999-9999-4999-8999-999999999999"),
    "hubspot": ("hubspot", "46999999"),
}


@pytest.fixture
def sandbox() -> Iterator[Running]:
    running = start(None)
    yield running
    running.stop()


def test_each_refreshed_crm_refuses_names_both_orgs_and_is_rebound_on_purpose(
    sandbox: Running, tmp_path: Path
) -> None:
    environ = {"DEALREG_HOME": str(tmp_path / "home"), **sandbox.environment()}
    typed(environ, "db", "upgrade")
    typed(environ, "sync", "run")
    pinned = {each["name"]: each["org_id"] for each in typed(environ, "connection", "list")}
    for stand_in, org_id in REFRESHED.values():
        sandbox.crms[stand_in].org.org_id = org_id

    refused = typed(environ, "sync", "run", code=1)["connections"]
    for each in refused:
        name = each["connection"]
        assert each["state"] == "failed"
        assert pinned[name] in each["message"]
        assert REFRESHED[name][1] in each["message"]

    asked = typed(environ, "connection", "rebind", "hubspot", code=3)
    assert (asked["pinned"], asked["rebound"]) == (pinned["hubspot"], False)
    for name, (_, org_id) in REFRESHED.items():
        bound = typed(environ, "connection", "rebind", name, "--yes")
        assert (bound["pinned"], bound["answered"]) == (pinned[name], org_id)
    assert {each["state"] for each in typed(environ, "sync", "run")["connections"]} == {"done"}
    after = typed(environ, "connection", "list")
    assert {each["name"]: each["org_id"] for each in after} == {
        name: org_id for name, (_, org_id) in REFRESHED.items()
    }
    assert {each["mode"] for each in after} == {"observe"}
