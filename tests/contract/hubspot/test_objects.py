"""Registrations as leads and as a custom object, and the associations of each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from connectors.deliveries import ChangeNotice, WebhookRequest
from connectors.errors import CallRejected
from connectors.hubspot.connector import HubSpotConnector
from connectors.port import (
    Absence,
    CreateItem,
    Gone,
    Refused,
    RemoteRecord,
    UpdateItem,
    Written,
)
from registration_core.contracts import Condition, FieldType, Value
from sandbox.hubspot.engine import HubSpotOrg
from sandbox.records import Event
from tests.contract.hubspot.portal import COMPANY, REP, company, created, item
from tests.contract.peers import Timepiece

REGISTRATIONS = "2-41750338"
CONTACT = "associations.contacts"


def contact(org: HubSpotOrg) -> str:
    """Add a person as a sales rep."""
    return org.add("contacts", {"firstname": "Ada"}, REP).id


def made(hubspot: HubSpotConnector, object_name: str, key: str, **fields: Value) -> str:
    """Create a record of an object and return its id."""
    (outcome,) = hubspot.create(
        object_name, "dealreg_id", [CreateItem(key, {"dealreg_id": key, **fields})]
    )
    assert isinstance(outcome, Written), outcome
    return outcome.record_id


def values(hubspot: HubSpotConnector, object_name: str, record_id: str, *names: str) -> object:
    """Read the values of a record, one or several."""
    found = hubspot.read(object_name, [record_id], names)[record_id]
    assert isinstance(found, RemoteRecord)
    return found.fields[names[0]] if len(names) == 1 else tuple(found.fields[n] for n in names)


def test_a_custom_object_has_its_company_by_a_type_that_only_the_account_knows(
    hubspot: HubSpotConnector, org: HubSpotOrg, new_key: Callable[[], str]
) -> None:
    first, second = company(org).id, company(org).id
    record_id = made(hubspot, REGISTRATIONS, new_key(), registration_name="R", **{COMPANY: first})
    assert values(hubspot, REGISTRATIONS, record_id, COMPANY) == first
    for wanted in (second, None):
        (moved,) = hubspot.update(REGISTRATIONS, [UpdateItem(record_id, {COMPANY: wanted})])
        assert isinstance(moved, Written)
        assert values(hubspot, REGISTRATIONS, record_id, COMPANY) == wanted


def test_a_custom_object_stands_in_a_pipeline_and_is_found_by_key_company_and_change(
    hubspot: HubSpotConnector,
    org: HubSpotOrg,
    timepiece: Timepiece,
    new_key: Callable[[], str],
) -> None:
    schema = hubspot.describe(REGISTRATIONS)
    assert schema.fields["hs_pipeline_stage"].options == tuple(
        f"14020030{number}" for number in range(1, 7)
    )
    assert schema.fields["product_lines"].type is FieldType.MULTI_PICKLIST
    timepiece.skip(timedelta(minutes=3))
    page = hubspot.changes(REGISTRATIONS, ["registration_name"], None)
    while page.more:
        page = hubspot.changes(REGISTRATIONS, ["registration_name"], page.cursor)
    key, acme = new_key(), company(org).id
    record_id = made(hubspot, REGISTRATIONS, key, registration_name="R", **{COMPANY: acme})
    org.edit(REGISTRATIONS, record_id, {"hs_pipeline_stage": "140200305"}, REP)
    assert hubspot.find(REGISTRATIONS, "dealreg_id", [key], [])[key].record_id == record_id
    found = hubspot.select(REGISTRATIONS, [Condition(COMPANY, (acme,))], ["hs_pipeline"], 5)
    assert [record.fields["hs_pipeline"] for record in found.records] == ["71004511"]
    changed = hubspot.changes(REGISTRATIONS, ["hs_pipeline_stage"], page.cursor).records
    assert [r.fields["hs_pipeline_stage"] for r in changed] == ["140200305"]


def test_a_lead_needs_its_contact_and_says_so_by_the_row(
    hubspot: HubSpotConnector, org: HubSpotOrg, new_key: Callable[[], str]
) -> None:
    assert hubspot.describe("leads").fields[CONTACT].required
    good, bad = new_key(), new_key()
    ada, acme = contact(org), company(org).id
    links: dict[str, Value] = {CONTACT: ada, COMPANY: acme}
    refused, written = hubspot.create(
        "leads",
        "dealreg_id",
        [
            CreateItem(bad, {"dealreg_id": bad, "hs_lead_name": "Without"}),
            CreateItem(good, {"dealreg_id": good, "hs_lead_name": "With", **links}),
        ],
    )
    assert isinstance(refused, Refused)
    assert refused.code == "MISSING_REQUIRED_ASSOCIATION"
    assert isinstance(written, Written)
    assert values(hubspot, "leads", written.record_id, CONTACT, COMPANY) == (ada, acme)


def test_a_lead_that_was_turned_into_a_deal_says_which(
    hubspot: HubSpotConnector, org: HubSpotOrg, new_key: Callable[[], str]
) -> None:
    lead_id, other = (
        made(hubspot, "leads", new_key(), hs_lead_name="L", **{CONTACT: contact(org)})
        for _ in range(2)
    )
    assert values(hubspot, "leads", lead_id, "hs_pipeline_stage") == "new-stage-id"
    deal_id, third = created(hubspot, new_key()), created(hubspot, new_key())
    org.edit("leads", lead_id, {"hs_pipeline_stage": "qualified-stage-id"}, REP)
    org.associate(("leads", lead_id), ("deals", deal_id), (582,), "user:1")
    org.associate(("leads", other), ("deals", third), (1037,), "user:1")
    found = hubspot.read("leads", [lead_id, other], ["hs_lead_name"])
    assert found[lead_id] == Gone(lead_id, Absence.CONVERTED, deal_id, "deals")
    assert isinstance(found[other], RemoteRecord)


def test_the_only_contact_of_a_deal_is_set_when_it_is_created_and_never_moved(
    hubspot: HubSpotConnector, org: HubSpotOrg, new_key: Callable[[], str]
) -> None:
    ada = contact(org)
    deal_id = created(hubspot, new_key(), **{CONTACT: ada})
    assert values(hubspot, "deals", deal_id, CONTACT) == ada
    org.associate(("deals", deal_id), ("contacts", contact(org)), (3,), "user:1")
    assert values(hubspot, "deals", deal_id, CONTACT) is None
    field = hubspot.describe("deals").fields[CONTACT]
    assert (field.createable, field.updateable) == (True, False)


def test_a_contact_whose_address_is_taken_is_refused_by_the_row_and_names_the_other(
    hubspot: HubSpotConnector, new_key: Callable[[], str]
) -> None:
    email = f"{new_key()}@example.com"
    there = made(hubspot, "contacts", new_key(), email=email)
    taken, free = new_key(), new_key()
    refused, written = hubspot.create(
        "contacts",
        "dealreg_id",
        [
            CreateItem(taken, {"dealreg_id": taken, "email": email}),
            CreateItem(free, {"dealreg_id": free, "email": f"{free}@example.com"}),
        ],
    )
    assert isinstance(refused, Refused)
    assert (refused.code, there in refused.message) == ("CONFLICT", True)
    assert isinstance(written, Written)


def test_several_choices_are_a_set_on_the_wire_and_here(
    hubspot: HubSpotConnector, new_key: Callable[[], str]
) -> None:
    record_id = made(
        hubspot,
        REGISTRATIONS,
        new_key(),
        registration_name="R",
        product_lines=("security", "analytics"),
    )
    assert values(hubspot, REGISTRATIONS, record_id, "product_lines") == ("analytics", "security")


@pytest.mark.parametrize("object_name", [REGISTRATIONS, "leads", "contacts"])
def test_a_webhook_names_an_object_as_a_mapping_does(
    hubspot: HubSpotConnector,
    org: HubSpotOrg,
    timepiece: Timepiece,
    new_key: Callable[[], str],
    object_name: str,
) -> None:
    events: list[Event] = []
    org.store.on_event(events.append)
    if object_name == "contacts":
        record_id = contact(org)
    elif object_name == "leads":
        record_id = made(hubspot, "leads", new_key(), hs_lead_name="L", **{CONTACT: contact(org)})
    else:
        record_id = made(hubspot, REGISTRATIONS, new_key(), registration_name="R")
    ours = [event for event in events if event.record_id == record_id]
    (sent,) = org.deliveries(ours, "http://127.0.0.1:8700")
    request = WebhookRequest("POST", sent.url, sent.headers, sent.body, timepiece())
    notices = {(n.object, n.record_id) for n in hubspot.webhook(request).notices}
    assert notices == {(object_name, record_id)}
    assert isinstance(hubspot.webhook(request).notices[0], ChangeNotice)


def test_an_object_that_may_not_have_companies_says_what_to_do(
    hubspot: HubSpotConnector,
    org: HubSpotOrg,
    new_key: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hubspot._reader.associations, "_types", {})
    monkeypatch.setattr("sandbox.hubspot.definitions.ASSOCIATION_TYPES", {})
    fields: dict[str, Value] = {"registration_name": "R", COMPANY: company(org).id}
    key = new_key()
    with pytest.raises(CallRejected) as caught:
        hubspot.create(
            REGISTRATIONS, "dealreg_id", [CreateItem(key, {"dealreg_id": key, **fields})]
        )
    assert "schema" in caught.value.hint
    assert item(key).key not in hubspot.find(REGISTRATIONS, "dealreg_id", [key], [])
