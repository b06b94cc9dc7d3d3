"""What a new Salesforce org of the sandbox holds: users, stages, currencies, accounts, two deals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from sandbox.records import Json, RecordStore, Row
from sandbox.salesforce.ids import make_id
from sandbox.salesforce.objects import CURRENCIES, PRODUCTS, STAGES

INTEGRATION_USER = "Dealreg Integration"
SALES_REPS = ("Sales Rep East", "Sales Rep West")
ACCOUNTS_FILE = Path(__file__).parent.parent / "data" / "accounts.json"
#: Account, name, stage, amount, currency, rep, and how many days ago the rep opened it.
_OPEN_DEALS = (
    (
        "sandpiper",
        "Sandpiper Foods freezer renewal",
        "Proposal/Price Quote",
        184_000.0,
        "GBP",
        SALES_REPS[0],
        0,
    ),
    (
        "merganser",
        "Merganser store network refresh",
        "Qualification",
        96_500.0,
        "GBP",
        SALES_REPS[1],
        0,
    ),
    ("redpoll", "Redpoll build farm", "Needs Analysis", 46_000.0, "USD", SALES_REPS[1], 7),
)


class NewOrg(Protocol):
    """What is filled: an org's store, and the ways in which a person's record gets there."""

    org_id: str
    store: RecordStore

    @property
    def integration_user_id(self) -> str:
        """The user that the API writes as."""

    def committing_late(self, started_at: datetime) -> AbstractContextManager[None]:
        """Stamp the writes inside with an earlier time."""

    def add(self, object_name: str, fields: Mapping[str, Json], user: str) -> Row:
        """Create a record as a person would."""


def seed_org(org: NewOrg) -> None:
    """Fill the org; what is there already by name is left as it is."""
    with org.store.exclusive():
        if org.store.fact("seeded"):
            return
        _seed_setup(org.store, org.org_id)
        ids = _seed_accounts(org.store, org.integration_user_id)
        _seed_deals(org, ids)
        org.store.set_fact("seeded", "yes")


def _ensure(
    store: RecordStore,
    object_name: str,
    key: str,
    fields: Mapping[str, Json],
    by: str,
    record_id: str | None = None,
) -> Row:
    for row in store.rows(object_name):
        if row.fields.get(key) == fields[key]:
            return row
    return store.insert(object_name, fields, by, record_id)


def _seed_setup(store: RecordStore, org_id: str) -> None:
    own_id = make_id("005", org_id[3:5], 1)
    first = _ensure(store, "User", "Username", _user(INTEGRATION_USER, "dreg"), own_id, own_id)
    for number, name in enumerate(SALES_REPS, start=1):
        _ensure(store, "User", "Username", _user(name, f"rep{number}"), first.id)
    organization: dict[str, Json] = {
        "Name": "Dealreg Sandbox",
        "IsSandbox": True,
        "OrganizationType": "Enterprise Edition",
    }
    _ensure(store, "Organization", "Name", organization, first.id, org_id)
    for order, stage in enumerate(STAGES, start=1):
        fields: dict[str, Json] = {
            "MasterLabel": stage.name,
            "ApiName": stage.name,
            "IsActive": True,
            "IsClosed": stage.closed,
            "IsWon": stage.won,
            "SortOrder": order,
            "DefaultProbability": float(stage.probability),
            "ForecastCategoryName": stage.forecast_category,
        }
        _ensure(store, "OpportunityStage", "ApiName", fields, first.id)
    for name in PRODUCTS.values():
        product: dict[str, Json] = {"Name": name, "IsActive": True}
        _ensure(store, "PricebookEntry", "Name", product, first.id)
    for code in CURRENCIES:
        currency: dict[str, Json] = {
            "IsoCode": code,
            "ConversionRate": 1.0,
            "DecimalPlaces": 0 if code == "JPY" else 2,
            "IsActive": True,
            "IsCorporate": code == CURRENCIES[0],
        }
        _ensure(store, "CurrencyType", "IsoCode", currency, first.id)


def user_address(name: str) -> str:
    """Word the user name of a user of the stand-in."""
    return f"{name.lower().replace(' ', '.')}@dealreg.example"


def _user(name: str, alias: str) -> dict[str, Json]:
    address = user_address(name)
    return {
        "Name": name,
        "Username": address,
        "Alias": alias,
        "Email": address,
        "IsActive": True,
        "UserType": "Standard",
        "DefaultCurrencyIsoCode": CURRENCIES[0],
    }


def _seed_accounts(store: RecordStore, by: str) -> dict[str, str]:
    listed: list[dict[str, Any]] = json.loads(ACCOUNTS_FILE.read_text(encoding="utf-8"))
    ours = [entry for entry in listed if "salesforce" in entry["crms"]]
    known = {str(row.fields["Name"]): row for row in store.rows("Account")}
    ids = {}
    for entry in ours:
        row = known.get(entry["name"]) or store.insert("Account", _account(entry, by), by)
        ids[entry["key"]] = row.id
    for entry in ours:
        parent = ids.get(entry.get("parent") or "")
        child = store.get("Account", ids[entry["key"]])
        if parent and child is not None and "ParentId" not in child.fields:
            store.update(child, {"ParentId": parent}, by)
    return ids


def _account(entry: Mapping[str, Any], by: str) -> dict[str, Json]:
    return {
        "Name": entry["name"],
        "Website": f"https://{entry['domain']}" if entry.get("domain") else None,
        "BillingCountryCode": entry.get("country"),
        "BillingCity": entry.get("city"),
        "BillingPostalCode": entry.get("postcode"),
        "Phone": entry.get("phone"),
        "Tax_Id__c": entry.get("tax_id"),
        "DunsNumber": entry.get("duns"),
        "Type": "Customer - Direct" if entry["class"] == "direct" else "Prospect",
        "House_Account__c": entry["class"] == "house",
        "Do_Not_Call__c": entry["class"] == "do_not_call",
        "OwnerId": by,
    }


def _seed_deals(org: NewOrg, account_ids: Mapping[str, str]) -> None:
    now = org.store.clock()
    there = {row.fields["Name"] for row in org.store.rows("Opportunity")}
    for key, name, stage, amount, currency, rep, age_days in _OPEN_DEALS:
        if name not in there:
            fields: dict[str, Json] = {
                "Name": name,
                "StageName": stage,
                "CloseDate": (now + timedelta(days=60)).date().isoformat(),
                "Amount": amount,
                "CurrencyIsoCode": currency,
                "AccountId": account_ids[key],
            }
            with org.committing_late(now - timedelta(days=age_days)):
                org.add("Opportunity", fields, rep)
