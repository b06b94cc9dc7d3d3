"""A running stand-in as the clients of others reach it."""

from __future__ import annotations

from dataclasses import dataclass

import msal
import requests

from connectors.dynamics365.connector import DynamicsConnector
from connectors.port import ConnectionSettings
from sandbox.stand_in import StandIn


@dataclass(frozen=True)
class Environment:
    """Where the stand-in is, a token for it, and our connector to compare with."""

    stand_in: StandIn
    url: str
    ca_file: str
    token: str
    connector: DynamicsConnector


def access_token(settings: ConnectionSettings) -> str:
    """Sign in with msal as it comes, over TLS."""
    session = requests.Session()
    session.verify, session.trust_env = settings.ca_file, False
    app = msal.ConfidentialClientApplication(
        settings.credentials["client_id"],
        client_credential=settings.credentials["client_secret"],
        authority=settings.token_url,
        instance_discovery=False,
        http_client=session,
    )
    answer = app.acquire_token_for_client(scopes=[f"{settings.base_url}/.default"])
    return str(answer["access_token"])
