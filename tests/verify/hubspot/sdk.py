"""hubspot-sdk 0.1.0a9 by its 2026-03 paths, refusing every answer that does not fit its models."""

from __future__ import annotations

import ssl
import uuid
from typing import Any

import httpx
from hubspot_sdk import BadRequestError, HubSpot, NotFoundError

from tests.verify.differences import expect
from tests.verify.hubspot.portal import Portal

_DEAL = {"pipeline": "default", "dealstage": "appointmentscheduled"}


def check(portal: Portal) -> None:
    """Drive records, batches, search, associations, definitions and errors."""
    trusting = ssl.create_default_context(cafile=portal.settings.ca_file)
    client = HubSpot(
        access_token=portal.token,
        base_url=portal.settings.base_url,
        max_retries=0,
        http_client=httpx.Client(verify=trusting),
        _strict_response_validation=True,
    )
    with client:
        deal_id = _records(client)
        _batches(client)
        _searches(client)
        _associations(client, portal, deal_id)
        _definitions(client)
        _merges(client)


def _records(client: HubSpot) -> str:
    deals, key = client.crm.objects.deals, str(uuid.uuid4())
    made = deals.create(properties={**_DEAL, "dealname": "SDK", "dealreg_id": key}, associations=[])
    read = deals.get(made.id, properties=["dealname"], properties_with_history=["dealname"])
    expect(read.properties["dealname"], "SDK", "deal name")
    expect(bool(read.properties_with_history), True, "history asked for is there")
    by_key = deals.get(key, id_property="dealreg_id")
    expect(by_key.id, made.id, "deal by unique property")
    changed = deals.update(made.id, properties={"amount": "1500.50"})
    expect(changed.properties["amount"], "1500.5", "amount as HubSpot keeps it")
    listed = {deal.id for deal in deals.list(limit=100)}
    expect(made.id in listed, True, "deal in the listing")
    doomed = deals.create(properties={**_DEAL, "dealname": "Doomed"}, associations=[])
    deals.delete(doomed.id)
    expect(doomed.id in {d.id for d in deals.list(archived=True, limit=100)}, True, "in the bin")
    try:
        deals.get("999999999999")
    except NotFoundError as error:
        expect(error.status_code, 404, "unknown deal")
    else:
        expect("found", "not found", "unknown deal")
    try:
        deals.create(properties={**_DEAL, "dealname": "Again", "dealreg_id": key}, associations=[])
    except BadRequestError as error:
        expect("CONFLICTING_UNIQUE_VALUE" in str(error.body), True, "a taken key is named")
    else:
        expect("created twice", "refused", "a taken key")
    return str(made.id)


def _batches(client: HubSpot) -> None:
    batch, keys = client.crm.objects.deals.batch, [str(uuid.uuid4()) for _ in range(3)]
    inputs: list[Any] = [
        {
            "properties": {**_DEAL, "dealname": f"Batch {key}", "dealreg_id": key},
            "associations": [],
            "object_write_trace_id": key,
        }
        for key in keys
    ]
    made = batch.create(inputs=inputs)
    expect((made.status, len(made.results)), ("COMPLETE", 3), "batch create")
    ids = [deal.id for deal in made.results]
    read = batch.get(
        inputs=[{"id": key} for key in keys],
        properties=["dealname"],
        properties_with_history=[],
        id_property="dealreg_id",
    )
    expect(sorted(deal.id for deal in read.results), sorted(ids), "batch read by unique property")
    changed = batch.update(inputs=[{"id": i, "properties": {"dealname": "After"}} for i in ids])
    expect({deal.properties["dealname"] for deal in changed.results}, {"After"}, "batch update")


def _searches(client: HubSpot) -> None:
    found = client.crm.objects.companies.search(
        after="0",
        filter_groups=[
            {"filters": [{"property_name": "name", "operator": "HAS_PROPERTY"}]},
        ],
        limit=2,
        properties=["name"],
        sorts=["hs_object_id"],
    )
    expect(len(found.results), 2, "companies on a page")
    expect(found.paging is not None and found.paging.next.after, "2", "the next page")


def _associations(client: HubSpot, portal: Portal, deal_id: str) -> None:
    company = portal.org.store.rows("companies")[0].id
    batch = client.crm.associations.batch
    inputs: list[Any] = [
        {
            "from": {"id": deal_id},
            "to": {"id": company},
            "types": [{"association_category": "HUBSPOT_DEFINED", "association_type_id": 5}],
        }
    ]
    batch.create("companies", from_object_type="deals", inputs=inputs)
    read = batch.get("companies", from_object_type="deals", inputs=[{"id": deal_id}])
    (row,) = read.results
    expect([str(each.to_object_id) for each in row.to], [company], "associated company")
    expect(
        {kind.type_id for kind in row.to[0].association_types}, {5, 341}, "primary and unlabelled"
    )


def _definitions(client: HubSpot) -> None:
    properties = {p.name: p for p in client.crm.properties.list("deals").results}
    expect(properties["dealreg_id"].has_unique_value, True, "the unique property")
    pipelines = client.crm.pipelines.list("deals").results
    expect("partner_mirror" in {p.id for p in pipelines}, True, "the mirror's pipeline")
    owners = list(client.crm.owners.list(limit=100))
    expect(len(owners) >= 2, True, "owners")


def _merges(client: HubSpot) -> None:
    deals = client.crm.objects.deals
    first, second = (
        deals.create(properties={**_DEAL, "dealname": name}, associations=[])
        for name in ("One", "Two")
    )
    survivor = deals.merge(primary_object_id=first.id, object_id_to_merge=second.id)
    expect(survivor.id not in (first.id, second.id), True, "a merge makes a new id")
    expect(deals.get(second.id).id, survivor.id, "an old id leads to the survivor")
