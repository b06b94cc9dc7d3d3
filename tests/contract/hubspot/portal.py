"""Deals and companies for the tests of what is special to HubSpot."""

from __future__ import annotations

from connectors.hubspot.connector import HubSpotConnector
from connectors.port import CreateItem, RemoteRecord, Written
from registration_core.contracts import Value
from sandbox.hubspot.engine import HubSpotOrg
from sandbox.records import Row

COMPANY = "associations.companies"
REP = "Sales Rep East"


def item(key: str, **fields: Value) -> CreateItem:
    """Word a deal to create."""
    named: dict[str, Value] = {
        "dealname": f"Deal {key}",
        "pipeline": "default",
        "dealstage": "appointmentscheduled",
        "dealreg_id": key,
    }
    return CreateItem(key, named | fields)


def created(hubspot: HubSpotConnector, key: str, **fields: Value) -> str:
    """Create a deal and return its id."""
    (outcome,) = hubspot.create("deals", "dealreg_id", [item(key, **fields)])
    assert isinstance(outcome, Written)
    return outcome.record_id


def company(org: HubSpotOrg, name: str = "Acme") -> Row:
    """Add a company as a sales rep."""
    return org.add("companies", {"name": name}, REP)


def company_of(hubspot: HubSpotConnector, deal_id: str) -> Value:
    """Read a deal's primary company."""
    found = hubspot.read("deals", [deal_id], [COMPANY])[deal_id]
    assert isinstance(found, RemoteRecord)
    return found.fields[COMPANY]
