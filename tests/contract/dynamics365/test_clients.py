"""Clients that nobody here wrote against the stand-in, and our connector beside them.

`make verify-dynamics` has the rest of them, which takes npm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from connectors.dynamics365.connector import DynamicsConnector
from sandbox.serving import Running
from tests.contract.dynamics365 import restored
from tests.contract.peers import Peer, Timepiece, settings_of
from tests.verify.dynamics import filters, sdk
from tests.verify.dynamics.environment import Environment, access_token


@pytest.fixture
def environment(
    running: Running, remote: Callable[[str], Peer], timepiece: Timepiece
) -> Iterator[Environment]:
    settings = settings_of(running, "dynamics365")
    with restored(remote("dynamics365")) as crm:
        yield Environment(
            stand_in=crm.stand_in,
            url=crm.stand_in.url,
            ca_file=str(running.ca_file),
            token=access_token(settings),
            connector=DynamicsConnector(settings, timepiece),
        )


@pytest.mark.parametrize("check", sdk.CHECKS.values(), ids=sdk.CHECKS.keys())
def test_the_vendors_sdk_and_our_connector_read_what_the_other_wrote(
    environment: Environment, check: Callable[[Environment], None]
) -> None:
    check(environment)


def test_every_filter_we_send_is_one_to_a_parser_of_others(environment: Environment) -> None:
    filters.check(environment)
