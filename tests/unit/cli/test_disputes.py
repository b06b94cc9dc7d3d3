"""Disputes, holds, questions and matches by command."""

from __future__ import annotations

import pytest

from registration_core import disputing
from registration_core.program import Program
from registration_core.store import repository
from registration_core.store.database import Database
from registration_core.use_cases import approve
from tests.unit.cli.conftest import Dealreg, answer, submitted
from tests.unit.cli.test_registration import checked, rules

__all__ = ["rules"]


@pytest.fixture
def protected(dealreg: Dealreg, store: Database, number: str, rules: Program) -> str:
    """The number of an approved registration."""
    _, check = checked(store, number, rules)
    with store.begin() as unit:
        approve(unit, number, check, rules)
    return number


def test_a_dispute_is_listed_shown_and_decided(
    dealreg: Dealreg, store: Database, protected: str
) -> None:
    assert "Nothing is disputed" in dealreg("dispute", "list").output
    with store.begin() as unit:
        held = repository.registration(unit.session, protected, lock=True)
        disputing.open_dispute(unit, held, "a direct opportunity: Rep's own")
    (listed,) = answer(dealreg("dispute", "list", "--json"))
    assert listed["number"] == protected
    assert "Rep's own" in dealreg("dispute", "show", protected).output
    waits = dealreg("status")
    assert waits.exit_code == 3
    assert "open disputes" in waits.output
    decided = answer(
        dealreg(
            "dispute", "decide", protected, "keep", "--reason", "theirs", "--actor", "boss",
            "--json",
        )
    )  # fmt: skip
    assert (decided["verdict"], decided["protection"]) == ("keep", "active")


def test_a_protection_is_put_on_hold_and_runs_again(dealreg: Dealreg, protected: str) -> None:
    held = answer(dealreg("protection", "suspend", protected, "--reason", "merger", "--json"))
    assert held["protection"] == "suspended"
    runs = answer(dealreg("protection", "resume", protected, "--reason", "merged", "--json"))
    assert runs["protection"] == "active"


def test_a_registration_is_cancelled_with_a_code(dealreg: Dealreg, protected: str) -> None:
    wrong = dealreg("registration", "cancel", protected, "--reason", "NONSENSE")
    assert wrong.exit_code == 2
    done = dealreg(
        "registration", "cancel", protected, "--reason", "territory", "--actor", "boss", "--json"
    )
    assert answer(done) == {
        "number": protected, "state": "cancelled", "reason_code": "TERRITORY",
    }  # fmt: skip


def test_a_question_and_its_answer(dealreg: Dealreg, number: str) -> None:
    asked = dealreg("approval", "ask", number, "--question", "Who decides?", "--actor", "boss")
    assert f"registration answer {number}" in asked.output
    shown = answer(dealreg("registration", "show", number, "--as-partner", "--json"))
    assert shown["message"] == "Who decides?"
    told = answer(dealreg("registration", "answer", number, "--text", "Their IT.", "--json"))
    assert told["state"] == "submitted"


def test_who_submitted_under_this_user_cannot_override_under_another_name(
    dealreg: Dealreg, store: Database, number: str, rules: Program
) -> None:
    checked(store, number, rules)
    refused = dealreg("approval", "override", number, "--reason", "lag", "--actor", "boss")
    assert refused.exit_code == 1
    assert f"submitted {number}" in refused.output


def test_a_match_is_denied_and_listed(dealreg: Dealreg, number: str) -> None:
    other = submitted(dealreg, customer="Goldcrest Aero", token="other")
    denied = dealreg(
        "match", "deny", number, other, "--reason", "a namesake", "--actor", "boss", "--json"
    )
    assert answer(denied)["same"] is False
    listed = answer(dealreg("match", "list", number, "--json"))
    assert [(row["said"], row["reason"]) for row in listed] == [("another", "a namesake")]
    assert "a namesake" in dealreg("match", "list").output
