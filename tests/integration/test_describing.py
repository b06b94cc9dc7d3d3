"""What is said besides of a pending registration's customer: kept, found by, and checked anew."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from registration_core import describing, recording, use_cases
from registration_core.errors import CheckNotUsable, InvalidInput, NotAllowed, StaleVersion
from registration_core.matching import blocking, customer_keys, of_customer
from registration_core.model import Registration
from registration_core.store import audit, match_upkeep, repository
from registration_core.store.database import Database
from registration_core.store.tables import AuditPersonalRow, CheckRequestRow, RegistrationKeyRow
from tests.factories import (
    APPROVER,
    SUBMITTER,
    Clock,
    add_partners,
    approve,
    approved,
    check,
    customer,
    program,
    stored,
    submit,
)

SAID: dict[str, Any] = {
    "aliases": ("Merlin Mills",), "website": "merlin.example", "email_domains": ("mill.example",),
    "region": "North Carolina", "city": "Durham", "postcode": "27701", "phone": "+1 919 555 0126",
    "tax_id": "84-1190277", "duns": "150483782", "parent": "Heron Group",
}  # fmt: skip


def describe(database: Database, about: Registration, **said: Any) -> Registration:
    with database.begin(SUBMITTER) as unit:
        return describing.describe(unit, about.number, said)


def keys_of(database: Database, about: Registration) -> set[int]:
    with database.read() as session:
        query = select(RegistrationKeyRow.key).where(
            RegistrationKeyRow.receipt_seq == about.receipt_seq
        )
        return set(session.scalars(query))


@pytest.fixture
def made(database: Database) -> Registration:
    add_partners(database, "P1", "P2")
    return submit(database)


@pytest.mark.parametrize("name", list(SAID))
def test_every_fact_asks_for_a_new_check_and_no_approval_rests_on_the_one_before(
    database: Database, clock: Clock, made: Registration, name: str
) -> None:
    seen = check(made, at=clock.now)
    clock.advance(seconds=5)
    with database.begin() as unit:
        unit.session.delete(unit.session.get_one(CheckRequestRow, made.id))
    after = describe(database, made, **{name: SAID[name]})
    assert getattr(stored(database, made).customer, name) == SAID[name]
    assert after.match_keys_changed_at == clock.now
    with database.read() as session:
        assert session.get_one(CheckRequestRow, made.id).reason == "its customer was described anew"
    with database.begin(APPROVER) as unit, pytest.raises(CheckNotUsable, match="was changed after"):
        use_cases.approve(unit, made.number, seen, program())
    with database.begin(APPROVER) as unit:
        assert approve(unit, stored(database, made)).protection_state.standing


def test_saying_the_same_again_changes_nothing(database: Database, made: Registration) -> None:
    first = describe(database, made, **SAID)
    assert describe(database, made, **SAID) == describe(database, made) == first


def test_a_registration_has_the_keys_of_what_was_said_last_whatever_was_said_before(
    database: Database, made: Registration
) -> None:
    rng = random.Random(20310304)
    others: dict[str, Any] = {
        name: tuple(f"o{each}" for each in value) if isinstance(value, tuple) else f"{value}4"
        for name, value in SAID.items()
    }
    for _ in range(30):
        names = rng.sample(list(SAID), rng.randrange(1, 5))
        describe(database, made, **{
            name: rng.choice([SAID[name], others[name], type(SAID[name])()]) for name in names
        })  # fmt: skip
        now = stored(database, made)
        assert keys_of(database, made) == blocking.digests_of(of_customer(now.customer))
    kept = keys_of(database, made)
    match_upkeep.rebuild(database, lambda *_: None)
    assert keys_of(database, made) == kept


def test_a_decided_registration_keeps_the_customer_that_was_decided_on(database: Database) -> None:
    add_partners(database, "P1")
    made = approved(database)
    with pytest.raises(NotAllowed, match="is approved"):
        describe(database, made, phone="+1 919 555 0126")
    assert stored(database, made).customer == made.customer


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"phone": "ask Ivy"}, "phone"),
        ({"aliases": ("A", "B", "C", "D")}, "aliases"),
        ({"city": "x" * 121}, "city"),
        ({"name": "Somebody Else"}, "name"),
        ({"country": "DE"}, "country"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(
    database: Database, made: Registration, said: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        describe(database, made, **said)
    assert (refused.value.field, bool(refused.value.hint)) == (field, True)
    assert stored(database, made) == made


def test_whoever_was_slower_is_told_so(database: Database, made: Registration) -> None:
    describe(database, made, city="Durham")
    with pytest.raises(StaleVersion), database.begin(SUBMITTER) as unit:
        describing.describe(unit, made.number, {"city": "Raleigh"}, made.version)


def test_an_identifier_said_later_joins_whoever_has_it_and_one_taken_back_leaves_them(
    database: Database, made: Registration
) -> None:
    other = submit(database, "P2", customer=customer(name="Harrier", tax_id="84-1190277"))
    assert describe(database, made, phone="+1 919 555 0126").customer_id == made.customer_id
    assert describe(database, made, tax_id="84-1190277").customer_id == other.customer_id
    apart = describe(database, made, tax_id="55-5")
    assert apart.customer_id != other.customer_id
    with database.read() as session:
        theirs = repository.keys_of_customer(session, other.customer_id)
        ours = repository.keys_of_customer(session, apart.customer_id)
    assert theirs == customer_keys(other.customer)
    assert ours == customer_keys(apart.customer)
    with database.begin(APPROVER) as unit:
        assert approve(unit, apart).customer_id == apart.customer_id


@pytest.mark.parametrize(
    ("address", "domains"),
    [
        ("ivy@labs.example", ("avocet.example", "labs.example")),
        ("ivy@LABS.example", ("avocet.example", "labs.example")),
        ("ivy@avocet.example", ("avocet.example",)),
        ("ivy@heron.example", ("avocet.example",)),
        ("ivy@gmail.com", ("avocet.example",)),
        ("rep@partner.example", ("avocet.example",)),
        ("", ("avocet.example",)),
    ],
    ids=["another", "in capitals", "known", "the website's", "of free mail", "partner's", "none"],
)
def test_the_domain_of_the_contacts_address_joins_the_customers(
    database: Database, address: str, domains: tuple[str, ...]
) -> None:
    add_partners(database, "P1")
    with database.begin() as unit:
        use_cases.reach_partner(unit, "P1", "deals@partner.example")
    about = customer(website="www.heron.example", email_domains=("avocet.example",))
    made = submit(database, customer=about, contact_email=address)
    assert made.customer.email_domains == domains


def test_a_contact_that_a_partner_names_for_several_customers_tells_of_none_but_the_first(
    database: Database,
) -> None:
    add_partners(database, "P1", "P2")
    names = ("Kestrel Avionics Inc.", "Harrier Dairy", "Merlin Mills", "KESTREL AVIONICS")
    made = [
        submit(
            database, customer=customer(name=name, website=""), token=name,
            contact_email="rep@partner.example",
        )
        for name in names
    ]  # fmt: skip
    known = [each.customer.email_domains for each in made]
    assert known == [("partner.example",), (), (), ("partner.example",)]
    other = submit(
        database, "P2", customer=customer(name="Merlin Mills"), contact_email="x@partner.example"
    )
    assert other.customer.email_domains == ("partner.example",)


def test_the_contacts_domain_stays_whatever_is_said_of_domains(database: Database) -> None:
    add_partners(database, "P1")
    five = tuple(f"d{n}.example" for n in range(5))
    made = submit(
        database, contact_email="ivy@contact.example", customer=customer(email_domains=five)
    )
    assert describe(database, made, city="Durham").customer.email_domains == (
        *five, "contact.example",
    )  # fmt: skip
    assert describe(database, made, email_domains=()).customer.email_domains == ("contact.example",)


def test_the_trail_says_what_was_said_and_keeps_the_phone_apart(
    database: Database, made: Registration
) -> None:
    describe(database, made, phone="+1 919 555 0126", city="Durham")
    with database.read() as session:
        event = audit.events(session, recording.subject_of(made))[-1]
        personal = [(row.name, row.value) for row in session.scalars(select(AuditPersonalRow))]
        assert audit.verify(session)[1] == []
    assert (event["action"], event["actor"]) == ("describe customer", SUBMITTER.name)
    assert event["internal"]["changes"] == {"city": ["", "Durham"]}
    assert event["partner"] == {"described": ["city", "phone"]}
    assert "555" not in str(event)
    assert personal == [("phone", "+1 919 555 0126")]


def test_any_change_of_the_customer_outdates_its_check_whoever_writes_it(
    database: Database, clock: Clock, made: Registration
) -> None:
    clock.advance(seconds=5)
    with database.begin() as unit:
        held = repository.registration(unit.session, made.id, lock=True)
        renamed = replace(held, customer=replace(held.customer, name="Avocet Labs"))
        after = repository.save(unit.session, renamed, unit.now)
    assert after.match_keys_changed_at == clock.now == stored(database, made).match_keys_changed_at
