"""aiosalesforce: a second Python client, with typed errors of its own."""

from __future__ import annotations

import asyncio
import ssl
import uuid
from typing import Any

import httpx
from aiosalesforce import ClientCredentialsFlow, Salesforce
from aiosalesforce.exceptions import (
    DuplicatesDetectedError,
    MoreThanOneRecordError,
    NotFoundError,
    SalesforceError,
)

from tests.verify.differences import expect
from tests.verify.salesforce.environment import Environment

#: The library takes no other hosts; the transport leads them to the stand-in.
_HOST = "https://acme.my.salesforce.com"


class _Led(httpx.AsyncBaseTransport):  # type: ignore[misc]
    def __init__(self, url: str, ca_file: str) -> None:
        self._url = httpx.URL(url)
        self._inner = httpx.AsyncHTTPTransport(verify=ssl.create_default_context(cafile=ca_file))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(host=self._url.host, port=self._url.port)
        return await self._inner.handle_async_request(request)


def check(environment: Environment) -> None:
    """Sign in, write, read, and be refused."""
    asyncio.run(_check(environment))


async def _check(environment: Environment) -> None:
    settings = environment.settings
    key = str(uuid.uuid4())
    lead = {"LastName": "Buyer", "Company": "Acme", "Email": f"{key}@acme.example"}
    transport = _Led(settings.base_url, settings.ca_file)
    async with httpx.AsyncClient(transport=transport) as client:
        given = (settings.credentials["client_id"], settings.credentials["client_secret"])
        salesforce = Salesforce(
            client, base_url=_HOST, auth=ClientCredentialsFlow(*given), version="60.0"
        )
        record_id = await salesforce.sobject.create("Lead", {**lead, "Dealreg_Id__c": key})
        found = await salesforce.sobject.get("Lead", record_id)
        expect(found["Company"], "Acme", "a lead")
        await salesforce.sobject.update("Lead", record_id, {"Company": "Acme Two"})
        told = await salesforce.sobject.upsert(
            "Lead", key, "Dealreg_Id__c", {"Company": "Acme Three"}
        )
        expect((told.id, told.created), (record_id, False), "an upsert")
        rows = [r async for r in salesforce.query("SELECT Id FROM Lead WHERE Company LIKE 'Acme%'")]
        expect(record_id in {row["Id"] for row in rows}, True, "a query")
        await _refusals(environment, salesforce, lead, record_id)
        await _ambiguous(salesforce)
        await salesforce.sobject.delete("Lead", record_id)
        try:
            await salesforce.sobject.get("Lead", record_id)
        except NotFoundError as refusal:
            expect(refusal.error_code, "ENTITY_IS_DELETED", "a lead that was deleted")


async def _refusals(
    environment: Environment, salesforce: Salesforce, lead: dict[str, str], record_id: str
) -> None:
    try:
        await salesforce.sobject.create("Lead", {"Company": "Acme"})
    except SalesforceError as refusal:
        code = (refusal.error_code, "LastName" in str(refusal))
        expect(code, ("REQUIRED_FIELD_MISSING", True), "a lead without a name")
    else:
        expect("no error", "REQUIRED_FIELD_MISSING", "a lead without a name")
    environment.org.rules.block_duplicates("Lead", "Email")
    try:
        await salesforce.sobject.create("Lead", lead)
    except DuplicatesDetectedError as refusal:
        found = [(each["id"], each["sobject"]) for each in refusal.duplicates]
        expect(found, [(record_id, "Lead")], "what a duplicate rule found")
    else:
        expect("no error", "DUPLICATES_DETECTED", "a second lead")
    finally:
        environment.org.rules.clear()


async def _ambiguous(salesforce: Salesforce) -> None:
    """An external id that is not unique: an upsert names the records and changes none of them."""
    number = str(uuid.uuid4())
    contact = {"LastName": "Buyer", "Erp_Number__c": number}
    ids = [await salesforce.sobject.create("Contact", contact) for _ in range(2)]
    try:
        await salesforce.sobject.upsert("Contact", number, "Erp_Number__c", {"LastName": "Other"})
    except MoreThanOneRecordError as refusal:
        answer: Any = refusal.response
        urls = [f"/services/data/v60.0/sobjects/Contact/{record_id}" for record_id in ids]
        expect((answer.status_code, answer.json()), (300, urls), "an upsert")
    else:
        expect("no error", "300", "an upsert by a key that two records have")
    for record_id in ids:
        found = await salesforce.sobject.get("Contact", record_id)
        expect(found["LastName"], "Buyer", "a contact that nobody chose")
