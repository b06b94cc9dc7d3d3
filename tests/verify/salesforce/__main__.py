"""Hold the Salesforce connector and its stand-in against clients that nobody here wrote.

`make verify-salesforce` installs them: simple-salesforce by itself, jsforce for Node,
aiosalesforce, and the SOQL grammar of soql-parser-js. The keys of every kind of answer are compared
with those of real orgs, too. Exits with 1 when one of them sees a
difference.
"""

from __future__ import annotations

import sys

from connectors.salesforce.connector import SalesforceConnector
from sandbox.salesforce.engine import SalesforceOrg
from sandbox.serving import now, start
from tests.contract.peers import settings_of
from tests.verify.differences import told
from tests.verify.salesforce import aio, golden, simple, soql
from tests.verify.salesforce.environment import Environment, run_node


def main() -> int:
    """Run every check and say how each went."""
    running = start(None)
    try:
        settings = settings_of(running, "salesforce")
        stand_in = running.crms["salesforce"]
        org = stand_in.org
        assert isinstance(org, SalesforceOrg)
        environment = Environment(stand_in, org, settings, SalesforceConnector(settings, now))
        refresh = {"SALESFORCE_REFRESH_TOKEN": org.sessions.authorize(rotating=False)}
        return told(
            {
                "simple-salesforce": lambda: simple.check(environment),
                "aiosalesforce": lambda: aio.check(environment),
                "jsforce": lambda: print(run_node("client.mjs", environment, refresh), end=""),
                "golden keys": lambda: golden.check(environment),
                "soql-parser-js": lambda: soql.check(environment),
            }
        )
    finally:
        running.stop()


if __name__ == "__main__":
    sys.exit(main())
