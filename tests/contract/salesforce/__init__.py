"""Records and readings that the tests of Salesforce share."""

from __future__ import annotations

import uuid
from datetime import date

from connectors.port import (
    ChangePage,
    CreateItem,
    CrmConnector,
    Written,
)
from registration_core.contracts import Value
from sandbox.salesforce.engine import SalesforceOrg
from sandbox.salesforce.seed import SALES_REPS

KEY = "Dealreg_Id__c"
REP = SALES_REPS[0]
OPPORTUNITY = "Opportunity"


def item(**fields: Value) -> CreateItem:
    key = str(uuid.uuid4())
    base: dict[str, Value] = {
        KEY: key,
        "Name": f"Deal {key[:8]}",
        "StageName": "Prospecting",
        "CloseDate": date(2027, 6, 30),
    }
    return CreateItem(key, base | fields)


def create(connector: CrmConnector, **fields: Value) -> str:
    (outcome,) = connector.create(OPPORTUNITY, KEY, [item(**fields)])
    assert isinstance(outcome, Written)
    return outcome.record_id


def account(org: SalesforceOrg, name: str) -> str:
    return org.add("Account", {"Name": name}, REP).id


def drain(
    connector: CrmConnector, cursor: str | None, object_name: str = OPPORTUNITY
) -> tuple[list[ChangePage], str]:
    pages = []
    while True:
        page = connector.changes(object_name, ["Name"], cursor)
        pages.append(page)
        cursor = page.cursor
        if not page.more:
            return pages, cursor


def seen(pages: list[ChangePage]) -> dict[str, Value]:
    return {r.record_id: r.fields["Name"] for page in pages for r in page.records}
