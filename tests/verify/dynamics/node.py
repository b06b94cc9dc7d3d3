"""Run DynamicsWebApi in Node against the stand-in; `client.mjs` holds what it checks."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from sandbox.faults import Fault, FaultKind
from tests.verify.differences import Differs
from tests.verify.dynamics.environment import Environment

_SCRIPT = Path(__file__).parent / "client.mjs"


def check(environment: Environment) -> None:
    """Run the script; what it prints is the difference it saw."""
    # The script's last call meets this one; the header says how long to wait.
    environment.stand_in.faults.add(Fault(FaultKind.THROTTLED, path="/contacts", seconds=11))
    try:
        done = subprocess.run(
            ["node", str(_SCRIPT)],
            env={
                **os.environ,
                "NODE_EXTRA_CA_CERTS": environment.ca_file,
                "DYNAMICS_URL": environment.url,
                "DYNAMICS_TOKEN": environment.token,
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        environment.stand_in.faults.clear()
    if done.returncode:
        raise Differs((done.stdout + done.stderr).strip())
