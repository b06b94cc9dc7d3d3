"""What a CRM's users change, group by group, through the lifecycle."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import pytest
from sqlalchemy import select

from registration_core import crm_changes, recording, use_cases
from registration_core.claims import ClaimState
from registration_core.contracts import ConnectionName, Fields
from registration_core.crm_changes import Applied
from registration_core.fields import FieldGroup, SalesStage
from registration_core.model import (
    DisputeState,
    Partner,
    ProtectionState,
    Registration,
    RegistrationState,
)
from registration_core.partner_view import partner_view
from registration_core.program import Program
from registration_core.store import audit, protection, repository
from registration_core.store.database import Database
from registration_core.store.tables import AttributionRow, CheckRequestRow, OutboxRow
from tests.factories import (
    APPROVER,
    HUBSPOT,
    NOW,
    SALESFORCE,
    SUBMITTER,
    Clock,
    add_partners,
    approve,
    approved,
    program,
    stored,
    submit,
)

WON: Fields = {
    "sales_stage": "won",
    "actual_close_on": date(2031, 5, 1),
    "won_amount": Decimal(48000),
}
LOST: Fields = {"sales_stage": "lost", "loss_reason": "price"}
OPEN: Fields = {"sales_stage": "negotiating"}


@pytest.fixture
def made(database: Database) -> Registration:
    """A protected registration of partner P1; P2 exists too."""
    add_partners(database, "P1", "P2")
    return approved(database)


def _apply(
    database: Database,
    about: Registration,
    changes: dict[FieldGroup, Fields],
    connection: ConnectionName = SALESFORCE,
    rules: Program | None = None,
) -> Applied:
    with database.begin() as unit:
        protection.hold_lock(unit)
        held = repository.registration(unit.session, about.id, lock=True)
        return crm_changes.apply(unit, held, connection, changes, rules or program())


def _stage(database: Database, about: Registration, fields: Fields) -> Registration:
    applied = _apply(database, about, {FieldGroup.STAGE: fields})
    assert applied.refused == {}
    return applied.registration


def _credits(database: Database, about: Registration) -> list[tuple[int, Decimal, bool]]:
    with database.read() as session:
        rows = session.scalars(
            select(AttributionRow)
            .where(AttributionRow.registration_id == about.id)
            .order_by(AttributionRow.win)
        )
        return [(row.win, row.amount, row.reversed_at is None) for row in rows]


def _claim_states(database: Database, about: Registration) -> list[ClaimState]:
    with database.read() as session:
        return [c.state for c in repository.claims(session) if c.registration_id == about.id]


def _actions(database: Database, about: Registration) -> list[str]:
    with database.read() as session:
        return [e["action"] for e in audit.events(session, recording.subject_of(about))]


# --- stage ------------------------------------------------------------------------------------


def test_a_stage_that_the_home_crm_moves_on_converts_the_deal_once(
    database: Database, made: Registration, clock: Clock
) -> None:
    first = _stage(database, made, {"sales_stage": "developing"})
    assert (first.sales_stage, first.converted_at) == (SalesStage.DEVELOPING, NOW)
    clock.advance(days=1)
    assert _stage(database, made, OPEN).converted_at == NOW
    assert first.state is RegistrationState.APPROVED


def test_a_stage_that_a_mirror_moves_does_not_convert(
    database: Database, made: Registration
) -> None:
    applied = _apply(database, made, {FieldGroup.STAGE: OPEN}, HUBSPOT)
    assert (applied.registration.sales_stage, applied.registration.converted_at) == (
        SalesStage.NEGOTIATING, None,
    )  # fmt: skip


def test_a_conversion_by_command_is_noted_once(database: Database, made: Registration) -> None:
    with database.begin() as unit:
        first = crm_changes.convert(unit, made, "linked by hand")
        assert crm_changes.convert(unit, first, "again") == first
    assert _actions(database, made).count("convert") == 1


def test_a_won_deal_is_closed_credited_and_frees_its_protection(
    database: Database, made: Registration
) -> None:
    after = _stage(database, made, WON)
    assert (after.state, after.protection_state) == (
        RegistrationState.CLOSED_WON, ProtectionState.RELEASED,
    )  # fmt: skip
    assert (after.actual_close_on, after.won_amount) == (date(2031, 5, 1), Decimal(48000))
    assert stored(database, made) == after
    assert _credits(database, made) == [(1, Decimal(48000), True)]
    assert _claim_states(database, made) == [ClaimState.RELEASED]
    rival = submit(database, "P2")
    with database.begin(APPROVER) as unit:
        assert approve(unit, rival).protection_state is ProtectionState.ACTIVE


def test_a_win_without_its_own_values_takes_today_and_the_estimated_amount(
    database: Database, made: Registration
) -> None:
    changes: dict[FieldGroup, Fields] = {
        FieldGroup.STAGE: {"sales_stage": "won"},
        FieldGroup.AMOUNT: {"amount": Decimal(70000), "currency": "EUR"},
    }
    after = _apply(database, made, changes).registration
    assert (after.actual_close_on, after.won_amount) == (NOW.date(), Decimal(70000))
    assert (after.currency, _credits(database, made)) == ("EUR", [(1, Decimal(70000), True)])


def test_the_same_win_again_changes_nothing(database: Database, made: Registration) -> None:
    first = _stage(database, made, WON)
    actions = _actions(database, made)
    assert _stage(database, made, WON) == first
    assert _actions(database, made) == actions
    assert len(_credits(database, made)) == 1


def test_a_lost_deal_is_closed_without_credit(database: Database, made: Registration) -> None:
    after = _stage(database, made, LOST)
    assert (after.state, after.loss_reason, after.won_amount) == (
        RegistrationState.CLOSED_LOST, "price", None,
    )  # fmt: skip
    assert _credits(database, made) == []
    assert _claim_states(database, made) == [ClaimState.RELEASED]


def test_a_reopened_deal_gives_its_credit_back_and_takes_its_protection_again(
    database: Database, made: Registration, clock: Clock
) -> None:
    _stage(database, made, WON)
    clock.advance(days=3)
    after = _stage(database, made, OPEN)
    assert (after.state, after.protection_state) == (
        RegistrationState.APPROVED, ProtectionState.ACTIVE,
    )  # fmt: skip
    assert after.protection_starts_on == date(2031, 3, 7)
    assert (after.actual_close_on, after.won_amount, after.dispute_state) == (
        None, None, DisputeState.NONE,
    )  # fmt: skip
    assert _credits(database, made) == [(1, Decimal(48000), False)]
    assert sorted(_claim_states(database, made)) == [ClaimState.RELEASED, ClaimState.STANDING]
    _stage(database, made, {**WON, "won_amount": Decimal(1)})
    assert _credits(database, made) == [(1, Decimal(48000), False), (2, Decimal(1), True)]


def test_a_deal_that_is_reopened_too_late_becomes_a_dispute_without_a_claim(
    database: Database, made: Registration
) -> None:
    _stage(database, made, LOST)
    rival = approved(database, "P2")
    after = _stage(database, made, OPEN)
    assert (after.state, after.dispute_state, after.protection_state) == (
        RegistrationState.APPROVED, DisputeState.OPEN, ProtectionState.RELEASED,
    )  # fmt: skip
    assert _claim_states(database, made) == [ClaimState.RELEASED]
    assert stored(database, rival).protection_state is ProtectionState.ACTIVE
    assert "open dispute" in _actions(database, made)


def test_a_deal_that_goes_from_won_to_lost_is_neither_protected_nor_disputed_in_between(
    database: Database, made: Registration
) -> None:
    _stage(database, made, WON)
    approved(database, "P2")
    after = _stage(database, made, {**LOST, "actual_close_on": date(2031, 5, 2)})
    assert (after.state, after.dispute_state) == (RegistrationState.CLOSED_LOST, DisputeState.NONE)
    assert (after.actual_close_on, after.won_amount, after.loss_reason) == (
        date(2031, 5, 2), None, "price",
    )  # fmt: skip
    assert _credits(database, made) == [(1, Decimal(48000), False)]
    assert "open dispute" not in _actions(database, made)


# --- groups -----------------------------------------------------------------------------------


def test_a_group_that_the_lifecycle_refuses_leaves_the_others_flowing(
    database: Database, made: Registration
) -> None:
    with database.begin(SUBMITTER) as unit:
        use_cases.withdraw(unit, made.id)
    changes: dict[FieldGroup, Fields] = {
        FieldGroup.STAGE: WON,
        FieldGroup.NAME: {"deal_name": "Renamed"},
        FieldGroup.REGISTRATION: {"registration_state": "approved"},
    }
    applied = _apply(database, made, changes)
    assert set(applied.refused) == {FieldGroup.STAGE, FieldGroup.REGISTRATION}
    assert "is withdrawn: it cannot win" in applied.refused[FieldGroup.STAGE]
    held = stored(database, made)
    assert (held.deal_name, held.sales_stage) == ("Renamed", made.sales_stage)
    assert (held.state, _credits(database, made)) == (RegistrationState.WITHDRAWN, [])


def test_a_reopening_that_the_rules_no_longer_allow_leaves_the_credit(
    database: Database, made: Registration
) -> None:
    _stage(database, made, WON)
    applied = _apply(database, made, {FieldGroup.STAGE: OPEN}, rules=program(product_lines={}))
    assert set(applied.refused) == {FieldGroup.STAGE}
    assert stored(database, made).state is RegistrationState.CLOSED_WON
    assert _credits(database, made) == [(1, Decimal(48000), True)]


def test_a_value_that_a_registration_cannot_hold_is_refused_with_its_name(
    database: Database, made: Registration
) -> None:
    wrong: list[tuple[FieldGroup, Fields]] = [
        (FieldGroup.NAME, {"deal_name": None}),
        (FieldGroup.NAME, {"deal_name": ""}),
        (FieldGroup.NAME, {"deal_name": "x" * 256}),
        (FieldGroup.AMOUNT, {"amount": None, "currency": "USD"}),
        (FieldGroup.AMOUNT, {"amount": Decimal("NaN"), "currency": "USD"}),
        (FieldGroup.AMOUNT, {"amount": Decimal("1e15"), "currency": "USD"}),
        (FieldGroup.AMOUNT, {"amount": Decimal("0.00001"), "currency": "USD"}),
        (FieldGroup.AMOUNT, {"amount": Decimal(1), "currency": "EURO"}),
        (FieldGroup.CLOSE, {"expected_close_on": datetime(2031, 1, 1, tzinfo=NOW.tzinfo)}),
        (FieldGroup.CLOSE, {"expected_close_on": "2031-01-01"}),
        (FieldGroup.STAGE, {"sales_stage": None}),
        (FieldGroup.STAGE, {"sales_stage": "Closed Won"}),
        (FieldGroup.STAGE, {"sales_stage": "won", "won_amount": "much"}),
        (FieldGroup.STAGE, {"sales_stage": "lost", "loss_reason": "x" * 256}),
        (FieldGroup.PARTNER, {"partner_name": "Rival Partners"}),
        (FieldGroup.PROTECTION, {"protection_ends_on": date(2040, 1, 1)}),
    ]
    for group, fields in wrong:
        applied = _apply(database, made, {group: fields})
        assert applied.registration == made, fields
        assert any(name in applied.refused[group] for name in fields), fields
    assert stored(database, made) == made


def test_an_owner_belongs_to_its_connection_and_may_be_taken_away(
    database: Database, made: Registration
) -> None:
    _apply(database, made, {FieldGroup.OWNER: {"owner": "005R"}})
    both = _apply(database, made, {FieldGroup.OWNER: {"owner": "77"}}, HUBSPOT).registration
    assert both.owners == {SALESFORCE: "005R", HUBSPOT: "77"}
    after = _apply(database, made, {FieldGroup.OWNER: {"owner": None}}).registration
    assert after.owners == {HUBSPOT: "77"}
    assert crm_changes.canonical(after, HUBSPOT, None)["owner"] == "77"
    assert crm_changes.canonical(after, SALESFORCE, None)["owner"] is None


def test_another_account_asks_for_a_check_and_the_same_one_does_not(
    database: Database, made: Registration
) -> None:
    def version() -> int:
        with database.read() as session:
            return session.get_one(CheckRequestRow, made.id).version

    before = version()
    _apply(database, made, {FieldGroup.ACCOUNT: {"account": "001B"}})
    assert version() == before + 1
    _apply(database, made, {FieldGroup.ACCOUNT: {"account": "001B"}})
    assert version() == before + 1
    assert stored(database, made).accounts == {SALESFORCE: "001B"}


def test_a_change_is_pushed_on_and_told_in_the_audit_trail_once(
    database: Database, made: Registration
) -> None:
    for _ in range(2):
        _apply(database, made, {FieldGroup.NAME: {"deal_name": "Renamed"}})
    with database.read() as session:
        rows = session.scalars(select(OutboxRow).where(OutboxRow.registration_id == made.id))
        assert {row.wanted for row in rows} == {2}
        event = audit.events(session, recording.subject_of(made))[-1]
    assert event["internal"] == {"connection": "salesforce", "changes": {"deal_name": "Renamed"}}
    assert event["partner"] == {}
    assert _actions(database, made).count("change in CRM") == 1


def test_a_registration_is_what_a_connection_should_hold(
    database: Database, made: Registration
) -> None:
    partner = Partner("p", "P1", "Partner P1", "gold", "", active=True, created_at=made.created_at)
    held = crm_changes.canonical(made, SALESFORCE, None, partner)
    assert held["registration_id"] == made.id
    assert (held["partner_name"], held["protection_state"]) == ("Partner P1", "active")
    assert (held["account"], held["description"]) == (None, None)


def test_what_a_rep_types_is_not_what_the_partner_registered(database: Database) -> None:
    add_partners(database, "P1")
    made = approved(database)
    with database.begin() as unit:
        held = repository.registration(unit.session, made.id, lock=True)
        crm_changes.apply(
            unit, held, SALESFORCE,
            {FieldGroup.NAME: {"deal_name": "rep's own words"},
             FieldGroup.AMOUNT: {"amount": Decimal(1), "currency": "USD"}},
            program(),
        )  # fmt: skip
    after = stored(database, made)
    assert after.deal_name == "rep's own words"
    view = partner_view(after)
    assert (view.deal_name, view.amount) == (made.deal_name, made.amount)
