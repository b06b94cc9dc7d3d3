"""Beside a deal, its partner's own record: found by our key, by code, or made once; never changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from connectors.memory import MemoryFault
from connectors.port import CreateItem, Outcome, Refused
from mapping.check import check
from mapping.loader import load
from registration_core import fields
from registration_core.contracts import FieldSchema, FieldType, ObjectSchema
from registration_core.fields import FieldGroup, members
from registration_core.model import Customer, Registration
from sync.previews.previewing import preview_many
from tests.beside import made, waits
from tests.world import HOME, World, build

PARTNERS = ObjectSchema(
    "Partner",
    fields={
        each.name: each
        for each in (
            FieldSchema("Key", FieldType.TEXT, length=36, unique=True),
            FieldSchema("Name", FieldType.TEXT, length=255),
            FieldSchema("Code", FieldType.TEXT, length=255),
        )
    },
)
_BESIDE = """\
    companions:
      partner:
        object: OBJECT
        key: Key
        missing: MISSING
        fields:
          - {ours: partner_name, theirs: Name}
          - {ours: partner_code, theirs: Code}
    groups:
"""
_PARTNER = "partner: [{ours: partner_name"
_REFERS = (
    "{ours: partner, theirs: Reseller, direction: push, write: on_create, transform: reference}"
)


_CUSTOMER = """\
      account:
        object: Account
        key: Key
        fields:
          - {ours: customer_name, theirs: Name}
          - {ours: customer_country, theirs: Country}
    groups:
"""


def use(
    world: World, missing: str = "create", object_name: str = "Partner", customer: str = ""
) -> None:
    start, end = World.mapping_text(HOME).split("  mirror: *deal")
    beside = _BESIDE.replace("OBJECT", object_name).replace("MISSING", missing)
    if customer:
        beside = beside.replace("    groups:\n", customer)
    start = start.replace("    groups:\n", beside, 1)
    start = start.replace(_PARTNER, f"partner: [{_REFERS}, {{ours: partner_name")
    groups = {group.value: members(group) for group in FieldGroup}
    mapping = load(start + end, "alpha.yaml", fields.schema(), groups)
    assert check(mapping, world.orgs[HOME].schemas).problems == ()
    world.runtime.mappings[HOME] = mapping  # type: ignore[index]


@pytest.fixture
def world(fast_url: str) -> Iterator[World]:
    made = build(fast_url)
    org = made.orgs[HOME]
    org.define("Deal", [FieldSchema("Reseller", FieldType.REFERENCE)])
    org.define("Account", [FieldSchema("Code", FieldType.TEXT, length=255)])
    for account in org.records("Account"):
        account.fields["Code"] = None
    org.schemas["Partner"], org._records["Partner"] = PARTNERS, {}
    use(made)
    yield made
    made.runtime.close()


def two(world: World) -> list[Registration]:
    """Two deals of one partner, and of two customers."""
    return [world.approved(), world.approved(product_line="support", token="another")]


def resellers(world: World) -> list[object]:
    return [each.fields["Reseller"] for each in world.orgs[HOME].records("Deal")]


def test_a_partner_is_made_once_and_all_its_deals_refer_to_it(world: World) -> None:
    two(world)
    world.settle()
    (partner,) = world.orgs[HOME].records("Partner")
    assert (partner.fields["Name"], partner.fields["Code"]) == ("Acme Partners", "ACME")
    assert resellers(world) == [partner.record_id] * 2
    world.approved(customer=Customer("Fjordkraft Elektro AS", "NO"), token="third")
    world.settle()
    assert len(world.orgs[HOME].records("Partner")) == 1
    assert resellers(world) == [partner.record_id] * 3


def test_a_partner_that_is_there_is_found_by_code_and_not_changed(world: World) -> None:
    there = world.orgs[HOME].add("Partner", {"Name": "ACME Inc.", "Code": "ACME"})
    world.orgs[HOME].add("Partner", {"Name": "Acme Partners", "Code": "OTHER"})
    two(world)
    world.settle()
    assert resellers(world) == [there] * 2
    assert world.orgs[HOME].value("Partner", there, "Name") == "ACME Inc."
    assert made(world, "Partner") == []


def test_a_partner_may_be_an_account(world: World) -> None:
    use(world, object_name="Account")
    two(world)
    world.settle()
    (partner,) = made(world, "Account")
    assert partner["Name"] == "Acme Partners"
    assert len(set(resellers(world))) == 1


def test_two_partners_with_one_code_are_not_chosen_between(world: World) -> None:
    ids = [world.orgs[HOME].add("Partner", {"Name": name, "Code": "ACME"}) for name in "AB"]
    deal = world.approved()
    world.push()
    assert world.deals(HOME) == []
    assert f"{ids[0]} and {ids[1]} of alpha have its partner's code" in waits(world, deal)


@pytest.mark.parametrize(("word", "deals"), [("wait", 0), ("leave", 1)])
def test_a_rule_says_what_happens_where_a_partner_is_missing(
    world: World, word: str, deals: int
) -> None:
    use(world, word)
    deal = world.approved()
    world.push()
    assert (len(world.deals(HOME)), made(world, "Partner")) == (deals, [])
    if word == "wait":
        assert "alpha has no partner for it: make one there" in waits(world, deal)


def test_a_preview_shows_the_partner_that_is_made(world: World) -> None:
    deal = world.approved()
    (shown,) = preview_many(world.runtime, HOME, number=deal.number).registrations
    told = {(field.group, field.ours): field.then for field in shown.fields}
    assert told["partner", "partner_code"] == {"Code": "ACME"}
    assert made(world, "Partner") == []


@pytest.mark.parametrize("object_name", ["Partner", "Account"])
def test_a_partner_whose_create_was_not_answered_is_not_made_again(
    world: World, object_name: str
) -> None:
    use(world, object_name=object_name)
    world.doors[HOME].fail(MemoryFault.ANSWER_LOST, "create")
    two(world)
    world.push()
    assert resellers(world) == []
    world.settle(seconds=400)
    assert len(made(world, object_name)) == 1
    assert len(resellers(world)) == 2
    assert len(set(resellers(world))) == 1


def test_a_partner_that_is_deleted_the_moment_before_the_deal_is_made_is_made_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    org, door = world.orgs[HOME], world.doors[HOME]
    create, lost = door.create, list[str]()

    def deleting(object_name: str, key: str, items: Sequence[CreateItem]) -> tuple[Outcome, ...]:
        if object_name == "Deal" and not lost:
            lost.append(org.records("Partner")[0].record_id)
            org.remove("Partner", lost[0])
            return tuple(Refused("INVALID_REFERENCE", "no such partner") for _ in items)
        return create(object_name, key, items)

    monkeypatch.setattr(door, "create", deleting)
    world.approved()
    world.settle(seconds=400)
    (there,) = org.records("Partner")
    assert resellers(world) == [there.record_id]
    assert there.record_id not in lost


def test_a_customers_account_and_its_partners_are_two(world: World) -> None:
    use(world, object_name="Account", customer=_CUSTOMER)
    deal = world.approved(customer=Customer("Fjordkraft Elektro AS", "NO"))
    world.settle()
    ids = {each.fields["Name"]: each.record_id for each in world.orgs[HOME].records("Account")}
    assert {each["Name"] for each in made(world, "Account")} == {
        "Fjordkraft Elektro AS", "Acme Partners",
    }  # fmt: skip
    assert resellers(world) == [ids["Acme Partners"]]
    assert world.registration(deal.id).accounts[HOME] == ids["Fjordkraft Elektro AS"]
