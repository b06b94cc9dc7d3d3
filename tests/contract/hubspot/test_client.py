"""The vendor's own client, with its typed models, against the stand-in."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sandbox.hubspot.engine import HubSpotOrg
from sandbox.serving import Running
from sandbox.stand_in import StandIn
from tests.contract.peers import settings_of
from tests.verify.hubspot import vendor
from tests.verify.hubspot.portal import Portal


@pytest.mark.parametrize("check", vendor.CHECKS)
def test_the_vendors_client_sees_what_it_documents(
    check: Callable[[Portal], None], running: Running, stand_in: StandIn, org: HubSpotOrg
) -> None:
    check(Portal(stand_in, org, settings_of(running, "hubspot")))
