"""Hold the Dynamics 365 connector and its stand-in against clients that nobody here wrote.

The official Dataverse SDK for Python and odata-query, which are installed for the tests, and what
`make verify-dynamics` installs: DynamicsWebApi for Node and the OASIS schemas of CSDL. Exits with 1 when one of them sees a difference.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from connectors.dynamics365.connector import DynamicsConnector
from sandbox.serving import now, start
from tests.contract.peers import settings_of
from tests.verify.dynamics import csdl, filters, node, sdk
from tests.verify.dynamics.environment import Environment, access_token


def main() -> int:
    """Run every check and say how each went."""
    running = start(None)
    try:
        settings = settings_of(running, "dynamics365")
        stand_in = running.crms["dynamics365"]
        environment = Environment(
            stand_in=stand_in,
            url=stand_in.url,
            ca_file=str(running.ca_file),
            token=access_token(settings),
            connector=DynamicsConnector(settings, now),
        )
        checks: list[tuple[str, Callable[[Environment], None]]] = [
            *((f"Dataverse SDK: {name}", check) for name, check in sdk.CHECKS.items()),
            ("DynamicsWebApi", node.check),
            ("OASIS CSDL schemas", csdl.check),
            ("odata-query", filters.check),
        ]
        return max(_told(name, check, environment) for name, check in checks)
    finally:
        running.stop()


def _told(name: str, check: Callable[[Environment], None], environment: Environment) -> int:
    try:
        check(environment)
    except Exception as difference:  # noqa: BLE001 - told, and the next check still runs
        print(f"FAILED  {name}: {type(difference).__name__}: {difference}")
        return 1
    print(f"ok      {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
