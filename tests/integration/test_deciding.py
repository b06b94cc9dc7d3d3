"""Decisions and the life of a protection: who may decide, on what, and what follows."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from registration_core import disputing, protecting, recording, use_cases
from registration_core.claims import ClaimState
from registration_core.contracts import ConnectionName
from registration_core.errors import (
    AlreadyProtected,
    CheckNotUsable,
    DomainRefusal,
    InvalidInput,
    InvalidTransition,
    NotAllowed,
)
from registration_core.findings import FindingKind, ReasonCode
from registration_core.model import (
    SYSTEM,
    Actor,
    Band,
    DisputeState,
    Finding,
    ProtectionState,
    Registration,
    RegistrationState,
)
from registration_core.partner_view import REASONS
from registration_core.store import audit, ending, repository
from registration_core.store.database import Database
from registration_core.store.tables import CheckRequestRow, OutboxRow
from tests.factories import (
    APPROVER,
    CONNECTIONS,
    HUBSPOT,
    NOW,
    SALESFORCE,
    SUBMITTER,
    Clock,
    account,
    add_partners,
    approve,
    approved,
    check,
    customer,
    program,
    stored,
    submission,
    submit,
)

HOUSE = Finding(FindingKind.HOUSE_ACCOUNT, Band.STRONG, (), "on the list", decides="house-desk")
RIVAL = Finding(FindingKind.PENDING_REGISTRATION, Band.STRONG, (), "earlier registration")


@pytest.fixture
def made(database: Database) -> Registration:
    """A submitted registration of partner P1; P2 exists too."""
    add_partners(database, "P1", "P2")
    return submit(database)


def _requests(database: Database) -> dict[str, tuple[datetime, int]]:
    with database.read() as session:
        rows = session.scalars(select(CheckRequestRow))
        return {row.registration_id: (row.due_at, row.version) for row in rows}


def _wanted(database: Database, about: Registration) -> dict[str, int]:
    with database.read() as session:
        rows = session.scalars(select(OutboxRow).where(OutboxRow.registration_id == about.id))
        return {row.connection: row.wanted for row in rows}


def _actions(database: Database, about: Registration) -> list[str]:
    with database.read() as session:
        return [e["action"] for e in audit.events(session, recording.subject_of(about))]


# --- review, approve, reject ------------------------------------------------------------------


def test_an_approval_starts_the_protection_and_tells_every_crm(
    database: Database, made: Registration
) -> None:
    with database.begin() as unit:
        use_cases.review(unit, made, "not a low-risk registration")
    nudged: list[set[str]] = []
    database.on_work = nudged.append
    with database.begin(APPROVER) as unit:
        after = approve(unit, made, accounts={SALESFORCE: "001A"})
    assert (after.state, after.protection_state) == (
        RegistrationState.APPROVED, ProtectionState.ACTIVE,
    )  # fmt: skip
    assert after.protection_starts_on == date(2031, 3, 4)
    assert after.protection_ends_on == date(2031, 6, 2)
    assert (after.decided_at, after.accounts) == (NOW, {SALESFORCE: "001A"})
    assert stored(database, made) == after
    assert _wanted(database, made) == dict.fromkeys(CONNECTIONS, 1)
    assert nudged == [{f"push:{name}" for name in CONNECTIONS}]
    assert _actions(database, made) == ["submit", "begin review", "approve"]
    with database.read() as session:
        event = audit.events(session, recording.subject_of(made))[-1]
    assert event["actor"] == "anna"
    assert event["internal"]["policy_version"] == "v1"
    assert event["internal"]["as_of"]["hubspot"] == str(NOW)
    assert event["partner"] == {"state": "Approved", "protected_until": "2031-06-02"}


def test_an_approval_is_checked_again_after_an_hour_and_after_a_day(
    database: Database, clock: Clock
) -> None:
    add_partners(database, "P1")
    made = submit(database)
    with database.begin() as unit:  # the check that led to the approval has been made
        unit.session.delete(unit.session.get_one(CheckRequestRow, made.id))
    with database.begin(APPROVER) as unit:
        after = approve(unit, made)
    assert _requests(database)[made.id][0] == NOW + timedelta(hours=1)
    for due in (timedelta(hours=1), timedelta(days=1)):
        clock.now = NOW + due
        with database.begin() as unit:
            unit.session.delete(unit.session.get_one(CheckRequestRow, made.id))
            unit.session.flush()
            use_cases.request_recheck(unit, after)
        expected = {made.id: (NOW + timedelta(days=1), 1)} if due < timedelta(days=1) else {}
        assert _requests(database) == expected


def test_an_approval_refuses_a_check_that_cannot_be_relied_on(
    database: Database, made: Registration, clock: Clock
) -> None:
    answered = check(made)
    clock.advance(seconds=901)
    with pytest.raises(CheckNotUsable), database.begin(APPROVER) as unit:
        use_cases.approve(unit, made.id, answered, program())
    assert stored(database, made) == made


def test_a_chosen_account_makes_an_earlier_check_unusable_and_wins_over_the_checks_own(
    database: Database, made: Registration, clock: Clock
) -> None:
    clock.advance(seconds=5)
    earlier = check(made, accounts={SALESFORCE: "001A", HUBSPOT: "7"})
    with database.begin() as unit:
        repository.put_accounts(
            unit.session, [account(tax_id="11-1"), account(record_id="001B", tax_id="22-2")]
        )
    with database.begin(APPROVER) as unit:
        use_cases.choose_account(unit, made.number, SALESFORCE, "001B")
    with pytest.raises(CheckNotUsable), database.begin(APPROVER) as unit:
        use_cases.approve(unit, made.id, earlier, program())
    with database.begin(APPROVER) as unit:
        after = approve(unit, made, accounts={SALESFORCE: "001A", HUBSPOT: "7"})
    assert after.accounts == {SALESFORCE: "001B", HUBSPOT: "7"}
    with database.read() as session:
        keys = repository.keys_of_customer(session, after.customer_id)
    assert {key.value for key in keys if key.kind == "tax_id"} == {"222"}


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_who_submitted_cannot_decide(database: Database, made: Registration, verb: str) -> None:
    with pytest.raises(NotAllowed, match="sam submitted"), database.begin(SUBMITTER) as unit:
        _decide(unit, verb, made)
    assert stored(database, made) == made


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_only_the_owner_of_a_list_decides_on_an_account_on_it(
    database: Database, made: Registration, verb: str
) -> None:
    with pytest.raises(NotAllowed, match="held for house-desk"), database.begin(APPROVER) as unit:
        _decide(unit, verb, made, HOUSE)
    with database.begin(Actor("house-desk")) as unit:
        decided = _decide(unit, verb, made, HOUSE)
    expected = {"approve": RegistrationState.APPROVED, "reject": RegistrationState.REJECTED}
    assert decided.state is expected[verb]


def _decide(unit: Any, verb: str, about: Registration, *findings: Finding) -> Registration:
    if verb == "approve":
        return approve(unit, about, findings)
    repository.add_check(unit.session, check(about, findings))
    return use_cases.reject(unit, about.id, ReasonCode.NOT_ELIGIBLE_ACCOUNT)


def test_the_program_itself_approves_nothing_that_has_a_finding(
    database: Database, made: Registration
) -> None:
    with pytest.raises(NotAllowed, match="a person decides"), database.begin(SYSTEM) as unit:
        approve(unit, made, [RIVAL])
    with pytest.raises(NotAllowed, match="a person decides"), database.begin(SYSTEM) as unit:
        approve(unit, made, [HOUSE])
    with database.begin(SYSTEM) as unit:
        assert approve(unit, made).state is RegistrationState.APPROVED


def test_an_actor_who_only_calls_himself_the_program_is_not_the_program(
    database: Database, made: Registration
) -> None:
    with pytest.raises(NotAllowed), database.begin(Actor("dealreg", os_user="mallory")) as unit:
        approve(unit, made, [HOUSE])


def test_a_product_line_that_the_program_dropped_cannot_be_protected(
    database: Database, made: Registration
) -> None:
    fewer = {n: line for n, line in program().product_lines.items() if n != "platform"}
    with (
        pytest.raises(NotAllowed, match="no product line platform") as refused,
        database.begin(APPROVER) as unit,
    ):
        approve(unit, made, rules=program(product_lines=fewer))
    assert "PRODUCT_NOT_ELIGIBLE" in refused.value.hint


def test_a_rejection_tells_the_partner_the_codes_own_text_and_keeps_the_note_inside(
    database: Database, made: Registration
) -> None:
    for reason in ReasonCode:
        about = submit(database, token=reason.value)
        with database.begin(APPROVER) as unit:
            after = use_cases.reject(unit, about.number, reason, note="Rival Partners were first")
        assert (after.state, after.reason_code) == (RegistrationState.REJECTED, reason.value)
        assert after.partner_message == REASONS[reason]
        with database.read() as session:
            event = audit.events(session, recording.subject_of(about))[-1]
        assert event["internal"] == {"reason": reason.value, "note": "Rival Partners were first"}
        assert event["partner"] == {"state": "Not approved", "message": REASONS[reason]}
        with pytest.raises(InvalidTransition), database.begin(APPROVER) as unit:
            approve(unit, about)


# --- the life of a protection -----------------------------------------------------------------


def _claim_states(database: Database, about: Registration) -> list[ClaimState]:
    with database.read() as session:
        return [c.state for c in repository.claims(session) if c.registration_id == about.id]


def test_a_withdrawal_frees_the_slot_for_the_next(database: Database, made: Registration) -> None:
    with database.begin(APPROVER) as unit:
        approve(unit, made)
    rival = submit(database, "P2")
    with pytest.raises(AlreadyProtected) as refused, database.begin(APPROVER) as unit:
        approve(unit, rival)
    assert "DUP_ACTIVE" in refused.value.hint
    with database.begin(SUBMITTER) as unit:
        after = use_cases.withdraw(unit, made.number)
    assert (after.state, after.protection_state) == (
        RegistrationState.WITHDRAWN, ProtectionState.RELEASED,
    )  # fmt: skip
    assert _claim_states(database, made) == [ClaimState.RELEASED]
    assert _wanted(database, made) == dict.fromkeys(CONNECTIONS, 2)
    with database.begin(APPROVER) as unit:
        assert approve(unit, rival).protection_state is ProtectionState.ACTIVE


def test_a_withdrawal_before_a_decision_has_nothing_to_free(
    database: Database, made: Registration
) -> None:
    with database.begin(SUBMITTER) as unit:
        after = use_cases.withdraw(unit, made.number)
    assert after.protection_state is ProtectionState.NONE
    assert _wanted(database, made) == {}


def test_an_extension_moves_the_end_of_registration_and_claim(database: Database) -> None:
    add_partners(database, "P1")
    made = approved(database)
    with database.begin(APPROVER) as unit:
        after = protecting.extend(unit, made.number, 30, "proof of concept dated 2031-05-20")
    assert after.protection_ends_on == date(2031, 7, 2)
    with database.read() as session:
        assert [c.ends_on for c in repository.claims(session)] == [date(2031, 7, 2)]
        event = audit.events(session, recording.subject_of(made))[-1]
    assert event["internal"] == {"days": 30, "reason": "proof of concept dated 2031-05-20"}
    assert event["partner"] == {"protected_until": "2031-07-02"}


def test_an_extension_needs_a_running_protection_and_a_sensible_length(
    database: Database, made: Registration
) -> None:
    for days in (0, -1, 367):
        with pytest.raises(InvalidInput), database.begin(APPROVER) as unit:
            protecting.extend(unit, made.number, days, "")
    with pytest.raises(DomainRefusal, match="is none"), database.begin(APPROVER) as unit:
        protecting.extend(unit, made.number, 30, "")
    with database.begin(APPROVER) as unit:
        approve(unit, made)
        use_cases.withdraw(unit, made.number)
    with pytest.raises(DomainRefusal, match="is released"), database.begin(APPROVER) as unit:
        protecting.extend(unit, made.number, 30, "")


def test_a_protection_is_flagged_before_it_ends_and_expires_the_day_after(
    database: Database, clock: Clock
) -> None:
    add_partners(database, "P1", "P2")
    made = approved(database)  # until 2031-06-02
    seen = []
    for day in ("2031-05-18", "2031-05-19", "2031-05-20", "2031-06-02", "2031-06-03", "2031-06-04"):
        clock.now = datetime.fromisoformat(f"{day}T12:00:00+00:00").astimezone(UTC)
        with database.begin() as unit:
            changed = protecting.expire_due(unit)
        seen.append((day, [r.protection_state.value for r in changed]))
    assert seen == [
        ("2031-05-18", []),
        ("2031-05-19", ["expiring"]),
        ("2031-05-20", []),
        ("2031-06-02", []),
        ("2031-06-03", ["expired"]),
        ("2031-06-04", []),
    ]
    after = stored(database, made)
    assert after.state is RegistrationState.EXPIRED
    assert _claim_states(database, made) == [ClaimState.RELEASED]
    assert _actions(database, made)[-2:] == ["expiring soon", "expire"]
    rival = submit(database, "P2", expected_close_on=date(2032, 1, 1))
    with database.begin(APPROVER) as unit:
        assert approve(unit, rival).state is RegistrationState.APPROVED


def test_an_extension_takes_the_flag_away_and_a_later_end_is_flagged_again(
    database: Database, clock: Clock
) -> None:
    add_partners(database, "P1")
    made = approved(database)
    clock.advance(days=80)
    with database.begin() as unit:
        protecting.expire_due(unit)
    with database.begin(APPROVER) as unit:
        after = protecting.extend(unit, made.number, 30, "evidence")
    assert after.protection_state is ProtectionState.ACTIVE
    clock.advance(days=30)
    with database.begin() as unit:
        assert [r.id for r in protecting.expire_due(unit)] == [made.id]


def test_many_flagged_protections_do_not_keep_an_old_one_from_expiring(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "FEW", 3)
    add_partners(database, "P1")
    old = approved(database)
    clock.advance(days=2)
    for n in range(4):
        approved(database, customer=customer(name=f"Pipit {n}", website=f"pipit{n}.example"))
    clock.advance(days=80)
    for _ in range(2):
        with database.begin() as unit:
            protecting.expire_due(unit)
    clock.advance(days=9)
    with database.begin() as unit:
        assert [r.id for r in protecting.expire_due(unit)] == [old.id]


def test_a_dispute_stays_open_and_the_protection_too_when_there_is_one_more_reason(
    database: Database,
) -> None:
    add_partners(database, "P1")
    made = approved(database)
    with database.begin() as unit:
        first = disputing.open_dispute(unit, made, "a direct opportunity appeared")
        again = disputing.open_dispute(unit, first, "and once more")
    assert again == stored(database, made)
    for each in (first, again):
        assert each.dispute_state is DisputeState.OPEN
        assert each.protection_state is ProtectionState.ACTIVE
    assert _actions(database, made).count("open dispute") == 2  # each reason is in the trail


def test_a_check_only_connection_is_written_nothing(database: Database) -> None:
    add_partners(database, "P1")
    quiet = ConnectionName("quiet")
    rules = program(check_only=(quiet,), mirrors=(HUBSPOT,))
    with database.begin(SUBMITTER) as unit:
        made, _ = use_cases.submit(unit, submission(), rules)
    with database.begin(APPROVER) as unit:
        approve(unit, made, rules=rules)
    assert _wanted(database, made) == {SALESFORCE: 1, HUBSPOT: 1}
