"""A person's word on a match: remembered, audited, honoured, and not for everybody to give."""

from __future__ import annotations

from dataclasses import replace

import pytest

from registration_core import matches, recording
from registration_core.errors import AlreadyProtected, InvalidInput, NotAllowed, NotFound
from registration_core.findings import FindingKind
from registration_core.matching import blocking
from registration_core.model import (
    Actor,
    Band,
    DisputeState,
    Finding,
    ProtectionState,
    Registration,
)
from registration_core.store import audit, match_decisions, repository
from registration_core.store.database import Database
from registration_core.store.match_index import SHARED_MAX
from tests.factories import (
    APPROVER,
    SUBMITTER,
    account,
    add_partners,
    approve,
    approved,
    check,
    customer,
    stored,
    submit,
)

BY_DOMAIN = customer(name="KA Holding", website="kestrel-avionics.example")
BY_NAME = customer(name="Kestrel Avionics Inc.", website="")
ACCOUNT = account(name="Kestrel Avionics Inc.", domain="kestrel-avionics.example")


@pytest.fixture(autouse=True)
def partners(database: Database) -> None:
    add_partners(database, "P1", "P2")


def _confirm(database: Database, about: Registration, other: str, actor: Actor = APPROVER) -> None:
    with database.begin(actor) as unit:
        matches.confirm(unit, about.number, other, "the same tax office")


def _deny(database: Database, about: Registration, other: str, actor: Actor = APPROVER) -> None:
    with database.begin(actor) as unit:
        matches.deny(unit, about.number, other, "a namesake")


def _try_to_approve(database: Database, about: Registration, *through: str) -> None:
    findings = [
        Finding(FindingKind.AMBIGUOUS_MATCH, Band.REVIEW, (), "perhaps", ACCOUNT.connection, record)
        for record in through
    ]
    with database.begin(APPROVER) as unit:
        approve(unit, about, findings)


def test_one_customer_by_domain_and_by_name_is_one_through_the_account_that_has_both(
    database: Database,
) -> None:
    with database.begin() as unit:
        repository.put_accounts(unit.session, [ACCOUNT])
    first = approved(database, "P1", customer=BY_DOMAIN)
    second = submit(database, "P2", customer=BY_NAME)
    with pytest.raises(AlreadyProtected, match=f"may be about the customer of {first.number}"):
        _try_to_approve(database, second, ACCOUNT.record_id)
    assert stored(database, second).protection_state is ProtectionState.NONE


@pytest.mark.parametrize("others", [SHARED_MAX - 1, SHARED_MAX])
def test_who_is_protected_is_met_in_an_account_however_many_others_share_its_domain(
    database: Database, others: int
) -> None:
    with database.begin() as unit:
        repository.put_accounts(unit.session, [ACCOUNT])
    for number in range(others):
        crowd = replace(BY_DOMAIN, name=f"KA Holding {number}")
        submit(database, "P1", customer=crowd, product_line="support")
    first = approved(database, "P1", customer=BY_DOMAIN)
    second = submit(database, "P2", customer=BY_NAME)
    with pytest.raises(AlreadyProtected, match=f"may be about the customer of {first.number}"):
        _try_to_approve(database, second, ACCOUNT.record_id)


def test_who_is_protected_is_compared_however_many_others_are_as_likely(
    database: Database,
) -> None:
    for number in range(blocking.CANDIDATES_MAX + 1):
        submit(database, customer=BY_NAME, product_line="support", token=f"token {number}")
    first = approved(database, "P1", customer=BY_NAME)
    second = submit(database, "P2", customer=customer(name="Kestrel Avionic Corp", website=""))
    with pytest.raises(AlreadyProtected, match=f"may be about the customer of {first.number}"):
        _try_to_approve(database, second)


@pytest.mark.parametrize("parent", ["Kestrel Avionics Inc.", "Kestrel Avionic", "Heron Group"])
def test_naming_a_parent_frees_nobody_of_being_the_same_customer(
    database: Database, parent: str
) -> None:
    approved(database, "P1", customer=BY_NAME)
    spelled = customer(name="Kestrel Avionic Corp", website="", parent=parent)
    second = submit(database, "P2", customer=spelled)
    with pytest.raises(AlreadyProtected, match="may be about the customer of"):
        _try_to_approve(database, second)


def test_a_customer_of_another_name_whose_parent_is_protected_is_another(
    database: Database,
) -> None:
    approved(database, "P1", customer=BY_NAME)
    daughter = customer(name="Harrier Dairy", website="", parent="Kestrel Avionics Inc.")
    second = submit(database, "P2", customer=daughter)
    _try_to_approve(database, second)
    assert stored(database, second).protection_state is ProtectionState.ACTIVE


def test_a_spelling_apart_is_one_customer_until_a_person_denies_it(database: Database) -> None:
    approved(database, "P1", customer=BY_NAME)
    second = submit(database, "P2", customer=customer(name="Kestrel Avionic Corp", website=""))
    with pytest.raises(AlreadyProtected) as refused:
        _try_to_approve(database, second)
    assert f"dealreg match deny {second.number}" in refused.value.hint


def test_a_denied_match_lets_both_be_protected_and_is_honoured_from_both_sides(
    database: Database,
) -> None:
    first = approved(database, "P1", customer=BY_NAME)
    second = submit(database, "P2", customer=customer(name="Kestrel Avionic Corp", website=""))
    _deny(database, second, first.number)
    _try_to_approve(database, second)
    with database.read() as session:
        for one, other in ((first, second), (second, first)):
            said = match_decisions.of_customer(session, one.customer_id)
            assert said == {match_decisions.customer_key(other.customer_id): False}


def test_a_confirmed_match_takes_the_slot_and_claims_that_overlap_are_contested(
    database: Database,
) -> None:
    first = approved(database, "P1", customer=BY_NAME)
    second = submit(database, "P2", customer=BY_DOMAIN)
    _confirm(database, second, first.number)
    assert stored(database, first).customer_id == stored(database, second).customer_id
    with pytest.raises(AlreadyProtected, match="every slot"):
        _try_to_approve(database, stored(database, second))

    third = approved(database, "P2", customer=customer(name="Pipit Foods", website=""))
    _confirm(database, third, first.number)
    assert {stored(database, r).dispute_state for r in (first, third)} == {DisputeState.OPEN}
    assert {stored(database, r).protection_state for r in (first, third)} == {
        ProtectionState.CONTESTED
    }


def test_a_later_word_replaces_the_earlier_one_and_both_are_in_the_trail(
    database: Database,
) -> None:
    with database.begin() as unit:
        repository.put_accounts(unit.session, [ACCOUNT])
    made = submit(database, customer=BY_NAME)
    name = f"{ACCOUNT.connection}:{ACCOUNT.record_id}"
    _deny(database, made, name)
    _confirm(database, made, name)
    with database.read() as session:
        said = match_decisions.of_customer(session, made.customer_id)
        events = audit.events(session, recording.subject_of(made))
    assert said == {match_decisions.account_key(ACCOUNT): True}
    assert [e["action"] for e in events][-2:] == ["deny match", "confirm match"]
    assert events[-1]["internal"] == {"other": name, "reason": "the same tax office"}


def test_a_word_on_a_match_makes_earlier_checks_count_no_more(database: Database) -> None:
    with database.begin() as unit:
        repository.put_accounts(unit.session, [ACCOUNT])
    made = submit(database, customer=BY_NAME)
    _deny(database, made, f"{ACCOUNT.connection}:{ACCOUNT.record_id}")
    assert stored(database, made).match_keys_changed_at == stored(database, made).updated_at
    assert stored(database, made).version == made.version + 1


def test_two_registrations_of_one_customer_are_parted_with_their_claims(
    database: Database,
) -> None:
    first = approved(database, "P1", customer=BY_NAME, product_line="support")
    second = approved(database, "P2", customer=BY_NAME, product_line="support")
    _confirm(database, second, first.number)
    _deny(database, second, first.number)
    parted = stored(database, second)
    assert parted.customer_id != stored(database, first).customer_id
    with database.read() as session:
        (claim,) = repository.standing_claims(session, parted.customer_id, "support")
    assert claim.registration_id == second.id


def test_two_registrations_with_one_tax_id_are_not_parted(database: Database) -> None:
    taxed = customer(tax_id="84-1190277")
    first, second = submit(database, "P1", customer=taxed), submit(database, "P2", customer=taxed)
    with pytest.raises(NotAllowed, match="carry the same tax id"):
        _deny(database, second, first.number)


def test_the_submitter_and_whoever_is_not_the_lists_owner_have_no_say(
    database: Database,
) -> None:
    first, second = submit(database, "P1"), submit(database, "P2")
    with pytest.raises(NotAllowed, match="submitted"):
        _deny(database, second, first.number, SUBMITTER)
    house = Finding(
        FindingKind.HOUSE_ACCOUNT, Band.STRONG, (), "on the house list", decides="house-desk"
    )
    with database.begin() as unit:
        repository.add_check(unit.session, check(second, [house]))
    with pytest.raises(NotAllowed, match="held for house-desk"):
        _deny(database, second, first.number)
    _deny(database, second, first.number, Actor("house-desk"))


@pytest.mark.parametrize(
    ("other", "told"),
    [("DR-NONE-HERE", "no registration"), ("salesforce:001Z", "no account 001Z")],
)
def test_a_word_about_nothing_is_refused(database: Database, other: str, told: str) -> None:
    made = submit(database)
    with pytest.raises(NotFound, match=told):
        _deny(database, made, other)


def test_a_word_needs_a_reason_and_another_side(database: Database) -> None:
    made = submit(database)
    with pytest.raises(InvalidInput, match="itself"):
        _deny(database, made, made.number)
    with pytest.raises(InvalidInput, match="Say why"), database.begin(APPROVER) as unit:
        matches.deny(unit, made.number, made.number, " ")


def test_a_namesake_with_another_tax_id_is_another_customer_and_nobody_has_to_say_so(
    database: Database,
) -> None:
    first = approved(database, "P1", customer=customer(name="Kestrel", website="", tax_id="84-1"))
    second = submit(database, "P2", customer=customer(name="Kestrel", website="", tax_id="84-2"))
    _try_to_approve(database, second)
    assert stored(database, second).customer_id != first.customer_id
