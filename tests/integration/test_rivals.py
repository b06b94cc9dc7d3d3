"""Other registrations of the same customer, found by evidence rather than by equal keys."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from registration_core import use_cases
from registration_core.finding_claims import Rival
from registration_core.matching import MatchKey, Organisation, Relation, customer_keys
from registration_core.model import Band, Registration, RegistrationState
from registration_core.store import match_index, repository
from registration_core.store.database import Database
from registration_core.store.rivals import rivals_for, rivals_of
from tests.factories import APPROVER, add_partners, approved, customer, submit


@pytest.fixture
def first(database: Database) -> Registration:
    add_partners(database, "P1", "P2")
    return submit(database, customer=customer(name="Kestrel Avionics Inc.", website=""))


def _rivals(
    database: Database,
    customer: Organisation,
    *known: MatchKey,
    without: tuple[str, ...] = (),
) -> list[Rival]:
    with database.read() as session:
        return rivals_of(session, customer, frozenset(known), without)


def _numbers(rivals: list[Rival]) -> list[str]:
    return [rival.registration.number for rival in rivals]


@pytest.mark.parametrize(
    "spelled",
    ["KESTREL AVIONICS", "Kestrel Avionic Corp", "Kestrel Avionics, Inc", "Kestrl Avionics"],
)
def test_a_customer_that_is_spelled_otherwise_is_found_with_what_speaks_for_it(
    database: Database, first: Registration, spelled: str
) -> None:
    (rival,) = _rivals(database, Organisation(spelled, country="US"))
    assert rival.registration == first
    assert rival.match.band is Band.REVIEW
    assert any(piece.kind == "name" and piece.log_odds > 0 for piece in rival.match.evidence)
    assert rival.match.held_by == "only the name fits"


def test_a_customer_known_by_its_website_alone_is_found_by_it(database: Database) -> None:
    add_partners(database, "P1")
    made = submit(
        database, customer=customer(name="KA Holding", website="kestrel-avionics.example")
    )
    found = _rivals(
        database,
        Organisation("Kestrel Avionics Inc.", website="https://www.kestrel-avionics.example"),
    )
    assert _numbers(found) == [made.number]
    assert "domain" in found[0].match.matched_on


def test_a_company_of_the_family_is_found_with_its_relation(
    database: Database, first: Registration
) -> None:
    (rival,) = _rivals(database, Organisation("Kestrel Avionics Deutschland GmbH", country="DE"))
    assert rival.registration == first
    assert rival.match.relation is Relation.PARENT
    assert rival.match.band is Band.REVIEW


def test_another_company_is_no_rival(database: Database, first: Registration) -> None:
    assert first.state.live
    assert _rivals(database, Organisation("Harrier Dairy Ltd", country="US")) == []


def test_an_identifier_learned_from_an_account_finds_a_customer_of_another_name(
    database: Database,
) -> None:
    add_partners(database, "P1")
    made = submit(database, customer=customer(name="Old Name Ltd", website="", tax_id="84-1190277"))
    (rival,) = _rivals(
        database, Organisation("Quite Another Name"), MatchKey("tax_id", "841190277")
    )
    assert rival.registration == made
    assert (rival.match.band, rival.match.matched_on) == (Band.STRONG, ("tax_id",))


def test_a_registration_is_left_out_on_demand(database: Database, first: Registration) -> None:
    assert _rivals(database, Organisation(first.customer.name), without=(first.id,)) == []


def test_surely_the_same_comes_before_perhaps_the_same(
    database: Database, first: Registration
) -> None:
    sure = approved(
        database, "P2", customer=replace(first.customer, tax_id="84-1190277", website="k.example")
    )
    found = _rivals(database, Organisation("Kestrel Avionics", tax_id="841190277", country="US"))
    assert _numbers(found) == [sure.number, first.number]


def test_who_is_protected_is_found_among_hundreds_of_registrations_of_one_customer(
    sqlite_database: Database,
) -> None:
    database = sqlite_database
    add_partners(database, "P1", "P2")
    typed = customer(name="Kestrel Avionics Inc.", website="", tax_id="84-1190277")
    protected = approved(database, customer=typed)
    for number in range(500):
        submit(database, customer=typed, product_line="support", token=f"token {number}")
    made = submit(database, "P2", customer=typed)
    with database.read() as session:
        found = rivals_for(session, made, customer_keys(typed), [])
    assert protected.number in _numbers(found)


def test_a_closed_registration_is_no_rival_until_it_is_open_again(
    database: Database, first: Registration
) -> None:
    with database.begin(APPROVER) as unit:
        use_cases.withdraw(unit, first.number)
    assert _rivals(database, Organisation(first.customer.name)) == []
    with database.begin() as unit:
        before = repository.registration(unit.session, first.number, lock=True)
        open_again = replace(before, state=RegistrationState.SUBMITTED)
        repository.save(unit.session, open_again, unit.now)
    assert _numbers(_rivals(database, Organisation(first.customer.name))) == [first.number]


def test_a_corrected_customer_is_found_by_its_new_name_only(
    database: Database, first: Registration
) -> None:
    with database.begin() as unit:
        before = repository.registration(unit.session, first.number, lock=True)
        corrected = replace(before, customer=customer(name="Harrier Dairy Ltd", website=""))
        repository.save(unit.session, corrected, unit.now)
    assert _rivals(database, Organisation("Kestrel Avionics Inc.")) == []
    assert _numbers(_rivals(database, Organisation("Harrier Dairy"))) == [first.number]


@pytest.mark.parametrize(
    ("told", "asked"),
    [
        ({"aliases": ("Merlin Mills",)}, Organisation("Merlin Mills")),
        (
            {"email_domains": ("merlin.example", "mill.example")},
            Organisation("Harrier Dairy", website="mill.example"),
        ),
        ({"parent": "Merlin Mills"}, Organisation("Merlin Mills Ltd")),
        ({"name": "Merlin Mills"}, Organisation("Harrier Dairy", parent="Merlin Mills")),
        ({"parent": "Merlin Mills"}, Organisation("Harrier Dairy", parent="Merlin Mills")),
    ],
    ids=["alias", "second domain", "subsidiary", "parent", "sibling"],
)
def test_a_registration_is_found_by_everything_that_is_said_of_its_customer(
    database: Database, told: dict[str, Any], asked: Organisation
) -> None:
    add_partners(database, "P1")
    made = submit(database, customer=customer(**{"name": "Kestrel Avionics", "website": ""} | told))
    assert _numbers(_rivals(database, asked)) == [made.number]


def test_an_equal_phone_finds_a_customer_and_makes_an_equal_name_sure(database: Database) -> None:
    add_partners(database, "P1")
    made = submit(
        database, customer=customer(name="Kestrel Avionics", website="", phone="+1 919 555 0126")
    )
    with database.read() as session:
        found = match_index.search_registrations(
            session, Organisation("Harrier Dairy", phone="(919) 555-0126")
        )
    assert found == [made.receipt_seq]
    bands = [
        _rivals(database, Organisation("Kestrel Avionics Inc.", country="US", phone=phone))[0].match
        for phone in ("(919) 555-0126", "(919) 555-0127")
    ]
    assert [match.band for match in bands] == [Band.STRONG, Band.REVIEW]


@pytest.mark.parametrize(
    ("told", "asked", "relation"),
    [
        ({"parent": "Merlin Mills"}, Organisation("Merlin Mills Ltd"), Relation.SUBSIDIARY),
        ({}, Organisation("Harrier Dairy", parent="Kestrel Avionics"), Relation.PARENT),
        (
            {"parent": "Merlin Mills"},
            Organisation("Harrier Dairy", parent="Merlin Mills"),
            Relation.SIBLING,
        ),
    ],
)
def test_a_parent_that_somebody_named_tells_the_relation(
    database: Database, told: dict[str, str], asked: Organisation, relation: Relation
) -> None:
    add_partners(database, "P1")
    submit(database, customer=customer(name="Kestrel Avionics", website="", **told))
    (rival,) = _rivals(database, asked)
    assert (rival.match.relation, rival.match.band) == (relation, Band.REVIEW)


def test_each_of_several_long_names_and_domains_finds_its_customer(database: Database) -> None:
    add_partners(database, "P1")
    names = (
        "Kestrel Avionics and Instruments Manufacturing Company of Northern Scotland",
        "Quernbeck Precision Optical Measurement Equipment Wholesale Distribution",
        "Harrier Dairy Cheese Butter Cooperative Marketing Association formerly Old Creamery",
        "Merlin Mills Weaving Spinning Textile Finishing International Holding Group",
    )
    domains = tuple(
        f"{word}-works.example" for word in ("otter", "heron", "plover", "dunlin", "wren")
    )
    made = submit(
        database,
        customer=customer(
            name=names[0], aliases=names[1:], email_domains=domains, website="avocet.example",
            tax_id="84-1190277", duns="150483782", phone="+1 919 555 0126", city="Durham",
        ),
    )  # fmt: skip
    for name in names:
        assert _numbers(_rivals(database, Organisation(name))) == [made.number], name
    for domain in domains:
        found = _rivals(database, Organisation("Somebody Else", website=domain))
        assert _numbers(found) == [made.number], domain


def test_a_registration_that_is_closed_is_found_by_nothing_of_it(database: Database) -> None:
    add_partners(database, "P1")
    made = submit(database, customer=customer(aliases=("Merlin Mills",), phone="+1 919 555 0126"))
    with database.begin(APPROVER) as unit:
        use_cases.withdraw(unit, made.id)
    assert _rivals(database, Organisation("Merlin Mills", phone="+1 919 555 0126")) == []
