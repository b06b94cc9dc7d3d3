"""hubspot-api-client 12, the client that the connector stands on, with its typed models.

The connector reads raw bodies; here the vendor's own models have to make sense of the answers.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from hubspot import HubSpot
from hubspot.crm.contacts.exceptions import ApiException as ContactError
from hubspot.crm.deals.exceptions import ApiException as DealError

from tests.verify.differences import expect
from tests.verify.hubspot.portal import Portal

_DEAL = {"pipeline": "default", "dealstage": "appointmentscheduled"}


def records(portal: Portal) -> None:
    """Read what was written, by key too, and be told what may not be written."""
    api, key = _client(portal).crm.deals, str(uuid.uuid4())
    basic, batch = api.basic_api, api.batch_api
    made = basic.create({"properties": {**_DEAL, "dealname": "Typed", "dealreg_id": key}})
    expect(basic.get_by_id(key, id_property="dealreg_id").id, made.id, "deal by unique property")
    again = {"properties": {**_DEAL, "dealname": "Twice", "dealreg_id": key}}
    expect(_refusal(DealError, basic.create, again)[0], 400, "a taken key")
    other = str(uuid.uuid4())
    rows = [
        {"objectWriteTraceId": each, "properties": {**_DEAL, "dealname": "B", "dealreg_id": each}}
        for each in (other, key)
    ]
    partly = batch.create({"inputs": rows})
    expect((len(partly.results), partly.num_errors), (1, 1), "a batch of a good and a bad row")
    expect(partly.errors[0].context["objectWriteTraceId"], [key], "the row that was refused")


def associations(portal: Portal) -> None:
    """Associate a deal with a company, and find it by that."""
    client = _client(portal)
    made = client.crm.deals.basic_api.create({"properties": {**_DEAL, "dealname": "Linked"}})
    company = portal.org.store.rows("companies")[0].id
    links = client.crm.associations.v4.batch_api
    primary = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 5}]
    links.create(
        "deals",
        "companies",
        {"inputs": [{"from": {"id": made.id}, "to": {"id": company}, "types": primary}]},
    )
    (row,) = links.get_page("deals", "companies", {"inputs": [{"id": made.id}]}).results
    expect(str(row.to[0].to_object_id), company, "associated company")
    wanted = {"propertyName": "associations.company", "operator": "EQ", "value": company}
    search = client.crm.deals.search_api
    found = search.do_search({"filterGroups": [{"filters": [wanted]}], "limit": 100})
    expect(made.id in {each.id for each in found.results}, True, "the deal by its company")


def refusals(portal: Portal) -> None:
    """A taken address of a contact, and too long a page of history."""
    contacts, email = _client(portal).crm.contacts.basic_api, f"{uuid.uuid4()}@example.com"
    there = contacts.create({"properties": {"email": email}})
    status, body = _refusal(ContactError, contacts.create, {"properties": {"email": email}})
    expect((status, f"Existing ID: {there.id}" in body), (409, True), "a taken address")
    with_history = {"properties_with_history": ["email"]}
    page = contacts.get_page(limit=50, **with_history)
    expect(bool(page.results), True, "a page of fifty with history")
    status, _ = _refusal(ContactError, contacts.get_page, limit=51, **with_history)
    expect(status, 400, "a page of fifty-one with history")


#: Short enough for every run of the tests, too.
CHECKS: tuple[Callable[[Portal], None], ...] = (records, associations, refusals)


def check(portal: Portal) -> None:
    """Run them all."""
    for each in CHECKS:
        each(portal)


def _client(portal: Portal) -> Any:
    settings = portal.settings
    return HubSpot(access_token=portal.token, host=settings.base_url, ssl_ca_cert=settings.ca_file)


def _refusal(
    error: type[Exception], call: Callable[..., Any], *args: Any, **options: Any
) -> tuple[int, str]:
    """Make a call that has to be refused; return the status and the body."""
    try:
        call(*args, **options)
    except error as refused:
        return refused.status, str(refused.body)  # type: ignore[attr-defined]
    return 200, ""
