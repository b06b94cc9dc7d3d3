"""Run @hubspot/api-client in Node against the stand-in; `client.mjs` holds what it checks."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from sandbox.records import Event
from tests.verify.differences import Differs
from tests.verify.hubspot.portal import Portal

_SCRIPT = Path(__file__).parent / "client.mjs"


def check(portal: Portal) -> None:
    """Run the script; what it prints is the difference it saw."""
    done = subprocess.run(
        ["node", str(_SCRIPT)],
        env={
            **os.environ,
            "NODE_EXTRA_CA_CERTS": portal.settings.ca_file,
            "HUBSPOT_URL": portal.settings.base_url,
            "HUBSPOT_TOKEN": portal.token,
            "HUBSPOT_DELIVERY": json.dumps(_delivery(portal)),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise Differs((done.stdout + done.stderr).strip())


def _delivery(portal: Portal) -> dict[str, object]:
    """Change a company as a sales rep and return the webhook that tells of it."""
    events: list[Event] = []
    portal.org.store.on_event(events.append)
    company = portal.org.store.rows("companies")[0]
    portal.org.edit("companies", company.id, {"city": "Zürich"}, "Sales Rep East")
    sent = portal.org.deliveries(events, "https://dealreg.example.com")[0]
    return {
        "url": sent.url,
        "headers": dict(sent.headers),
        "body": sent.body.decode(),
        "secret": portal.settings.webhook["secret"],
    }
