"""Qualifying a lead as a salesperson does: it becomes an opportunity, and stays as a closed row.

Web API reference, "QualifyLead Action"; table references "Lead" and "Opportunity": which columns
are carried over. Columns of the customer's own are not, unless somebody maps them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from sandbox.dynamics365.columns import Table
from sandbox.dynamics365.schema import LEAD, OPPORTUNITY
from sandbox.records import Json, RecordStore, Row

_CARRIED = {
    "subject": "name",
    "description": "description",
    "estimatedamount": "estimatedvalue",
    "estimatedclosedate": "estimatedclosedate",
    "parentaccountid": "parentaccountid",
    "transactioncurrencyid": "transactioncurrencyid",
    "ownerid": "ownerid",
}


class Org(Protocol):
    """The part of an environment that qualifying needs."""

    store: RecordStore

    def create(self, table: Table, values: Mapping[str, Json], by: str) -> Row: ...
    def update(self, table: Table, row: Row, values: Mapping[str, Json], by: str) -> Row: ...


def qualify(org: Org, lead: Row, values: Mapping[str, Json], by: str) -> Row:
    """Take the last changes in, make the opportunity, and close the lead; in one transaction."""
    state = {"statecode", "statuscode"}
    changes = {name: value for name, value in values.items() if name not in state}
    if changes:
        org.update(LEAD, lead, changes, by)
    carried = {theirs: lead.fields.get(ours) for ours, theirs in _CARRIED.items()}
    carried["customerid_account"] = lead.fields.get("parentaccountid")
    deal = org.create(OPPORTUNITY, {**carried, "originatingleadid": lead.id}, by)
    closed: dict[str, Json] = {"statecode": 1, "statuscode": 3, "qualifyingopportunityid": deal.id}
    return org.store.update(lead, closed, by)
