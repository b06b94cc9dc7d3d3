"""A user of the CRM by e-mail address, and a deal that is made for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import pytest

from connectors.port import CheckItem, CreateItem, RemoteRecord, Written
from sandbox.records import Json
from tests.contract.peers import Peer, SandboxPeerOrg


@dataclass(frozen=True)
class People:
    """What a CRM calls its users, and where it keeps who has a deal."""

    object: str
    email: str
    owner: str
    #: What a user looks like, and what one who has left looks like.
    user: Mapping[str, Json]
    left: Mapping[str, Json]


PEOPLE: Mapping[str, People] = {
    "salesforce": People(
        "User", "Email", "OwnerId", {"Name": "Kari", "IsActive": True}, {"IsActive": False}
    ),
    "dynamics365": People(
        "systemuser", "internalemailaddress", "ownerid_systemuser",
        {"fullname": "Kari", "isdisabled": False}, {"isdisabled": True},
    ),
    "hubspot": People(
        "owners", "email", "hubspot_owner_id",
        {"firstName": "Kari", "lastName": "Lie", "userId": "58200300"}, {},
    ),
}  # fmt: skip


def hire(peer: Peer, people: People, address: str) -> str:
    """Let a user join the CRM; returns their id."""
    assert isinstance(peer.org, SandboxPeerOrg)
    fields = {**people.user, people.email: address}
    store = peer.org.stand_in.org.store
    # HubSpot gives owners ids from a range of their own.
    number = len(store.rows("owners", deleted=True)) if people.object == "owners" else 0
    record_id = str(702_000 + number) if number else None
    return store.insert(people.object, fields, "admin", record_id).id


def let_go(peer: Peer, people: People, user_id: str) -> None:
    """Put a user out of use, as an admin does."""
    assert isinstance(peer.org, SandboxPeerOrg)
    store = peer.org.stand_in.org.store
    row = store.get(people.object, user_id)
    assert row is not None
    if people.left:
        store.update(row, people.left, "admin")
    else:
        store.delete(row, "admin")


@pytest.mark.parametrize("crm", PEOPLE)
def test_an_active_user_is_found_by_address_whatever_its_case(
    crm: str, remote: Callable[[str], Peer]
) -> None:
    peer, people = remote(crm), PEOPLE[crm]
    kari, asked = hire(peer, people, "kari.o'lie@vendor.example"), "Kari.O'Lie@vendor.example"
    nobody = "nobody@vendor.example"
    assert peer.connector.users([asked, nobody]) == {asked: (kari,), nobody: ()}
    second = hire(peer, people, "kari.o'lie@vendor.example")
    assert peer.connector.users([asked]) == {asked: tuple(sorted((kari, second)))}
    let_go(peer, people, second)
    assert peer.connector.users([asked]) == {asked: (kari,)}
    let_go(peer, people, kari)
    assert peer.connector.users([asked]) == {asked: ()}


@pytest.mark.parametrize("crm", PEOPLE)
def test_many_addresses_are_asked_for_at_once(crm: str, remote: Callable[[str], Peer]) -> None:
    peer, people = remote(crm), PEOPLE[crm]
    last = hire(peer, people, "zoe@vendor.example")
    # HubSpot takes one address a call.
    count = 3 if crm == "hubspot" else 600
    asked = [*(f"user.{number}@vendor.example" for number in range(count)), "zoe@vendor.example"]
    found = peer.connector.users(asked)
    assert list(found) == asked
    assert {address: ids for address, ids in found.items() if ids} == {asked[-1]: (last,)}


@pytest.mark.parametrize("crm", PEOPLE)
def test_a_deal_is_made_for_the_user_that_was_found(
    crm: str, remote: Callable[[str], Peer]
) -> None:
    peer, people = remote(crm), PEOPLE[crm]
    user = hire(peer, people, "ola@vendor.example")
    item = peer.item(peer.new_key())
    item = CreateItem(item.key, {**item.fields, people.owner: user})
    (made,) = peer.connector.create(peer.names.object, peer.names.key, [item])
    assert isinstance(made, Written)
    read = peer.connector.read(peer.names.object, [made.record_id], [people.owner])
    record = read[made.record_id]
    assert isinstance(record, RemoteRecord)
    assert record.fields[people.owner] == user


@pytest.mark.parametrize("crm", PEOPLE)
def test_the_check_proves_that_users_can_be_looked_up_where_a_mapping_names_one(
    crm: str, remote: Callable[[str], Peer]
) -> None:
    peer, people = remote(crm), PEOPLE[crm]
    need = peer.need()
    without = peer.connector.check([need])
    named = peer.connector.check([replace(need, names_users=True)])
    assert all(item.ok for item in named)

    def told(items: tuple[CheckItem, ...]) -> str:
        return " ".join(f"{each.step} {each.detail} {each.remedy}" for each in items)

    word = "by e-mail address" if crm == "salesforce" else people.object
    assert word in told(named)
    assert word not in told(without)
