"""Beside a deal: the customer's account and contact before it, what is sold after it; each once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pytest

from registration_core import matches
from registration_core.model import DisputeState
from registration_core.store import match_decisions, repository
from sync.creates import companions
from sync.previews.previewing import Does, preview_many
from sync.reports.today import today
from tests.beside import ORDER, approved, made, records, use, waits
from tests.world import BEN, HOME, World, build


@pytest.fixture
def world(fast_url: str) -> Iterator[World]:
    made = build(fast_url)
    use(made)
    yield made
    made.runtime.close()


def test_what_is_missing_is_made_once_and_refers_to_each_other(world: World) -> None:
    deal = approved(world)
    world.push()

    (account,) = made(world, "Account")
    (contact,) = made(world, "Contact")
    (record,) = made(world, "Deal")
    (item,) = made(world, "Item")
    assert (account["Name"], account["Country"]) == ("Fjordkraft Elektro AS", "NO")
    assert world.registration(deal.id).accounts[HOME] == record["Account"] == contact["Account"]
    assert world.orgs[HOME].value("Contact", str(record["Contact"]), "LastName") == "Buyer"
    assert item["Deal"] == world.deals(HOME)[0]
    assert (item["Product"], item["Price"], item["Quantity"]) == ("PLAT", Decimal(5000), Decimal(1))

    with world.database.read() as session:
        shown = {each["state"]: each["record_id"] for each in companions.beside(session, deal.id)}
        assert shown["contact"] == record["Contact"]
        assert shown["line item"] == world.orgs[HOME].records("Item")[0].record_id
        (said,) = match_decisions.said(session, None)
        assert said["reason"] == "made here for this customer"
        assert repository.account(session, HOME, str(record["Account"])) is not None
    world.update(deal.id, deal_name="Cold chain, phase 2", amount=Decimal(9000))
    world.settle()
    assert world.registration(deal.id).dispute_state is DisputeState.NONE
    assert made(world, "Item") == [item]
    assert [len(made(world, name)) for name in ("Account", "Contact", "Deal")] == [1, 1, 1]
    assert (records(world, "Deal")[0]["Amount"]) == Decimal(9000)


@pytest.mark.parametrize("unique", [False, True], ids=["searched", "unique"])
def test_a_contact_that_is_there_is_taken_and_not_changed(world: World, *, unique: bool) -> None:
    org = world.orgs[HOME]
    schema = org.schemas["Contact"]
    email = replace(schema.fields["Email"], unique=unique)
    org.schemas["Contact"] = replace(schema, fields={**schema.fields, "Email": email})
    there = org.add("Contact", {"LastName": "Kari", "Email": "buyer@fjordkraft.example"})
    approved(world)
    world.settle()
    assert made(world, "Contact") == []
    assert org.value("Contact", there, "LastName") == "Kari"
    assert world.deal(HOME, "Contact") == there


def test_two_contacts_with_one_address_are_not_chosen_between(world: World) -> None:
    for name in ("Kari", "Ola"):
        world.orgs[HOME].add("Contact", {"LastName": name, "Email": "buyer@fjordkraft.example"})
    deal = approved(world)
    world.push()
    assert world.deals(HOME) == []
    assert "have its contact's e-mail address: merge them there" in waits(world, deal)


def test_deals_of_one_customer_and_contact_share_them(world: World) -> None:
    for line in ("platform", "support"):
        approved(world, tax_id="NO987", product_line=line)
    world.settle()
    assert len(world.deals(HOME)) == 2
    assert (len(made(world, "Account")), len(made(world, "Contact"))) == (1, 1)


def test_of_two_customers_that_may_be_one_the_second_is_for_a_person_to_say(world: World) -> None:
    both = [
        approved(world, product_line=line, email="fjordkraft@gmail.com")  # which says nothing
        for line in ("platform", "support")
    ]
    world.push()
    assert (len(world.deals(HOME)), len(made(world, "Account"))) == (1, 1)
    assert any("type dealreg match confirm" in waits(world, deal) for deal in both)


def test_a_registration_that_names_no_contact_gets_none(world: World) -> None:
    approved(world, email="")
    world.settle()
    assert made(world, "Contact") == []
    assert world.deal(HOME, "Contact") is None


def test_an_account_that_only_may_be_the_customers_is_for_a_person_to_say(world: World) -> None:
    deal = approved(world)
    there = world.orgs[HOME].add("Account", {"Name": "Fjordkraft Elektro", "Country": "NO"})
    world.push()
    assert world.deals(HOME) == []
    assert f"dealreg match confirm {deal.number} {HOME}:{there}" in waits(world, deal)
    assert waits(world, deal) in str(today(world.runtime)[0])

    with world.database.begin(BEN) as unit:
        matches.confirm(unit, deal.number, f"{HOME}:{there}", "the same house")
    world.settle(seconds=400)
    assert made(world, "Account") == []
    assert world.deal(HOME, "Account") == there


@pytest.mark.parametrize(("word", "deals"), [("wait", 0), ("leave", 1)])
def test_a_rule_says_what_happens_where_an_account_is_missing(
    world: World, word: str, deals: int
) -> None:
    use(
        world,
        lambda given: given.replace("object: Account", f"object: Account\n        missing: {word}"),
    )
    deal = approved(world)
    world.push()
    assert made(world, "Account") == []
    assert len(world.deals(HOME)) == deals
    if word == "wait":
        assert "alpha has no account for it: make one there" in waits(world, deal)


def test_a_preview_shows_what_is_made_and_makes_nothing(world: World) -> None:
    deal = approved(world)
    (shown,) = preview_many(world.runtime, HOME, number=deal.number).registrations
    told = {(field.group, field.ours): field.then for field in shown.fields}
    assert shown.does is Does.CREATE
    assert told["account", "customer_name"] == {"Name": "Fjordkraft Elektro AS"}
    assert told["contact", "contact_email"] == {"Email": "buyer@fjordkraft.example"}
    assert told["line_item", "amount"] == {"Price": Decimal(5000)}
    assert told["name", "deal_name"] == {"Name": "Cold chain"}
    assert told["account", "account"] == told["details", "contact"] == {}  # known once it is there
    assert [made(world, each) for each in ORDER] == [[], [], [], []]
