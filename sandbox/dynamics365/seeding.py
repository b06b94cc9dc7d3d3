"""What a new environment starts with: users, currencies, and the accounts all stand-ins share.

Dataverse developer guide, "Use single-tenant server-to-server authentication" (the application
user), "Transaction currency table" and "Register a webhook".
"""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID, uuid5

from sandbox.dynamics365.schema import CURRENCIES, TABLES
from sandbox.dynamics365.webhooks import SUBSCRIBED
from sandbox.records import Json, RecordStore

_ACCOUNTS = Path(__file__).resolve().parent.parent / "data" / "accounts.json"
#: Names of the sales people; the first owns what has no other owner.
SALES_PEOPLE = ("Sales Rep East", "Sales Rep West")
_CUSTOMER, _PROSPECT = 3, 8


def seed(store: RecordStore, names: UUID, application_id: str) -> None:
    """Fill an empty store; ids follow from `names`, so that every run has the same ones."""
    integration = str(uuid5(names, "systemuser:integration"))
    people = {"systemuser:integration": ("Deal Registration Integration", application_id)}
    people |= {f"systemuser:{name}": (name, "") for name in SALES_PEOPLE}
    for key, (name, application) in people.items():
        address = f"{name.lower().replace(' ', '.')}@dealreg.example"
        user: dict[str, Json] = {
            "fullname": name,
            "isdisabled": False,
            "internalemailaddress": address,
        }
        if application:
            user["applicationid"] = application
        store.insert("systemuser", user, integration, str(uuid5(names, key)))
    for code, name in CURRENCIES.items():
        currency: dict[str, Json] = {
            "isocurrencycode": code,
            "currencyname": name,
            "currencyprecision": 0 if code == "JPY" else 2,
        }
        record_id = str(uuid5(names, f"transactioncurrency:{code}"))
        store.insert("transactioncurrency", currency, integration, record_id)
    _seed_accounts(store, names)
    _seed_webhook(store, names, integration)


def _seed_webhook(store: RecordStore, names: UUID, by: str) -> None:
    """Register the webhook as `docs/dynamics.md` asks for it: asynchronous, after the operation."""

    def insert(table: str, key: str, fields: dict[str, Json]) -> str:
        return store.insert(table, fields, by, str(uuid5(names, f"{table}:{key}"))).id

    url = "https://dealreg.example/webhooks/dynamics"
    endpoint = insert(
        "serviceendpoint", url, {"name": "dealreg", "url": url, "contract": 8, "authtype": 5}
    )
    for message in ("Create", "Update", "Delete"):
        message_id = insert("sdkmessage", message, {"name": message})
        for table in sorted(SUBSCRIBED):
            name = f"{message} of {table}"
            about: dict[str, Json] = {"primaryobjecttypecode": table, "sdkmessageid": message_id}
            step: dict[str, Json] = {
                "name": name,
                "mode": 1,
                "stage": 40,
                "eventhandler": endpoint,
                "sdkmessageid": message_id,
                "sdkmessagefilterid": insert("sdkmessagefilter", name, about),
                "statecode": 0,
                "statuscode": 1,
            }
            if message == "Update":
                columns = [column.name for column in TABLES[table].columns if column.writable]
                step["filteringattributes"] = ",".join(columns)
            insert("sdkmessageprocessingstep", name, step)


def _seed_accounts(store: RecordStore, names: UUID) -> None:
    rows = json.loads(_ACCOUNTS.read_text(encoding="utf-8"))
    here = [row for row in rows if "dynamics365" in row["crms"]]
    ids = {row["key"]: str(uuid5(names, f"account:{row['key']}")) for row in here}
    owners = [str(uuid5(names, f"systemuser:{name}")) for name in SALES_PEOPLE]
    for place, row in enumerate(here):
        owner = owners[place % len(owners)]
        account: dict[str, Json] = {
            "name": row["name"],
            "websiteurl": f"https://www.{row['domain']}" if row["domain"] else None,
            "address1_country": row["country"],
            "address1_city": row["city"],
            "address1_postalcode": row["postcode"],
            "telephone1": row["phone"],
            "dr_taxid": row["tax_id"],
            "dr_duns": row["duns"],
            "customertypecode": _CUSTOMER if row["class"] == "direct" else _PROSPECT,
            "dr_houseaccount": row["class"] == "house",
            "dr_donotcall": row["class"] == "do_not_call",
            "parentaccountid": ids.get(row.get("parent") or ""),
            "ownerid": owner,
            "statecode": 0,
            "statuscode": 1,
        }
        store.insert("account", account, owner, ids[row["key"]])
