"""A deal that is made belongs to a user of the CRM whom the mapping names by e-mail address."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mapping.loader import load
from registration_core import fields
from registration_core.contracts import FieldSchema, FieldType
from registration_core.fields import FieldGroup, members
from registration_core.model import Customer, Registration
from sync.mappings.connecting import check_against_all, needs_of
from sync.mappings.coverage import coverage
from sync.previews.previewing import Does, preview_many
from sync.reports.today import today
from tests.beside import made, waits
from tests.world import HOME, World, build

OSLO, BERLIN = "oslo@vendor.example", "berlin@vendor.example"
TABLE = f"{{ours: customer_country, transform: {{enum: {{NO: {OSLO}, DE: {BERLIN}}}}}}}"
_PULLED = "{ours: owner, theirs: Owner, direction: pull}"
_REFERS = "{ours: user, theirs: Owner, direction: push, write: on_create, transform: reference}"
ACCOUNT = """
      account:
        object: Account
        key: Key
        fields:
          - {ours: customer_name, theirs: Name}
          - {ours: user, theirs: Boss, transform: reference}"""


def use(world: World, email: str, missing: str = "wait", beside: str = "") -> None:
    """Put in force that the home's deals belong to the user with this address."""
    whole = World.mapping_text(HOME)
    start, end = whole.split("  mirror: *deal")
    user = (
        f"    companions:\n      user: {{email: {email}, missing: {missing}}}{beside}\n    groups:"
    )
    start = start.replace("    groups:", user, 1)
    start = start.replace(f"owner: [{_PULLED}]", f"owner: [{_REFERS}, {_PULLED}]")
    groups = {group.value: members(group) for group in FieldGroup}
    mapping = load(start + end, "alpha.yaml", fields.schema(), groups)
    world.runtime.mappings[HOME] = mapping  # type: ignore[index]


@pytest.fixture
def world(fast_url: str) -> Iterator[World]:
    made = build(fast_url)
    made.orgs[HOME].users = {"user-1": "Oslo@vendor.example", "user-2": BERLIN}
    yield made
    made.runtime.close()


def approved(world: World, email: str = "buyer@nordhafen.example") -> Registration:
    return world.approved(contact_name="Buyer", contact_email=email)


def test_a_deal_is_made_for_the_user_whom_a_table_names(world: World) -> None:
    use(world, TABLE)
    approved(world)
    world.settle()
    assert world.deal(HOME, "Owner") == "user-2"


def test_whoever_a_person_gives_the_deal_to_keeps_it(world: World) -> None:
    use(world, TABLE)
    deal = approved(world)
    world.settle()
    world.edit(HOME, Owner="user-1")
    world.settle()
    assert world.registration(deal.id).owners[HOME] == "user-1"
    world.update(deal.id, deal_name="Cold chain, phase 2")
    world.settle()
    now = world.deal(HOME, "Owner"), world.deal(HOME, "Name")
    assert now == ("user-1", "Cold chain, phase 2")


@pytest.mark.parametrize(
    "email", ["contact_email", "{expression: 'lower(contact_email)'}"], ids=["field", "expression"]
)
def test_a_field_or_an_expression_may_give_the_address(world: World, email: str) -> None:
    use(world, email)
    approved(world, email="OSLO@vendor.example")
    world.settle()
    assert world.deal(HOME, "Owner") == "user-1"


def test_what_is_made_beside_the_deal_may_belong_to_the_user_too(world: World) -> None:
    world.orgs[HOME].define("Account", [FieldSchema("Boss", FieldType.REFERENCE)])
    use(world, TABLE, beside=ACCOUNT)
    world.approved(customer=Customer("Fjordkraft Elektro AS", "NO"))
    world.settle()
    assert [each["Boss"] for each in made(world, "Account")] == ["user-1"]
    assert world.deal(HOME, "Owner") == "user-1"


def test_a_deal_waits_for_a_user_and_says_what_to_do(world: World) -> None:
    use(world, TABLE)
    del world.orgs[HOME].users["user-2"]
    deal = approved(world)
    world.push()
    assert world.deals(HOME) == []
    told = f"alpha has no active user with the e-mail address {BERLIN}: add one there"
    assert told in waits(world, deal)
    assert waits(world, deal) in str(today(world.runtime)[0])
    world.orgs[HOME].users["user-9"] = BERLIN
    world.settle(seconds=400)
    assert world.deal(HOME, "Owner") == "user-9"


@pytest.mark.parametrize("email", [TABLE, "contact_email"], ids=["nobody", "no address"])
def test_by_rule_a_deal_goes_without(world: World, email: str) -> None:
    use(world, email, missing="leave")
    del world.orgs[HOME].users["user-2"]
    world.approved()
    world.settle()
    assert world.deal(HOME, "Owner") is None


def test_a_deal_waits_for_an_address(world: World) -> None:
    use(world, "contact_email")
    deal = world.approved()
    world.push()
    assert "is empty, and says which user of alpha is meant: fill it" in waits(world, deal)


def test_two_users_with_one_address_are_not_chosen_between(world: World) -> None:
    use(world, TABLE, missing="leave")
    world.orgs[HOME].users["user-3"] = BERLIN
    deal = approved(world)
    world.push()
    assert world.deals(HOME) == []
    told = f"user-2 and user-3 of alpha have the e-mail address {BERLIN}: leave it to one of them"
    assert told in waits(world, deal)


def test_who_has_left_before_a_later_try_is_not_named_by_it(world: World) -> None:
    use(world, TABLE)
    door, users = world.doors[HOME], world.orgs[HOME].users
    approved(world)

    def leave(operation: str) -> None:
        if operation == "create" and users.pop("user-2", ""):
            users["user-4"] = BERLIN
            raise ConnectionError  # the process dies before it has written

    door.on_call = leave
    with pytest.raises(ConnectionError):
        world.push()
    world.settle(seconds=400)
    assert world.deal(HOME, "Owner") == "user-4"


def test_all_deals_of_a_round_are_asked_for_in_one_call(world: World) -> None:
    use(world, TABLE)
    approved(world)
    world.approved(product_line="support", token="another")
    world.push()
    assert len(world.deals(HOME)) == 2
    assert world.doors[HOME].calls["users"] == 1


def test_a_preview_shows_who_the_deal_will_belong_to(world: World) -> None:
    use(world, TABLE)
    deal = approved(world)
    (shown,) = preview_many(world.runtime, HOME, number=deal.number).registrations
    told = {(field.group, field.ours): field.then for field in shown.fields}
    assert told["owner", "user"] == {"Owner": "user-2"}
    world.orgs[HOME].users.clear()
    (shown,) = preview_many(world.runtime, HOME, number=deal.number).registrations
    assert (shown.does, BERLIN in shown.why) == (Does.WAIT, True)


def test_the_live_check_tells_addresses_that_not_exactly_one_user_has(world: World) -> None:
    use(world, TABLE)
    assert check_against_all(world.runtime, HOME).problems == ()
    world.orgs[HOME].users = {"user-1": OSLO, "user-2": OSLO}
    both, nobody = check_against_all(world.runtime, HOME).problems
    assert both.what == f"user-1 and user-2 have the e-mail address {OSLO}"
    assert nobody.what == f"no active user of alpha has the e-mail address {BERLIN}"
    assert nobody.where.startswith("alpha.yaml:")


def test_the_check_is_told_that_users_are_looked_up_and_coverage_counts_the_table(
    world: World,
) -> None:
    mapping = world.runtime.mappings[HOME]
    assert not any(need.names_users for need in needs_of(world.runtime, mapping))
    use(world, TABLE)
    approved(world)
    mapping = world.runtime.mappings[HOME]
    needs = {need.object for need in needs_of(world.runtime, mapping) if need.names_users}
    assert needs == {"Deal"}
    with world.database.read() as session:
        (one,) = [each for each in coverage(session, mapping) if each.field == "customer_country"]
    assert (one.covered, one.values) == (1, 1)
