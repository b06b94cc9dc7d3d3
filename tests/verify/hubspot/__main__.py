"""Hold the HubSpot connector and its stand-in against clients that nobody here wrote.

`make verify-hubspot` installs them: hubspot-api-client by its own models, hubspot-sdk with strict
validation, @hubspot/api-client for Node, and Prism, which holds every call of the connector and every answer of the stand-in against
OpenAPI files. Exits with 1 when one of them sees a difference.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from sandbox.hubspot.engine import HubSpotOrg
from sandbox.serving import start
from tests.contract.peers import settings_of
from tests.verify.hubspot import node, prism, sdk, vendor
from tests.verify.hubspot.portal import Portal

CHECKS: dict[str, Callable[[Portal], None]] = {
    "hubspot-api-client": vendor.check,
    "hubspot-sdk, strict": sdk.check,
    "@hubspot/api-client": node.check,
    "connector through Prism": prism.check,
}


def main() -> int:
    """Run every check and say how each went."""
    running = start(None)
    try:
        stand_in = running.crms["hubspot"]
        assert isinstance(stand_in.org, HubSpotOrg)
        portal = Portal(stand_in, stand_in.org, settings_of(running, "hubspot"))
        return max(_told(name, check, portal) for name, check in CHECKS.items())
    finally:
        running.stop()


def _told(name: str, check: Callable[[Portal], None], portal: Portal) -> int:
    try:
        check(portal)
    except Exception as difference:  # noqa: BLE001 - told, and the next check still runs
        print(f"FAILED  {name}: {type(difference).__name__}: {difference}")
        return 1
    print(f"ok      {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
