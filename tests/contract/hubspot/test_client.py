"""The vendor's own client, with its typed models, against the stand-in."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hubspot import HubSpot
from hubspot.crm.deals.exceptions import ApiException

from sandbox.hubspot.engine import HubSpotOrg
from sandbox.serving import Running

DEAL = {"pipeline": "default", "dealstage": "appointmentscheduled"}


@pytest.fixture
def client(running: Running) -> Any:
    stand_in = running.crms["hubspot"]
    return HubSpot(
        access_token=stand_in.credentials["access_token"],
        host=stand_in.url,
        ssl_ca_cert=str(running.ca_file),
    )


def test_the_vendors_client_reads_what_it_wrote_and_what_it_may_not_write(client: Any) -> None:
    api, key = client.crm.deals, str(uuid.uuid4())
    basic, batch = api.basic_api, api.batch_api
    made = basic.create({"properties": {**DEAL, "dealname": "Typed", "dealreg_id": key}})
    assert basic.get_by_id(key, id_property="dealreg_id").id == made.id
    with pytest.raises(ApiException) as caught:
        basic.create({"properties": {**DEAL, "dealname": "Twice", "dealreg_id": key}})
    assert caught.value.status == 400
    other = str(uuid.uuid4())
    rows = [
        {"objectWriteTraceId": each, "properties": {**DEAL, "dealname": "B", "dealreg_id": each}}
        for each in (other, key)
    ]
    partly = batch.create({"inputs": rows})
    assert (len(partly.results), partly.num_errors) == (1, 1)
    assert partly.errors[0].context["objectWriteTraceId"] == [key]


def test_the_vendors_client_searches_and_associates(client: Any, org: HubSpotOrg) -> None:
    made = client.crm.deals.basic_api.create({"properties": {**DEAL, "dealname": "Linked"}})
    company = org.store.rows("companies")[0].id
    links = client.crm.associations.v4.batch_api
    primary = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 5}]
    links.create(
        "deals",
        "companies",
        {"inputs": [{"from": {"id": made.id}, "to": {"id": company}, "types": primary}]},
    )
    (row,) = links.get_page("deals", "companies", {"inputs": [{"id": made.id}]}).results
    assert str(row.to[0].to_object_id) == company
    wanted = {"propertyName": "associations.company", "operator": "EQ", "value": company}
    search = client.crm.deals.search_api
    found = search.do_search({"filterGroups": [{"filters": [wanted]}], "limit": 100})
    assert made.id in {each.id for each in found.results}


def test_the_vendors_client_is_refused_a_taken_address_and_a_long_page_of_history(
    client: Any,
) -> None:
    contacts, email = client.crm.contacts.basic_api, f"{uuid.uuid4()}@example.com"
    there = contacts.create({"properties": {"email": email}})
    with pytest.raises(Exception, match=f"Existing ID: {there.id}") as caught:
        contacts.create({"properties": {"email": email}})
    assert caught.value.status == 409  # type: ignore[attr-defined]
    assert contacts.get_page(limit=50, properties_with_history=["email"]).results
    with pytest.raises(Exception, match="between 1 and 50"):
        contacts.get_page(limit=51, properties_with_history=["email"])
