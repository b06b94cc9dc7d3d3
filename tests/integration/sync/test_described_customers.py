"""What a partner says of a customer beside its name: a check goes by it, and a CRM is told of it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from registration_core import describing, matches
from registration_core.errors import CheckNotUsable
from registration_core.findings import FindingKind
from registration_core.matching import MatchKey
from registration_core.model import Customer, Finding, RegistrationState
from sync import checking
from tests.integration.sync.test_mapping_manners import add
from tests.world import ANN, BEN, HOME, World

KRANAR = {"Name": "Lindqvist Kranar AB", "Country": "SE", "Website": "lindqvist.example"}


def finding(world: World, customer: Customer, **more: Any) -> Finding:
    (found,) = world.last_check(world.approved(customer=customer, **more).id).findings
    return found


@pytest.mark.parametrize(
    ("customer", "contact", "speaks"),
    [
        (Customer("LKX Group", "SE", aliases=("Lindqvist Kranar",)), "", "name"),
        (
            Customer("LKX Group", "SE", email_domains=("a.example", "lindqvist.example")),
            "",
            "domain",
        ),
        (Customer("LKX Group", "SE"), "eva@lindqvist.example", "domain"),
    ],
    ids=["other name", "second e-mail domain", "contact's address"],
)
def test_an_account_is_found_by_another_name_or_domain_of_the_customer(
    world: World, customer: Customer, contact: str, speaks: str
) -> None:
    account = world.orgs[HOME].add("Account", KRANAR)
    found = finding(world, customer, contact_email=contact)
    assert (found.kind, found.record_id) == (FindingKind.AMBIGUOUS_MATCH, account)
    assert f"{speaks} +" in found.evidence["for"]


def test_a_claim_on_the_parent_that_a_partner_names_is_found(world: World) -> None:
    account = world.orgs[HOME].add("Account", KRANAR | {"House": True})
    found = finding(world, Customer("Harrier Dairy", "SE", parent="Lindqvist Kranar"))
    assert (found.kind, found.record_id) == (FindingKind.FAMILY_CLAIM, account)
    assert (found.claim, found.evidence["relation"]) == (FindingKind.HOUSE_ACCOUNT, "parent")


def test_what_is_said_of_a_customer_is_written_where_a_mapping_names_it(world: World) -> None:
    add(
        world,
        '{expression: \'customer_aliases + " / " + customer_phone + " / " + customer_parent\', '
        "theirs: Remark}",
    )
    world.approved(
        customer=Customer(
            "Lindqvist Kranar AB", "SE", aliases=("LK", "Kranar"), phone="+46 8 123 456",
            parent="Heron Group",
        )
    )  # fmt: skip
    world.settle()
    assert world.deal(HOME, "Remark") == "LK; Kranar / +46 8 123 456 / Heron Group"


def test_a_change_of_the_parents_account_has_the_claim_on_its_daughter_checked_again(
    world: World,
) -> None:
    account = world.orgs[HOME].add("Account", KRANAR)
    made = world.approved(customer=Customer("Harrier Dairy", "SE", parent="Lindqvist Kranar"))
    assert made.protection_state.standing
    world.settle()
    before = world.last_check(made.id)
    world.orgs[HOME].edit("Account", account, {"NoCall": True}, "admin")
    world.settle()
    after = world.last_check(made.id)
    assert before.findings == ()
    assert [f.claim for f in after.findings] == [FindingKind.DO_NOT_CALL]


def test_a_check_keeps_whom_it_asked_about_and_the_keys_that_were_known(world: World) -> None:
    asked = Customer("Nordhafen Logistik", "DE", aliases=("NHL",), phone="+49 40 123456")
    account = world.orgs[HOME].add(
        "Account", {"Name": "Nordhafen Logistik", "Country": "DE", "Tax": "DE 4711"}
    )
    made = world.approved(customer=asked)
    with world.database.begin(BEN) as unit:
        matches.confirm(unit, made.number, f"{HOME}:{account}", "the same tax office")
    world.pass_time(1)
    checking.check_now(world.runtime, made.number)
    check = world.last_check(made.id)
    assert check.customer == asked
    assert check.keys == (
        MatchKey("name_country", "DE|nordhafen logistik"),
        MatchKey("tax_id", "DE4711"),
    )


def test_a_check_of_what_is_not_submitted_yet_tells_whom_it_asked_about_too(world: World) -> None:
    made = world.submit()
    tried = checking.try_check(world.runtime, replace(made, id="not kept"))
    assert (tried.customer, bool(tried.keys)) == (made.customer, True)


def test_what_is_said_after_a_check_is_checked_before_anybody_approves(world: World) -> None:
    account = world.orgs[HOME].add("Account", KRANAR | {"House": True})
    made = world.approved(customer=Customer("LKX Group", "SE"), amount=Decimal(200_000))
    assert (made.state, world.last_check(made.id).findings) == (RegistrationState.UNDER_REVIEW, ())
    with world.database.begin(ANN) as unit:
        describing.describe(unit, made.number, {"email_domains": ("lindqvist.example",)})
    with pytest.raises(CheckNotUsable, match="this was found that you have not seen"):
        checking.approve(world.runtime, made.number, BEN)
    (found,) = world.last_check(made.id).findings
    assert (found.kind, found.record_id) == (FindingKind.HOUSE_ACCOUNT, account)


def test_what_is_said_while_a_check_reads_makes_that_check_decide_nothing(world: World) -> None:
    world.orgs[HOME].add("Account", KRANAR | {"NoCall": True})
    made = world.submit(customer=Customer("LKX Group", "SE"))
    door, asked = world.doors[HOME], list[str]()

    def said(operation: str) -> None:
        asked.append(operation)
        if operation == "read" and asked.count("read") == 1:
            with world.database.begin(ANN) as unit:
                describing.describe(unit, made.number, {"email_domains": ("lindqvist.example",)})

    door.on_call = said
    first = checking.check_now(world.runtime, made.number)
    assert (first.findings, first.customer) == ((), made.customer)
    assert world.registration(made.id).state is RegistrationState.SUBMITTED
    world.pass_time(5)
    checking.drain(world.runtime)
    assert world.registration(made.id).state is RegistrationState.UNDER_REVIEW
    assert [f.kind for f in world.last_check(made.id).findings] == [FindingKind.DO_NOT_CALL]
