"""A running stand-in as the clients of others reach it."""

from __future__ import annotations

from dataclasses import dataclass

from connectors.port import ConnectionSettings
from sandbox.hubspot.engine import HubSpotOrg
from sandbox.stand_in import StandIn


@dataclass(frozen=True)
class Portal:
    """Where the stand-in is, how to sign in, and its records to compare with."""

    stand_in: StandIn
    org: HubSpotOrg
    settings: ConnectionSettings

    @property
    def token(self) -> str:
        """The static token of the portal's app."""
        return self.settings.credentials["access_token"]
