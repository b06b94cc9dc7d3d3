"""A running stand-in as the clients of others reach it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from connectors.port import ConnectionSettings
from connectors.salesforce.connector import SalesforceConnector
from sandbox.salesforce.engine import SalesforceOrg
from sandbox.stand_in import StandIn
from tests.verify.differences import Differs

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Environment:
    """Where the stand-in is, its engine, and our connector to compare with."""

    stand_in: StandIn
    org: SalesforceOrg
    settings: ConnectionSettings
    connector: SalesforceConnector


def run_node(
    script: str, environment: Environment, more: Mapping[str, str] | None = None, stdin: str = ""
) -> str:
    """Run a script of this folder in Node against the stand-in; returns what it printed."""
    done = subprocess.run(
        ["node", str(_FOLDER / script)],
        env={
            **os.environ,
            "NODE_EXTRA_CA_CERTS": environment.settings.ca_file,
            "SALESFORCE_URL": environment.stand_in.url,
            "SALESFORCE_CLIENT_ID": environment.settings.credentials["client_id"],
            "SALESFORCE_CLIENT_SECRET": environment.settings.credentials["client_secret"],
            **(more or {}),
        },
        input=stdin,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    if done.returncode:
        raise Differs((done.stdout + done.stderr).strip()[-4000:])
    return done.stdout
