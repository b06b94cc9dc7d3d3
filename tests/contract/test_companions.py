"""What stands beside a deal, made and found again in each CRM through its connector."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

import pytest

from connectors.port import AlreadyExists, CreateItem, RemoteRecord, Written
from registration_core.contracts import Condition, Fields, Value
from tests.contract.peers import Peer, SandboxPeerOrg, Timepiece


@dataclass(frozen=True)
class Beside:
    """What a CRM calls the things beside a deal."""

    account: str
    account_name: str
    contact: str
    last_name: str
    email: str
    of_account: str
    deal_contact: str
    item: str
    of_deal: str
    item_fields: Fields = field(default_factory=dict)


BESIDE: Mapping[str, Beside] = {
    "salesforce": Beside(
        "Account", "Name", "Contact", "LastName", "Email", "AccountId", "ContactId",
        "OpportunityLineItem", "OpportunityId",
        {"Quantity": Decimal(1), "UnitPrice": Decimal("4200.50")},
    ),
    "dynamics365": Beside(
        "account", "name", "contact", "lastname", "emailaddress1", "parentcustomerid_account",
        "parentcontactid", "opportunityproduct", "opportunityid",
        {"isproductoverridden": True, "productdescription": "Platform", "quantity": Decimal(1),
         "priceperunit": Decimal("4200.50")},
    ),
    "hubspot": Beside(
        "companies", "name", "contacts", "lastname", "email", "associations.companies",
        "associations.contacts", "line_items", "associations.deals",
        {"name": "Platform", "quantity": Decimal(1), "price": Decimal("4200.50")},
    ),
}  # fmt: skip


def made(peer: Peer, object_name: str, fields: Mapping[str, Value]) -> tuple[str, str]:
    key, names = peer.new_key(), peer.names
    item = CreateItem(key, {names.key: key, **fields})
    (outcome,) = peer.connector.create(object_name, names.key, [item])
    assert isinstance(outcome, Written), outcome
    return key, outcome.record_id


def product(peer: Peer) -> dict[str, Value]:
    """The price list entry that a Salesforce line item points at."""
    if peer.names.object != "Opportunity":
        return {}
    assert isinstance(peer.org, SandboxPeerOrg)
    row = next(iter(peer.org.stand_in.org.store.rows("PricebookEntry")))
    return {"PricebookEntryId": row.id}


@pytest.mark.parametrize("crm", BESIDE)
def test_account_contact_deal_and_line_item_are_made_once_and_refer_to_each_other(
    crm: str, remote: Callable[[str], Peer], timepiece: Timepiece
) -> None:
    peer, names = remote(crm), BESIDE[crm]
    address = f"buyer-{uuid.uuid4().hex[:8]}@fjordkraft.example"
    _, account = made(peer, names.account, {names.account_name: "Fjordkraft Elektro AS"})
    person: dict[str, Value] = {names.last_name: "Buyer", names.email: address}
    key, contact = made(peer, names.contact, {**person, names.of_account: account})
    base: dict[str, Value] = {peer.names.text: "Cold chain", **peer.names.base}
    _, deal = made(peer, peer.names.object, {**base, names.deal_contact: contact})
    item_key, item = made(
        peer, names.item, {**names.item_fields, **product(peer), names.of_deal: deal}
    )

    again = CreateItem(key, {peer.names.key: key, **person})
    (outcome,) = peer.connector.create(names.contact, peer.names.key, [again])
    assert isinstance(outcome, AlreadyExists)
    found = peer.connector.find(names.item, peer.names.key, [item_key], [names.of_deal])
    assert (found[item_key].record_id, found[item_key].fields[names.of_deal]) == (item, deal)

    if peer.connector.describe(names.contact).fields[names.email].unique:
        known = peer.connector.find(names.contact, names.email, [address], [names.email])
        assert known[address].record_id == contact
    timepiece.skip(timedelta(minutes=2))
    asked = Condition(names.email, (address,))
    selected = peer.connector.select(names.contact, (asked,), [names.email, names.of_account], 4)
    assert [each.record_id for each in selected.records] == [contact]
    assert selected.records[0].fields[names.of_account] == account
    read = peer.connector.read(peer.names.object, [deal], [names.deal_contact])[deal]
    assert isinstance(read, RemoteRecord)
    assert read.fields[names.deal_contact] == contact
