"""simple-salesforce by itself, in its own words and with its own sign-in replaced by nothing."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import requests
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import SalesforceMalformedRequest, SalesforceResourceNotFound

from tests.verify.differences import expect
from tests.verify.salesforce.environment import Environment


@contextmanager
def _client(environment: Environment) -> Iterator[Any]:
    # `Any`: objects are attributes that the library makes up, which its types do not say.
    settings = environment.settings
    with requests.Session() as session:
        session.verify, session.trust_env = settings.ca_file, False
        form = {"grant_type": "client_credentials"} | {
            name: settings.credentials[name] for name in ("client_id", "client_secret")
        }
        url = f"{settings.base_url}/services/oauth2/token"
        answer = session.post(url, data=form, timeout=10).json()
        yield Salesforce(
            session_id=answer["access_token"],
            instance_url=answer["instance_url"],
            version="67.0",
            session=session,
        )


def check(environment: Environment) -> None:
    """Records, errors, feeds and bulk, through the library's own methods."""
    check_records(environment)
    deal = {"Name": "A deal", "StageName": "Prospecting", "CloseDate": "2027-06-30"}
    with _client(environment) as salesforce:
        rows = [{**deal, "Dealreg_Id__c": str(uuid.uuid4())} for _ in range(3)]
        (job,) = salesforce.bulk2.Opportunity.insert(records=rows, wait=1)
        expect((job["numberRecordsTotal"], job["numberRecordsFailed"]), (3, 0), "bulk insert")
        pages = salesforce.bulk2.Opportunity.query("SELECT Id, Name FROM Opportunity LIMIT 3")
        expect(next(iter(pages)).count("\n"), 4, "lines of a bulk query")


def check_records(environment: Environment) -> None:
    """Write, read, and be refused; short enough to be among the tests."""
    key = str(uuid.uuid4())
    deal = {"Name": "A deal", "StageName": "Prospecting", "CloseDate": "2027-06-30"}
    with _client(environment) as salesforce:
        opportunities = salesforce.Opportunity
        made = opportunities.create({**deal, "Dealreg_Id__c": key})
        expect(made["success"], True, "create")
        expect(opportunities.update(made["id"], {"Amount": 5}), 204, "status of an update")
        read = opportunities.get_by_custom_id("Dealreg_Id__c", key)
        expect((read["Id"], read["Amount"]), (made["id"], 5.0), "by custom id")
        expect(opportunities.upsert(f"Dealreg_Id__c/{key}", deal), 200, "status of an upsert")
        escaped = key.replace("-", "\\-")
        found = salesforce.search(f"FIND {{{escaped}}} RETURNING Opportunity(Id), Lead")
        expect([r["Id"] for r in found["searchRecords"]], [made["id"]], "a search")
        _refusals(salesforce)
        now = environment.org.store.clock()
        feed = opportunities.updated(now - timedelta(hours=1), now + timedelta(minutes=2))
        expect(made["id"] in feed["ids"], True, "updated")
        expect(opportunities.delete(made["id"]), 204, "status of a delete")


def _refusals(salesforce: Any) -> None:
    try:
        salesforce.Opportunity.create({"Name": "x" * 300})
    except SalesforceMalformedRequest as refusal:
        expect("STRING_TOO_LONG" in str(refusal), True, "code of a refusal")
    else:
        expect("no error", "STRING_TOO_LONG", "a name that is too long")
    try:
        salesforce.Nonsense.describe()
    except SalesforceResourceNotFound as refusal:
        expect("NOT_FOUND" in str(refusal), True, "code of an unknown object")
