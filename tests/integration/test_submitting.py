"""What a partner submits and changes: receipts, tokens, versions, and every refusal."""

from __future__ import annotations

import random
import unicodedata
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from registration_core import protecting, recording, use_cases
from registration_core.contracts import Value
from registration_core.errors import (
    InvalidInput,
    NotAllowed,
    StaleVersion,
)
from registration_core.fields import SalesStage
from registration_core.findings import ReasonCode
from registration_core.model import (
    Registration,
    RegistrationState,
)
from registration_core.store import audit, repository
from registration_core.store.database import Database
from registration_core.store.tables import CheckRequestRow, OutboxRow
from tests.factories import (
    APPROVER,
    CONNECTIONS,
    NOW,
    SUBMITTER,
    add_partners,
    approve,
    at_once,
    check,
    customer,
    program,
    stored,
    submission,
    submit,
)


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


# --- partners ---------------------------------------------------------------------------------


def test_a_partner_needs_a_new_code_and_a_name(database: Database, made: Registration) -> None:
    wrong = [
        ({"code": "has space"}, "code"),
        ({"code": ""}, "code"),
        ({"code": "x" * 65}, "code"),
        ({"code": "P1"}, "code"),
        ({"name": " "}, "name"),
        ({"email": "nobody"}, "email"),
    ]
    for changes, field in wrong:
        values = {"code": "P9", "name": "Nine", "tier": "gold", "email": "", **changes}
        with pytest.raises(InvalidInput) as refused, database.begin() as unit:
            use_cases.add_partner(unit, **values)
        assert refused.value.field == field, changes


# --- submit -----------------------------------------------------------------------------------


def test_a_submit_gives_a_receipt_roles_and_asks_for_a_check(
    database: Database, made: Registration
) -> None:
    assert stored(database, made) == made
    assert (made.state, made.receipt_seq, made.version) == (RegistrationState.SUBMITTED, 1, 1)
    assert made.roles == program().roles_for("US")
    assert made.submitted_by == SUBMITTER.name
    assert _requests(database) == {made.id: (NOW, 1)}
    assert _wanted(database, made) == {}, "no CRM hears of a registration that is not approved"
    assert _actions(database, made) == ["submit"]


def test_a_repeated_submit_gives_the_same_registration(
    database: Database, made: Registration
) -> None:
    again = submit(database, deal_name="Another name")
    assert again == made
    other = submit(database, "P2")
    assert (other.id != made.id, other.receipt_seq) == (True, 2)


def test_a_refused_submit_takes_no_receipt(database: Database, made: Registration) -> None:
    with pytest.raises(InvalidInput, match="product_line"):
        submit(database, token="t2", product_line="hardware")
    assert submit(database, token="t3").receipt_seq == made.receipt_seq + 1


def test_texts_are_kept_in_one_form_and_a_name_without_the_space_around_it(
    database: Database, made: Registration
) -> None:
    apart = unicodedata.normalize("NFD", "Crédit Écologique")
    other = submit(database, token="t2", deal_name=f" {apart} ", customer=customer(name=apart))
    assert other.deal_name == other.customer.name == "Crédit Écologique"


def test_a_public_number_that_is_taken_is_not_given_again(
    database: Database, made: Registration
) -> None:
    class Stuck(random.Random):
        """Draws the first registration's number once more, then another."""

        letters = iter(made.number[3:].replace("-", "") + "ABCDEFGH")

        def choice(self, seq: Any) -> Any:
            return next(self.letters)

    database.ids._rng = Stuck(1)
    assert submit(database, token="t2").number == "DR-ABCD-EFGH"


def test_equal_submits_at_the_same_time_make_one_registration(database: Database) -> None:
    add_partners(database, "P1")
    made, errors = at_once(6, lambda _: submit(database, token="same").id)
    assert (errors, len(made), len(set(made))) == ([], 6, 1)


def test_receipts_have_no_gaps_and_follow_the_order_of_commits(database: Database) -> None:
    add_partners(database, "P1")

    def work(worker: int) -> list[int]:
        seqs = []
        for n in range(5):
            fails = (worker + n) % 4 == 0
            try:
                with database.begin(SUBMITTER) as unit:
                    wanted = submission(token=f"{worker}-{n}")
                    seqs.append(use_cases.submit(unit, wanted, program())[0].receipt_seq)
                    if fails:
                        raise RuntimeError
            except RuntimeError:
                seqs.pop()
        return seqs

    per_worker, errors = at_once(5, work)
    assert errors == []
    assert all(seqs == sorted(seqs) for seqs in per_worker)
    taken = sorted(seq for seqs in per_worker for seq in seqs)
    assert taken == list(range(1, len(taken) + 1))


# --- update -----------------------------------------------------------------------------------


def _update(database: Database, about: Registration, **changes: Value) -> Registration:
    with database.begin(SUBMITTER) as unit:
        return use_cases.update(unit, about.number, changes, program())


def test_an_update_changes_the_deal_and_tells_the_crms_once_approved(
    database: Database, made: Registration
) -> None:
    changed = _update(database, made, deal_name=" Larger ", amount=Decimal(60000))
    assert (changed.deal_name, changed.amount, changed.version) == ("Larger", Decimal(60000), 2)
    assert _wanted(database, made) == {}
    with database.begin(APPROVER) as unit:
        approve(unit, made)
    moved = _update(database, made, sales_stage="proposing", expected_close_on=date(2032, 1, 1))
    assert moved.sales_stage is SalesStage.PROPOSING
    assert _wanted(database, made) == dict.fromkeys(CONNECTIONS, 2)
    assert stored(database, made) == moved


def test_an_update_that_changes_nothing_is_no_new_version(
    database: Database, made: Registration
) -> None:
    assert _update(database, made, deal_name=made.deal_name, sales_stage="qualifying") == made
    assert _actions(database, made) == ["submit"]


def test_an_update_is_refused_by_field(database: Database, made: Registration) -> None:
    wrong: list[tuple[dict[str, Value], str]] = [
        ({"partner_id": "x"}, "partner_id"),
        ({"state": "approved"}, "state"),
        ({"deal_name": ""}, "deal_name"),
        ({"deal_name": "x" * 121}, "deal_name"),
        ({"deal_name": None}, "deal_name"),
        ({"amount": Decimal(1)}, "amount"),
        ({"amount": Decimal("NaN")}, "amount"),
        ({"amount": "1"}, "amount"),
        ({"currency": "XXX"}, "currency"),
        ({"expected_close_on": None}, "expected_close_on"),
        ({"description": "x" * 4001}, "description"),
        ({"sales_stage": "dreaming"}, "sales_stage"),
        ({"sales_stage": None}, "sales_stage"),
        ({"sales_stage": "won"}, "sales_stage"),
        ({"sales_stage": SalesStage.LOST}, "sales_stage"),
    ]
    for changes, field in wrong:
        with pytest.raises(InvalidInput) as refused:
            _update(database, made, **changes)
        assert refused.value.field == field, changes
    assert stored(database, made) == made


def test_what_the_home_crm_has_taken_over_is_changed_there(
    database: Database, made: Registration
) -> None:
    with database.begin() as unit:
        held = repository.registration(unit.session, made.id, lock=True)
        repository.save(unit.session, replace(held, converted_at=NOW), NOW)
    with pytest.raises(NotAllowed) as refused:
        _update(database, made, sales_stage="proposing")
    assert "salesforce" in str(refused.value)
    assert _update(database, made, description="still ours").description == "still ours"


def test_a_registration_that_is_over_is_not_changed(database: Database, made: Registration) -> None:
    with database.begin(APPROVER) as unit:
        use_cases.reject(unit, made.number, ReasonCode.TERRITORY)
    with pytest.raises(NotAllowed, match="rejected"):
        _update(database, made, deal_name="Again")


def test_a_command_on_an_old_version_is_refused(database: Database, made: Registration) -> None:
    _update(database, made, deal_name="Newer")
    verbs: list[Any] = [
        lambda unit: use_cases.update(unit, made.id, {"deal_name": "x"}, program(), 1),
        lambda unit: use_cases.approve(unit, made.id, check(made), program(), 1),
        lambda unit: use_cases.reject(unit, made.id, ReasonCode.TERRITORY, expected_version=1),
        lambda unit: use_cases.withdraw(unit, made.id, 1),
        lambda unit: protecting.extend(unit, made.id, 30, "more time", 1),
    ]
    for verb in verbs:
        with pytest.raises(StaleVersion, match=r"version 2, not 1"), database.begin() as unit:
            verb(unit)
    assert stored(database, made).version == 2
