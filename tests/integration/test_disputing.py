"""What people decide after an approval: disputes, holds, cancellations, stale evidence."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from registration_core import disputing, matches, overriding, protecting, use_cases
from registration_core.disputing import Verdict
from registration_core.errors import (
    AlreadyProtected,
    CheckNotUsable,
    DomainRefusal,
    InvalidInput,
    InvalidTransition,
    NotAllowed,
)
from registration_core.findings import ReasonCode
from registration_core.model import (
    Actor,
    DisputeState,
    ProtectionState,
    Reading,
    Registration,
    RegistrationState,
)
from registration_core.partner_view import partner_view
from registration_core.store import audit, disputes, repository
from registration_core.store.database import Database, UnitOfWork
from tests.factories import (
    APPROVER,
    CONNECTIONS,
    NOW,
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
from tests.integration.claims import require_consistent

ONE, TWO = Actor("one", os_user="one"), Actor("two", os_user="two")
Verb = Callable[[UnitOfWork], object]


@pytest.fixture(autouse=True)
def partners(database: Database) -> None:
    add_partners(database, "P1", "P2")


def _do(database: Database, verb: Verb, actor: Actor = APPROVER) -> None:
    with database.begin(actor) as unit:
        verb(unit)


def _disputed(database: Database) -> Registration:
    made = approved(database)
    with database.begin() as unit:
        held = repository.registration(unit.session, made.id, lock=True)
        disputing.open_dispute(unit, held, "a direct opportunity")
    return made


def _decide(
    database: Database, about: Registration, verdict: Verdict, actor: Actor = APPROVER
) -> None:
    _do(database, lambda u: disputing.decide(u, about.id, verdict, "looked", program()), actor)


def _two_contested(database: Database) -> tuple[Registration, Registration]:
    first = approved(database, "P1", customer=customer(name="Avocet", website=""))
    second = approved(database, "P2", customer=customer(name="Pipit Foods", website=""))
    _do(database, lambda u: matches.confirm(u, second.number, first.number, "renamed"))
    return first, second


# --- disputes -----------------------------------------------------------------------------------


def test_an_open_dispute_is_listed_with_its_reasons_and_takes_no_protection(
    database: Database,
) -> None:
    made = _disputed(database)
    with database.begin() as unit:
        held = repository.registration(unit.session, made.id, lock=True)
        disputing.open_dispute(unit, held, "another one")
    with database.read() as session:
        (listed,) = disputes.listed(session, everything=False)
    assert listed["number"] == made.number
    assert listed["because"] == "a direct opportunity; another one"
    assert stored(database, made).protection_state is ProtectionState.ACTIVE


def test_a_dispute_that_is_decided_for_the_claim_leaves_all_as_it_was(database: Database) -> None:
    made = _disputed(database)
    _decide(database, made, Verdict.KEEP)
    after = stored(database, made)
    assert (after.state, after.dispute_state, after.protection_state) == (
        RegistrationState.APPROVED, DisputeState.DECIDED, ProtectionState.ACTIVE,
    )  # fmt: skip
    with database.read() as session:
        assert disputes.listed(session, everything=False) == []
        (listed,) = disputes.listed(session, everything=True)
    assert (listed["decision"], listed["reason"], listed["decided_by"]) == (
        "keep",
        "looked",
        "anna",
    )


def test_a_dispute_that_is_decided_against_the_claim_frees_its_slot(database: Database) -> None:
    made = _disputed(database)
    _decide(database, made, Verdict.CANCEL)
    after = stored(database, made)
    assert (after.state, after.protection_state) == (
        RegistrationState.CANCELLED, ProtectionState.RELEASED,
    )  # fmt: skip
    assert approved(database, "P2").protection_state is ProtectionState.ACTIVE
    require_consistent(database)


def test_of_two_contested_claims_one_is_kept_only_after_the_other_was_decided_against(
    database: Database,
) -> None:
    first, second = _two_contested(database)
    with pytest.raises(AlreadyProtected):
        _decide(database, first, Verdict.KEEP)
    _decide(database, second, Verdict.CANCEL)
    _decide(database, first, Verdict.KEEP)
    assert stored(database, first).protection_state is ProtectionState.ACTIVE
    require_consistent(database)


def test_who_submitted_it_may_not_decide_its_dispute_and_nobody_may_decide_none(
    database: Database,
) -> None:
    made = _disputed(database)
    with pytest.raises(NotAllowed, match="submitted"):
        _decide(database, made, Verdict.KEEP, SUBMITTER)
    with pytest.raises(InvalidInput, match="Say why"):
        _do(database, lambda u: disputing.decide(u, made.id, Verdict.KEEP, " ", program()))
    _decide(database, made, Verdict.KEEP)
    with pytest.raises(DomainRefusal, match="Nothing about"):
        _decide(database, made, Verdict.CANCEL)


# --- holds, cancellations, questions ------------------------------------------------------------


def test_a_protection_on_hold_keeps_others_out_and_does_not_end_until_it_runs_again(
    database: Database, clock: Clock
) -> None:
    made = approved(database)
    _do(database, lambda u: protecting.suspend(u, made.id, "the partner merges"))
    clock.advance(days=91)
    _do(database, protecting.expire_due)
    assert stored(database, made).protection_state is ProtectionState.SUSPENDED
    rival = submit(database, "P2")
    with pytest.raises(AlreadyProtected):
        _do(database, lambda u: approve(u, rival))
    with pytest.raises(DomainRefusal, match="cannot be suspended"):
        _do(database, lambda u: protecting.suspend(u, made.id, "again"))
    _do(database, lambda u: protecting.resume(u, made.id, "merged"))
    with pytest.raises(DomainRefusal, match="cannot be resumed"):
        _do(database, lambda u: protecting.resume(u, made.id, "again"))
    _do(database, protecting.expire_due)
    assert stored(database, made).state is RegistrationState.EXPIRED


def test_an_expired_registration_is_reinstated_only_on_a_usable_check_and_a_free_slot(
    database: Database, clock: Clock
) -> None:
    made = approved(database)
    clock.advance(days=91)
    _do(database, protecting.expire_due)

    def again(unit: UnitOfWork, **unread: object) -> None:
        answered = check(made, (), unit.now, **unread)
        protecting.reinstate(unit, made.id, answered, "they had a fire", program())

    unread = tuple(Reading(name, False, None, "away") for name in CONNECTIONS)
    with pytest.raises(CheckNotUsable):
        _do(database, lambda u: again(u, readings=unread))
    _do(database, again)
    assert stored(database, made).protection_ends_on == (clock.now + timedelta(days=90)).date()

    clock.advance(days=91)
    _do(database, protecting.expire_due)
    approved(database, "P2")
    with pytest.raises(AlreadyProtected):
        _do(database, again)
    require_consistent(database)


def test_a_cancelled_registration_tells_its_partner_the_codes_text_and_frees_the_slot(
    database: Database,
) -> None:
    made = approved(database)
    code = ReasonCode.PARTNER_STANDING
    with pytest.raises(NotAllowed):
        _do(database, lambda u: protecting.cancel(u, made.id, code, ""), SUBMITTER)
    _do(database, lambda u: protecting.cancel(u, made.id, code, "CANARY"))
    view = partner_view(stored(database, made))
    assert "membership" in view.message
    assert view.state == "Cancelled"
    assert approved(database, "P2").protection_state is ProtectionState.ACTIVE


def test_what_is_disputed_is_decided_and_not_cancelled_past_the_dispute(
    database: Database,
) -> None:
    made = _disputed(database)
    with pytest.raises(DomainRefusal, match="is disputed"):
        _do(database, lambda u: protecting.cancel(u, made.id, ReasonCode.TERRITORY, ""))


def test_a_question_reaches_the_partner_and_the_answer_keeps_the_receipt(
    database: Database,
) -> None:
    made = submit(database, description="First.")
    _do(database, lambda u: use_cases.ask(u, made.id, "Who decides there?"))
    asked = stored(database, made)
    assert partner_view(asked).message == "Who decides there?"
    with pytest.raises(InvalidTransition):
        _do(database, lambda u: use_cases.ask(u, made.id, "And when?"))
    with pytest.raises(InvalidInput, match="room for"):
        _do(database, lambda u: use_cases.answer(u, made.id, "x" * 4000))
    _do(database, lambda u: use_cases.answer(u, made.id, "Their head of IT."), SUBMITTER)
    after = stored(database, made)
    assert (after.state, after.receipt_seq) == (RegistrationState.SUBMITTED, made.receipt_seq)
    assert after.description == "First.\n\nTheir head of IT."
    assert partner_view(after).message == ""


# --- stale evidence -----------------------------------------------------------------------------

STALE = tuple(Reading(name, True, NOW - timedelta(hours=2)) for name in CONNECTIONS)


def _kept_check(database: Database, about: Registration, **changes: object) -> None:
    with database.begin() as unit:
        repository.add_check(unit.session, check(about, (), unit.now, **changes))


def _override(database: Database, about: Registration, actor: Actor) -> None:
    _do(database, lambda u: overriding.override(u, about.id, "the index lags", program()), actor)


def test_stale_evidence_is_accepted_by_two_different_people_and_not_by_one_twice(
    database: Database,
) -> None:
    made = submit(database)
    _kept_check(database, made, readings=STALE)
    for actor in (ONE, ONE, Actor("somebody else", os_user="one")):
        _override(database, made, actor)
        with pytest.raises(CheckNotUsable, match="older than"):
            _do(database, lambda u: approve(u, made, readings=STALE))
    _override(database, made, TWO)
    _do(database, lambda u: approve(u, made, readings=STALE))
    assert stored(database, made).state is RegistrationState.APPROVED
    with database.read() as session:
        events = audit.events(session, f"registration:{made.id}")
    users = [e["internal"]["os_user"] for e in events if e["action"] == "override stale evidence"]
    assert set(users) == {"one", "two"}


@pytest.mark.parametrize(
    "reason", ["no answer", "the canary of the house list is missing", "the list has 7 accounts"]
)
def test_nothing_but_staleness_can_be_accepted(database: Database, reason: str) -> None:
    made = submit(database)
    unread = (*STALE[:2], Reading(CONNECTIONS[2], False, NOW, reason))
    _kept_check(database, made, readings=unread)
    with pytest.raises(CheckNotUsable, match=reason):
        _override(database, made, ONE)


def test_a_person_nobody_knows_and_the_submitter_are_no_second_person(database: Database) -> None:
    made = submit(database)
    _kept_check(database, made, readings=STALE)
    for actor in (Actor("claimed"), Actor("x", os_user=SUBMITTER.name), SUBMITTER):
        with pytest.raises(NotAllowed):
            _override(database, made, actor)


def test_what_two_people_accepted_is_that_one_check(database: Database, clock: Clock) -> None:
    made = submit(database)
    _kept_check(database, made, readings=STALE)
    for actor in (ONE, TWO):
        _override(database, made, actor)
    clock.advance(seconds=1)
    _kept_check(database, made, readings=STALE, id="a newer one")
    with pytest.raises(CheckNotUsable):
        _do(database, lambda u: approve(u, made, readings=STALE, id="a newer one"))
