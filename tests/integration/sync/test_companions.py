"""Beside a deal: the customer's account and contact before it, what is sold after it; each once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from sqlalchemy import select

from connectors.errors import CrmUnavailable
from connectors.memory import MemoryFault
from connectors.port import ChangePage, CreateItem
from mapping.check import check
from mapping.loader import load
from registration_core import fields, matches, use_cases
from registration_core.contracts import FieldSchema, FieldType, Mode
from registration_core.fields import FieldGroup, members
from registration_core.model import Customer, DisputeState, Registration
from registration_core.store import match_decisions, repository
from registration_core.store.tables import OutboxRow
from sync import checking, companions, dead_letters
from sync.ledger.tables import IntentRow
from sync.previewing import Does, preview_many
from sync.today import today
from tests.world import ACCOUNT, ANN, BEN, CONTACT, DEAL, HOME, ITEM, World, build

COMPANIONS = """
    companions:
      account:
        object: Account
        key: Key
        fields:
          - {ours: customer_name, theirs: Name}
          - {ours: customer_country, theirs: Country}
      contact:
        object: Contact
        key: Key
        fields:
          - {ours: contact_name, theirs: LastName}
          - {ours: contact_email, theirs: Email}
          - {ours: account, theirs: Account, transform: reference}
      line_item:
        object: Item
        key: Key
        on_create: {Quantity: 1}
        fields:
          - {ours: record, theirs: Deal, transform: reference}
          - {ours: product_line, theirs: Product, transform: {enum: {platform: PLAT}}}
          - {ours: amount, theirs: Price, transform: {money: {scale: 2}}}
    groups:
      details:
        - {ours: contact, theirs: Contact, direction: push, write: on_create, transform: reference}
"""


def text(change: Callable[[str], str] = str) -> str:
    companions = change(COMPANIONS).strip("\n")
    start = World.mapping_text(HOME)
    return start.replace("    groups:", companions, 1).replace("  mirror: *deal", _MIRROR)


_MIRROR = """  mirror:
    object: Deal
    key: Key
    groups:
      name: [{ours: deal_name, theirs: Name}]"""


def use(world: World, change: Callable[[str], str] = str) -> None:
    ours, groups = fields.schema(), {group.value: members(group) for group in FieldGroup}
    mapping = load(text(change), "alpha.yaml", ours, groups)
    schemas = {schema.name: schema for schema in (DEAL, ACCOUNT, CONTACT, ITEM)}
    assert check(mapping, schemas).problems == ()
    world.runtime.mappings[HOME] = mapping  # type: ignore[index]


@pytest.fixture
def world(fast_url: str) -> Iterator[World]:
    made = build(fast_url)
    use(made)
    yield made
    made.runtime.close()


def approved(
    world: World,
    *,
    email: str = "buyer@fjordkraft.example",
    tax_id: str = "",
    product_line: str = "platform",
) -> Registration:
    registration = world.submit(
        customer=Customer("Fjordkraft Elektro AS", "NO", tax_id=tax_id),
        token=product_line,
        product_line=product_line,
        contact_name="Buyer",
        contact_email=email,
    )
    checking.drain(world.runtime)
    return world.registration(registration.id)


def records(world: World, name: str) -> list[dict[str, object]]:
    return [dict(each.fields) for each in world.orgs[HOME].records(name)]


def made(world: World, name: str) -> list[dict[str, object]]:
    return [each for each in records(world, name) if each["Key"]]


def waits(world: World, registration: Registration) -> str:
    with world.database.read() as session:
        return session.get_one(OutboxRow, (registration.id, HOME)).reason


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


ORDER = ("Account", "Contact", "Deal", "Item")


@pytest.mark.parametrize("name", ORDER)
def test_a_create_whose_answer_is_lost_is_looked_up_and_not_sent_again(
    world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    door, sent = world.doors[HOME], list[str]()
    create = door.create

    def losing(object_name: str, key_field: str, items: Sequence[CreateItem]) -> object:
        if object_name == name and name not in sent:
            door.fail(MemoryFault.ANSWER_LOST, "create")
        sent.append(object_name)
        return create(object_name, key_field, items)

    monkeypatch.setattr(door, "create", losing)
    approved(world)
    world.push()
    world.settle()
    assert sent == list(ORDER)
    assert [len(made(world, each)) for each in ORDER] == [1, 1, 1, 1]


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
    both = [approved(world, product_line=line) for line in ("platform", "support")]
    world.push()
    assert (len(world.deals(HOME)), len(made(world, "Account"))) == (1, 1)
    assert any("type dealreg match confirm" in waits(world, deal) for deal in both)


def lag(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the account feed tell of no account that we made."""
    door = world.doors[HOME]
    changes = door.changes

    def lagging(object_name: str, names: Sequence[str], cursor: str | None) -> ChangePage:
        page = changes(object_name, [*names, "Key"], cursor)
        told = tuple(each for each in page.records if not each.fields["Key"])
        return replace(page, records=told)

    monkeypatch.setattr(door, "changes", lagging)


def test_an_account_that_we_made_is_known_before_the_crms_feed_tells_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lag(world, monkeypatch)
    both = [approved(world, product_line=line) for line in ("platform", "support")]
    world.push()
    assert (len(world.deals(HOME)), len(made(world, "Account"))) == (1, 1)
    assert any("type dealreg match confirm" in waits(world, deal) for deal in both)


@pytest.mark.parametrize("fault", [None, MemoryFault.ANSWER_LOST], ids=["answered", "lost"])
def test_an_account_is_known_though_the_deal_that_it_was_made_for_is_withdrawn(
    world: World, monkeypatch: pytest.MonkeyPatch, fault: MemoryFault | None
) -> None:
    lag(world, monkeypatch)
    both = [approved(world, product_line=line) for line in ("platform", "support")]
    door, create = world.doors[HOME], world.doors[HOME].create

    def withdrawing(object_name: str, key_field: str, items: Sequence[CreateItem]) -> object:
        (first,) = [deal.id for deal in both if deal.customer_id == items[0].key]
        with world.database.begin(ANN) as unit:
            use_cases.withdraw(unit, first)
        if fault is not None:
            door.fail(fault, "create")
        return create(object_name, key_field, items)

    monkeypatch.setattr(door, "create", withdrawing)
    world.push()
    world.pass_time(60)  # a lost answer lets the connection rest
    world.push()
    assert (world.deals(HOME), len(made(world, "Account"))) == ([], 1)
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


def letter(world: World) -> dead_letters.DeadLetter:
    with world.database.read() as session:
        (found,) = dead_letters.dead_letters(session)
    return found


def demand(world: World, object_name: str, *, required: bool) -> None:
    """Let an admin of the CRM require a field that no row fills, or require it no more."""
    org = world.orgs[HOME]
    org.define(object_name, [FieldSchema("Code", FieldType.TEXT)])
    schema = org.schemas[object_name]
    code = replace(schema.fields["Code"], required=required)
    org.schemas[object_name] = replace(schema, fields={**schema.fields, "Code": code})


def test_a_refused_line_item_holds_nothing_up_and_is_made_when_tried_again(world: World) -> None:
    demand(world, "Item", required=True)
    deal = approved(world)
    world.settle()
    world.update(deal.id, deal_name="Cold chain, phase 2")
    world.settle()
    assert (world.deal(HOME, "Name"), made(world, "Item")) == ("Cold chain, phase 2", [])
    assert letter(world).object == "Item"

    demand(world, "Item", required=False)
    dead_letters.retry(world.runtime, letter(world).id, BEN)
    world.settle()
    assert len(made(world, "Item")) == 1


def test_a_deal_waits_for_a_refused_contact_until_a_person_puts_it_aside(world: World) -> None:
    demand(world, "Contact", required=True)
    deal = approved(world)
    world.push()
    assert world.deals(HOME) == []
    assert f"type dealreg deadletter show {letter(world).id}" in waits(world, deal)

    dead_letters.discard(world.runtime, letter(world).id, BEN, "no buyer yet")
    world.settle(seconds=400)
    assert (len(world.deals(HOME)), world.deal(HOME, "Contact")) == (1, None)


def test_what_cannot_be_translated_is_told_and_made_when_the_mapping_knows_it(
    world: World,
) -> None:
    use(world, lambda given: given.replace("platform: PLAT", "support: SUP"))
    deal = approved(world)
    world.settle()
    assert (len(world.deals(HOME)), made(world, "Item")) == (1, [])
    assert "'platform'" in letter(world).reason

    use(world)
    dead_letters.retry(world.runtime, letter(world).id, BEN)
    world.settle()
    assert [item["Product"] for item in made(world, "Item")] == ["PLAT"]
    assert world.registration(deal.id).accounts.keys() == {HOME}


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


def test_below_mode_push_nothing_is_made(fast_url: str) -> None:
    world = build(fast_url, modes={HOME: Mode.OBSERVE})
    use(world)
    approved(world)
    world.settle()
    assert [made(world, each) for each in ORDER] == [[], [], [], []]
    world.runtime.close()


def test_a_deal_that_is_made_after_its_create_was_given_up_has_its_line_item_all_the_same(
    world: World,
) -> None:
    registration = approved(world)
    looked_up: list[str] = []

    def hold_up(operation: str) -> None:
        """Cut the deal's create off, and let it take effect once it was looked up in vain."""
        with world.database.read() as session:
            deal = (IntentRow.connection == HOME) & (IntentRow.object == "Deal")
            intent = session.scalars(select(IntentRow).where(deal)).first()
        if intent is None or world.deals(HOME):
            return
        if operation == "create" and intent.state == "pending":
            raise CrmUnavailable("held up", may_have_happened=True, connection=HOME)
        if intent.state == "not_done":
            looked_up.append(intent.id)
            world.orgs[HOME].insert("Deal", {**intent.payload, "Key": registration.id}, "us")

    world.doors[HOME].on_call = hold_up
    world.settle(seconds=5)
    world.settle()

    assert len(looked_up) == 1
    assert len(world.deals(HOME)) == 1
    assert len(made(world, "Item")) == 1
