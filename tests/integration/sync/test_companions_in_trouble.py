"""Beside a deal when something goes wrong: each is made once all the same, or waits and says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace

import pytest
from sqlalchemy import select

from connectors.errors import CrmUnavailable
from connectors.memory import MemoryFault
from connectors.memory_org import Stored
from connectors.port import CreateItem, Refused
from registration_core import use_cases
from registration_core.contracts import Fields, Mode
from registration_core.limits import Limits
from sync.gates import holding
from sync.ledger.tables import IntentRow
from sync.mappings import schema_watch
from sync.outcomes import dead_letters
from tests.beside import ORDER, approved, demand, lag, letter, made, use, waits
from tests.world import ANN, BEN, HOME, World, build

#: An address that says nothing of whose it is.
FREE_MAIL = "fjordkraft@gmail.com"
NO_LIMITS = Limits(**{cap.name: 0 for cap in fields(Limits)})


@pytest.fixture
def world(fast_url: str) -> Iterator[World]:
    made = build(fast_url)
    use(made)
    yield made
    made.runtime.close()


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


def test_an_account_that_we_made_is_known_before_the_crms_feed_tells_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lag(world, monkeypatch)
    both = [approved(world, product_line=line, email=FREE_MAIL) for line in ("platform", "support")]
    world.push()
    assert (len(world.deals(HOME)), len(made(world, "Account"))) == (1, 1)
    assert any("type dealreg match confirm" in waits(world, deal) for deal in both)


@pytest.mark.parametrize("fault", [None, MemoryFault.ANSWER_LOST], ids=["answered", "lost"])
def test_an_account_is_known_though_the_deal_that_it_was_made_for_is_withdrawn(
    world: World, monkeypatch: pytest.MonkeyPatch, fault: MemoryFault | None
) -> None:
    lag(world, monkeypatch)
    both = [approved(world, product_line=line, email=FREE_MAIL) for line in ("platform", "support")]
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


def test_a_line_item_whose_object_stands_still_is_made_when_it_goes_on(world: World) -> None:
    schema_watch.look(world.runtime, HOME)
    items = world.orgs[HOME].schemas["Item"]
    without = {name: each for name, each in items.fields.items() if name != "Price"}
    world.orgs[HOME].schemas["Item"] = replace(items, fields=without)
    assert schema_watch.look(world.runtime, HOME).keys() == {"Item"}
    deal = approved(world)
    world.settle()
    world.update(deal.id, deal_name="Cold chain, phase 2")
    world.settle()
    assert (world.deal(HOME, "Name"), made(world, "Item")) == ("Cold chain, phase 2", [])

    world.orgs[HOME].schemas["Item"] = items
    assert schema_watch.look(world.runtime, HOME) == {}
    world.settle()
    assert [item["Product"] for item in made(world, "Item")] == ["PLAT"]


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


@pytest.mark.parametrize(
    ("name", "made_before"),
    [("Account", 0), ("Contact", 1), ("Item", 3)],
    ids=["account", "contact", "line_item"],
)
def test_what_a_person_discarded_is_not_made_and_the_deal_goes_without(
    world: World, name: str, made_before: int
) -> None:
    unlimited = world.runtime
    caps = replace(NO_LIMITS, creates_per_hour=2 + made_before)
    world.runtime = replace(unlimited, limits={HOME: caps})
    world.approved()
    world.push()  # another deal and its line item
    deal = approved(world)
    world.push()
    with world.database.read() as session:
        (item,) = holding.held(session)
        assert [change.object for change in holding.item(session, item.id)[1]] == [name]

    holding.discard(world.runtime, item.id, BEN, "not for this customer")
    world.runtime = unlimited
    world.settle()
    world.update(deal.id, deal_name="Cold chain, phase 2")
    world.settle()
    with world.database.read() as session:
        assert holding.held(session) == []
    assert len(world.deals(HOME)) == 2
    keys = {deal.id, deal.customer_id}
    there = [each for each in ORDER if any(record["Key"] in keys for record in made(world, each))]
    assert there == [each for each in ORDER if each != name]


def refuse_what_is_gone(
    world: World, monkeypatch: pytest.MonkeyPatch, at_first: Callable[[str], None] | None = None
) -> None:
    """Let the CRM refuse deals with a contact that is gone; `at_first` happens to the contact just before."""
    org = world.orgs[HOME]
    insert, patch, met = org.insert, org.patch, list[str]()

    def refused(fields: Fields) -> Refused | None:
        contact = str(fields.get("Contact") or "")
        if contact and at_first is not None and not met:
            met.append(contact)
            at_first(contact)
        known = org.record("Contact", contact)
        gone = known is not None and known.gone is not None
        return Refused("ENTITY_IS_DELETED", "entity is deleted", "Contact") if gone else None

    def inserting(object_name: str, fields: Fields, user: str) -> Stored | Refused:
        return refused(fields) or insert(object_name, fields, user)

    def patching(object_name: str, record: Stored, fields: Fields, user: str) -> Refused | None:
        return refused(fields) or patch(object_name, record, fields, user)

    monkeypatch.setattr(org, "insert", inserting)
    monkeypatch.setattr(org, "patch", patching)


def dead(world: World) -> list[dead_letters.DeadLetter]:
    with world.database.read() as session:
        return dead_letters.dead_letters(session)


def test_a_contact_that_is_deleted_before_the_deal_is_made_is_made_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    org = world.orgs[HOME]
    refuse_what_is_gone(world, monkeypatch, lambda contact: org.remove("Contact", contact))
    approved(world)
    world.settle()
    (contact,) = org.records("Contact")
    assert contact.record_id == world.deal(HOME, "Contact") != "contact-000001"
    assert (len(made(world, "Contact")), dead(world)) == (1, [])


def test_what_a_contact_was_merged_into_takes_its_place(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    org = world.orgs[HOME]
    winner = org.add("Contact", {"LastName": "Buyer", "Email": "buyer@elsewhere.example"})
    refuse_what_is_gone(world, monkeypatch, lambda loser: org.merge("Contact", loser, winner))
    approved(world)
    world.settle()
    assert (world.deal(HOME, "Contact"), made(world, "Contact"), dead(world)) == (winner, [], [])


def test_a_deal_that_is_there_goes_on_without_its_deleted_contact(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(world, lambda given: given.replace("write: on_create", "write: if_empty"))
    refuse_what_is_gone(world, monkeypatch)
    deal = approved(world)
    world.settle()
    org = world.orgs[HOME]
    org.remove("Contact", str(world.deal(HOME, "Contact")))
    world.edit(HOME, Contact=None)  # as CRMs do that let go of what is deleted
    world.update(deal.id, deal_name="Cold chain, phase 2")
    world.settle()
    assert (world.deal(HOME, "Name"), dead(world)) == ("Cold chain, phase 2", [])
    assert (world.deal(HOME, "Contact"), org.records("Contact")) == (None, [])


@pytest.mark.parametrize("name", ["Deal", "Item"], ids=["deal", "line_item"])
def test_a_discarded_create_goes_on_when_the_discard_is_taken_back(world: World, name: str) -> None:
    unlimited = world.runtime
    caps = replace(NO_LIMITS, creates_per_hour=ORDER.index(name))
    world.runtime = replace(unlimited, limits={HOME: caps})
    approved(world)
    world.push()
    with world.database.read() as session:
        (item,) = holding.held(session)
    holding.discard(world.runtime, item.id, BEN, "not for this customer")
    world.runtime = unlimited
    world.settle()
    assert made(world, name) == []

    holding.release(world.runtime, item.id, BEN)
    world.settle()
    assert [len(made(world, each)) for each in ORDER] == [1, 1, 1, 1]
