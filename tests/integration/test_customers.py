"""Which registrations are about one customer, and what happens when two turn out to be one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import select, update

from registration_core.claims import ClaimState
from registration_core.errors import AlreadyProtected
from registration_core.matching import MatchKey, customer_keys
from registration_core.model import Customer, DisputeState, ProtectionState, Registration
from registration_core.recording import subject_of
from registration_core.store import audit, customers, match_decisions, protection, repository
from registration_core.store.database import Database
from registration_core.store.tables import CustomerKeyRow, CustomerRow, OutboxRow
from tests.factories import (
    APPROVER,
    CONNECTIONS,
    HUBSPOT,
    SALESFORCE,
    account,
    add_partners,
    approve,
    approved,
    customer,
    stored,
    submit,
)

TAX, DUNS = MatchKey("tax_id", "841190277"), MatchKey("duns", "001234567")
DOMAIN, NAME = MatchKey("domain", "avocet.example"), MatchKey("name_country", "US|avocet")
OTHER_NAME = MatchKey("name_country", "US|pipit")


def _resolve(database: Database, *keys: MatchKey, known: str | None = None) -> str:
    with database.begin() as unit:
        protection.hold_lock(unit)
        return customers.resolve(unit, "Avocet", keys, known)


def _learn(database: Database, customer_id: str, *keys: MatchKey) -> str:
    with database.begin() as unit:
        protection.hold_lock(unit)
        return customers.learn(unit, customer_id, keys)


def _keys(database: Database, customer_id: str) -> frozenset[MatchKey]:
    with database.read() as session:
        return repository.keys_of_customer(session, customer_id)


@pytest.fixture
def partners(database: Database) -> None:
    add_partners(database, "P1", "P2", "P3", "P4")


# --- resolving --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ({TAX}, {TAX, OTHER_NAME}, True),
        ({DUNS}, {DUNS}, True),
        ({DOMAIN, NAME}, {DOMAIN, NAME}, True),
        ({TAX, DOMAIN, NAME}, {DOMAIN, NAME}, True),
        ({DOMAIN, NAME}, {DOMAIN, OTHER_NAME}, False),
        ({DOMAIN, NAME}, {DOMAIN}, False),
        ({DOMAIN, NAME}, {NAME}, False),
        ({NAME}, {NAME}, False),
        ({TAX}, {DUNS}, False),
        (set(), set(), False),
    ],
)
def test_an_identifier_or_domain_and_name_together_identify_a_customer(
    database: Database, first: set[MatchKey], second: set[MatchKey], same: bool
) -> None:
    one, two = _resolve(database, *first), _resolve(database, *second)
    assert (one == two) is same
    assert first | (second if same else set()) <= _keys(database, one)
    assert second <= _keys(database, two)


def test_a_domain_of_one_customer_and_a_name_of_another_identify_neither(
    database: Database,
) -> None:
    one, two = _resolve(database, DOMAIN, OTHER_NAME), _resolve(database, NAME)
    three = _resolve(database, DOMAIN, NAME)
    assert len({one, two, three}) == 3
    assert _resolve(database, DOMAIN, NAME) == three


def test_a_customer_without_certain_evidence_stays_the_one_it_was(database: Database) -> None:
    one = _resolve(database, NAME)
    assert _resolve(database, NAME, known=one) == one
    two = _resolve(database, TAX)
    assert _resolve(database, TAX, known=one) == two


def test_an_identifier_has_one_owner(database: Database) -> None:
    one, two = _resolve(database, TAX), _resolve(database, DUNS)
    assert _resolve(database, TAX, DUNS) == one
    assert _keys(database, one) == {TAX}
    assert _keys(database, two) == {DUNS}


def test_every_registration_of_a_name_can_be_found_by_it(
    database: Database, partners: None
) -> None:
    typed = customer(website="")
    made = {submit(database, code, customer=typed).customer_id for code in ("P1", "P2", "P3")}
    with database.read() as session:
        owners = repository.customers_with(session, customer_keys(typed))
    assert set(owners) == made
    assert len(made) == 3


# --- standing on accounts ---------------------------------------------------------------------


def test_who_stands_on_any_of_thousands_of_accounts_is_found_by_connection_and_whole_id(
    database: Database, partners: None
) -> None:
    made = [
        submit(database, code, customer=customer(name=f"Customer {code}", website=""))
        for code in ("P1", "P2", "P3", "P4")
    ]
    stands = ({SALESFORCE: "001A"}, {HUBSPOT: "001A"}, {SALESFORCE: "001AB"}, {SALESFORCE: "7%"})
    with database.begin() as unit:
        for each, accounts in zip(made, stands, strict=True):
            held = repository.registration(unit.session, each.id, lock=True)
            repository.save(unit.session, replace(held, accounts=accounts), unit.now)
    merged = ["001A", "7%", *(f"other-{number}" for number in range(5000))]
    with database.read() as session:
        found = customers.standing_on(session, SALESFORCE, merged)
        assert customers.standing_on(session, SALESFORCE, []) == []
    assert found == [made[0].id, made[3].id]


# --- joining ----------------------------------------------------------------------------------


def _two_protected(database: Database, line: str = "platform") -> tuple[Registration, Registration]:
    """Two protected registrations of what seem to be two customers, and are one."""
    first = approved(database, "P1", product_line=line, customer=_customer("Avocet"))
    second = approved(
        database, "P2", product_line=line, customer=_customer("Avocet Bio", tax_id="84-1190277")
    )
    return first, second


def _customer(name: str, tax_id: str = "") -> Customer:
    return customer(name=name, website="", tax_id=tax_id)


def test_two_protected_customers_that_are_one_are_both_contested_and_neither_loses(
    database: Database, partners: None
) -> None:
    first, second = _two_protected(database)
    versions = {r.id: r.version for r in (first, second)}
    assert _learn(database, first.customer_id, TAX) == first.customer_id
    for about in (first, second):
        held = stored(database, about)
        assert held.customer_id == first.customer_id
        assert held.protection_state is ProtectionState.CONTESTED
        assert held.dispute_state is DisputeState.OPEN
        assert held.state is about.state
        assert held.version == versions[about.id] + 1
        with database.read() as session:
            event = audit.events(session, subject_of(about))[-1]
            rows = session.scalars(select(OutboxRow).where(OutboxRow.registration_id == about.id))
            assert {row.connection: row.wanted for row in rows} == dict.fromkeys(CONNECTIONS, 2)
        assert event["action"] == "open dispute"
        assert event["partner"] == {"message": "Your protection is being reviewed."}
    with database.read() as session:
        assert [c.state for c in repository.claims(session)] == [ClaimState.CONTESTED] * 2
        (joined,) = audit.events(session, f"customer:{first.customer_id}")
    assert joined["internal"] == {"joined": second.customer_id}
    assert TAX in _keys(database, first.customer_id)
    assert _keys(database, second.customer_id) == frozenset()


def test_learning_the_same_again_changes_nothing(database: Database, partners: None) -> None:
    first, second = _two_protected(database)
    _learn(database, first.customer_id, TAX)
    held = [stored(database, r) for r in (first, second)]
    _learn(database, first.customer_id, TAX, DUNS)
    assert [stored(database, r) for r in (first, second)] == held


def test_contested_claims_keep_a_third_partner_out(database: Database, partners: None) -> None:
    first, _ = _two_protected(database)
    _learn(database, first.customer_id, TAX)
    third = submit(database, "P3", customer=_customer("Third", tax_id="84-1190277"))
    with pytest.raises(AlreadyProtected), database.begin(APPROVER) as unit:
        approve(unit, third)


def test_contested_claims_fill_the_slots_of_a_shared_line(
    database: Database, partners: None
) -> None:
    first, _ = _two_protected(database, "support")
    _learn(database, first.customer_id, TAX)
    third = submit(
        database, "P3", product_line="support", customer=_customer("T", tax_id="84-1190277")
    )
    with pytest.raises(AlreadyProtected), database.begin(APPROVER) as unit:
        approve(unit, third)


def test_a_third_customer_that_joins_a_contest_is_contested_too(
    database: Database, partners: None
) -> None:
    first, _ = _two_protected(database)
    _learn(database, first.customer_id, TAX)
    third = approved(database, "P3", customer=_customer("Third"))
    _learn(database, third.customer_id, TAX)
    assert stored(database, third).protection_state is ProtectionState.CONTESTED
    with database.read() as session:
        claims = repository.claims(session)
    assert {(c.customer_id, c.state) for c in claims} == {(third.customer_id, ClaimState.CONTESTED)}


def test_claims_on_different_lines_or_slots_are_not_contested(
    database: Database, partners: None
) -> None:
    first = approved(database, "P1", customer=_customer("Avocet"))
    second = approved(
        database, "P2", product_line="support", customer=_customer("Bio", tax_id="84-1190277")
    )
    _learn(database, first.customer_id, TAX)
    states = {stored(database, r).protection_state for r in (first, second)}
    assert states == {ProtectionState.ACTIVE}


def test_a_domain_or_a_name_that_is_learned_joins_nobody(
    database: Database, partners: None
) -> None:
    first = approved(database, "P1", customer=customer(name="Avocet"))
    second = submit(database, "P2", customer=customer(name="Avocet Bio"))
    with database.begin(APPROVER) as unit:
        other = match_decisions.customer_key(second.customer_id)
        match_decisions.keep(unit, first.customer_id, other, same=False, reason="two sites")
        approve(unit, second)
    assert first.customer_id != second.customer_id
    _learn(database, first.customer_id, DOMAIN, NAME, OTHER_NAME)
    assert {stored(database, r).protection_state for r in (first, second)} == {
        ProtectionState.ACTIVE
    }


def test_a_name_that_both_have_is_kept_once_when_they_are_joined(
    database: Database,
) -> None:
    one, two = _resolve(database, NAME, DUNS), _resolve(database, NAME, TAX)
    _learn(database, one, TAX)
    assert _keys(database, one) == {NAME, DUNS, TAX}
    assert _keys(database, two) == frozenset()


def test_an_approval_learns_the_identifiers_of_its_accounts_and_finds_the_clash(
    database: Database, partners: None
) -> None:
    approved(database, "P1", customer=_customer("Avocet Bio", tax_id="84-1190277"))
    second = submit(database, "P2", customer=customer(name="Avocet"))
    with database.begin() as unit:
        repository.put_accounts(
            unit.session, [account(tax_id="84-1190277"), account(connection=HUBSPOT)]
        )
    with pytest.raises(AlreadyProtected), database.begin(APPROVER) as unit:
        approve(unit, second, accounts={SALESFORCE: "001A", HUBSPOT: "001A"})
    assert stored(database, second) == second
    with database.begin() as unit:
        repository.put_accounts(unit.session, [account(tax_id="99-9")])
    with database.begin(APPROVER) as unit:
        after = approve(unit, second, accounts={SALESFORCE: "001A"})
    assert MatchKey("tax_id", "999") in _keys(database, after.customer_id)


def test_what_an_approval_learned_keeps_out_who_comes_by_that_identifier(
    database: Database, partners: None
) -> None:
    with database.begin() as unit:
        repository.put_accounts(unit.session, [account(tax_id="84-1190277")])
    first = submit(database, "P1", customer=_customer("Avocet"))
    with database.begin(APPROVER) as unit:
        approve(unit, first, accounts={SALESFORCE: "001A"})
    second = submit(database, "P2", customer=_customer("Bio", tax_id="84-1190277"))
    assert second.customer_id == first.customer_id
    with pytest.raises(AlreadyProtected), database.begin(APPROVER) as unit:
        approve(unit, second)


def test_what_an_approval_learns_goes_to_the_customer_it_protects(
    database: Database, partners: None
) -> None:
    made = submit(database, "P2", customer=customer(name="Avocet"))
    with database.begin() as unit:  # an older customer comes to have the domain and the name
        older = min(made.customer_id, "0" * 36)
        unit.session.add(CustomerRow(id=older, name="Avocet", created_at=unit.now))
        unit.session.flush()
        unit.session.execute(
            update(CustomerKeyRow)
            .where(CustomerKeyRow.customer_id == made.customer_id)
            .values(customer_id=older)
        )
        repository.put_accounts(unit.session, [account(tax_id="99-9")])
    with database.begin(APPROVER) as unit:
        after = approve(unit, made, accounts={SALESFORCE: "001A"})
    assert after.customer_id == older
    late = submit(database, "P4", customer=_customer("Late", tax_id="99-9"))
    assert late.customer_id == older
    with pytest.raises(AlreadyProtected), database.begin(APPROVER) as unit:
        approve(unit, late)
