"""A running stand-in, as the control door and tests see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sandbox.faults import FaultPlan
from sandbox.journal import Journal
from sandbox.org import Org
from sandbox.webhooks import WebhookSender


@dataclass(frozen=True)
class StandIn:
    """One running CRM: where it is, how to sign in, and what a test may reach into."""

    crm: str
    url: str
    org: Org
    credentials: Mapping[str, str]
    faults: FaultPlan
    journal: Journal
    webhooks: WebhookSender
