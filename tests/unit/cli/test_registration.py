"""Registrations, decisions, protections and the trail, by command."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text, update

from registration_core.contracts import ConnectionName
from registration_core.findings import FindingKind
from registration_core.model import (
    Actor,
    Band,
    ConflictCheck,
    Finding,
    Reading,
    Registration,
)
from registration_core.program import Program
from registration_core.store import repository
from registration_core.store.database import Database
from registration_core.store.tables import AuditEventRow
from registration_core.use_cases import approve, review
from tests.unit.cli.conftest import Dealreg, answer, submitted

HOUSE = Finding(
    kind=FindingKind.HOUSE_ACCOUNT,
    band=Band.STRONG,
    matched_on=("tax_id",),
    summary="Goldcrest Aerospace Corp. is on the house list of salesforce",
    connection=ConnectionName("salesforce"),
    record_id="001000000000005AAA",
    decides="house-desk",
    evidence={"account": "Goldcrest Aerospace Corp.", "owner": "005000000000002AAA"},
)


@pytest.fixture
def rules(dealreg: Dealreg, home: object) -> Program:
    """The shipped program."""
    from config.connections import load_connections
    from config.programs import load_programs
    from config.settings import SHIPPED_CONFIG_DIR

    names = load_connections(SHIPPED_CONFIG_DIR, {}).names
    return load_programs(SHIPPED_CONFIG_DIR, names)["default"]


def checked(
    store: Database, number: str, rules: Program, *findings: Finding, reason: str = ""
) -> tuple[Registration, ConflictCheck]:
    """Put a registration before a person after a check that found this."""
    now = store.clock()
    with store.begin() as unit:
        found = repository.registration(unit.session, number, lock=True)
        check = ConflictCheck(
            id=unit.ids.new(), registration_id=found.id, began_at=now, finished_at=now,
            policy_version=rules.version, matcher_version="exact-keys-1", lists_seen=0,
            readings=tuple(
                Reading(name, not reason, now, reason) for name in rules.required_connections
            ),
            findings=findings,
        )  # fmt: skip
        repository.add_check(unit.session, check)
        return review(unit, found, "the check found something"), check


def approved(store: Database, number: str, rules: Program) -> Registration:
    _, check = checked(store, number, rules)
    with store.begin(Actor("anna")) as unit:
        return approve(unit, number, check, rules)


def test_a_submit_answers_with_the_number_and_repeats_nothing_for_one_token(
    dealreg: Dealreg, number: str
) -> None:
    first = submitted(dealreg, token="form-1")
    assert submitted(dealreg, token="form-1") == first != number
    assert len(answer(dealreg("registration", "list", "--json"))) == 2


def test_two_submits_without_a_token_are_two_registrations(dealreg: Dealreg, number: str) -> None:
    assert submitted(dealreg) != number


def test_a_refused_submit_names_the_field_and_a_way_out(dealreg: Dealreg, number: str) -> None:
    done = dealreg(
        "registration", "submit", "--partner", "northwind", "--customer", "Avocet", "--country",
        "US", "--deal", "Lab", "--product", "rockets", "--amount", "48000", "--currency", "USD",
        "--close", f"{datetime.now(UTC).year + 1}-01-01",
    )  # fmt: skip
    assert done.exit_code == 1
    assert "product_line: there is no product line 'rockets'" in done.stderr
    assert "platform" in done.stderr


def test_a_field_that_the_program_does_not_have_is_refused(dealreg: Dealreg, number: str) -> None:
    with pytest.raises(AssertionError, match="is not a field of default"):
        submitted(dealreg, set="colour=red")


def test_the_list_has_documented_keys_and_narrows(dealreg: Dealreg, number: str) -> None:
    (found,) = answer(dealreg("registration", "list", "--json", "--state", "submitted"))
    assert list(found) == [
        "number", "partner", "customer", "country", "deal", "product", "amount", "currency", "close",
        "state", "protection", "protected_until", "stage", "dispute", "home", "submitted_at",
        "version",
    ]  # fmt: skip
    assert (found["number"], found["amount"], found["home"]) == (number, "48000", "salesforce")
    assert answer(dealreg("registration", "list", "--json", "--state", "approved")) == []
    assert len(answer(dealreg("registration", "list", "--json", "--partner", "northwind"))) == 1
    assert dealreg("registration", "list", "--partner", "nobody").exit_code == 1


def test_an_update_on_an_older_version_is_refused(dealreg: Dealreg, number: str) -> None:
    change = ("registration", "update", number, "--amount", "52000")
    assert answer(dealreg(*change, "--version", "1", "--json")) == {"number": number, "version": 2}
    done = dealreg("registration", "update", number, "--amount", "60000", "--version", "1")
    assert done.exit_code == 1
    assert f"dealreg registration show {number}" in done.stderr
    assert "says so already" in dealreg(*change).stdout


def test_an_update_to_a_stage_that_does_not_exist_lists_the_stages(
    dealreg: Dealreg, number: str
) -> None:
    done = dealreg("registration", "update", number, "--stage", "dancing")
    assert (done.exit_code, "negotiating" in done.stderr) == (1, True)


def test_show_gives_the_evidence_to_people_and_scripts_and_none_of_it_to_the_partner(
    dealreg: Dealreg, store: Database, rules: Program, number: str
) -> None:
    checked(store, number, rules, HOUSE)
    for secret in ("house-desk", "Goldcrest", "005000000000002AAA"):
        assert secret in dealreg("registration", "show", number).stdout
        assert secret not in dealreg("registration", "show", number, "--as-partner").stdout
    told = answer(dealreg("registration", "show", number, "--json"))
    keys = ["registration", "partner", "waits_for", "check", "links", "companions"]
    assert list(told) == keys
    assert (told["waits_for"], told["check"]["complete"]) == ("house-desk", True)
    assert told["check"]["findings"][0]["kind"] == "house_account"
    partner = answer(dealreg("registration", "show", number, "--as-partner", "--json"))
    assert list(partner) == [
        "number", "customer", "described", "deal_name", "product_line", "amount", "currency", "state", "message",
        "protected_from", "protected_until",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("findings", "reason", "waits"),
    [
        ((HOUSE,), "", "house-desk"),
        ((), "", "any approver"),
        ((HOUSE,), "it does not answer", "a complete check: "),
    ],
)
def test_the_approval_list_says_for_whom_each_waits_and_what_was_found(
    dealreg: Dealreg, store: Database, rules: Program, number: str,
    findings: tuple[Finding, ...], reason: str, waits: str,
) -> None:  # fmt: skip
    checked(store, number, rules, *findings, reason=reason)
    (found,) = answer(dealreg("approval", "list", "--json"))
    assert found["number"] == number
    assert waits in found["waits_for"]
    assert found["findings"] == [finding.summary for finding in findings]


def test_who_submitted_cannot_decide_and_another_can(
    dealreg: Dealreg, store: Database, rules: Program, number: str
) -> None:
    checked(store, number, rules)
    own = dealreg("approval", "reject", number, "--reason", "DUP_SELF")
    assert (own.exit_code, "cannot decide on it" in own.stderr) == (1, True)
    done = dealreg(
        "approval", "reject", number, "--reason", "dup_self", "--note", "see the other one",
        "--actor", "anna", "--json",
    )  # fmt: skip
    assert answer(done)["reason_code"] == "DUP_SELF"
    assert "see the other one" not in dealreg("audit", "show", number, "--as-partner").stdout
    assert "see the other one" in dealreg("audit", "show", number).stdout


def test_only_the_owner_of_a_list_decides_on_its_accounts(
    dealreg: Dealreg, store: Database, rules: Program, number: str
) -> None:
    checked(store, number, rules, HOUSE)
    reject = ("approval", "reject", number, "--reason", "NOT_ELIGIBLE_ACCOUNT", "--actor")
    assert "held for house-desk" in dealreg(*reject, "anna").stderr
    assert dealreg(*reject, "house-desk").exit_code == 0


def test_an_approval_without_a_complete_check_waits_with_exit_code_3(
    dealreg: Dealreg, number: str
) -> None:
    done = dealreg("approval", "approve", number, "--actor", "anna", "--json")
    assert done.exit_code == 3
    assert json.loads(done.stderr)["error"]["code"] == "check_not_usable"


def test_a_live_check_that_cannot_be_complete_exits_with_3_and_says_why(
    dealreg: Dealreg, number: str
) -> None:
    done = dealreg("registration", "check", number, "--json")
    assert done.exit_code == 3
    told = json.loads(done.stdout)
    assert told["state"] == "submitted"
    assert "salesforce" in told["waits_for"]
    assert told["check"]["complete"] is False


def test_every_reason_code_is_listed_with_what_the_partner_is_told(dealreg: Dealreg) -> None:
    told = {
        found["code"]: found["told"] for found in answer(dealreg("approval", "reasons", "--json"))
    }
    assert told["DUP_ACTIVE"].startswith("This customer is already registered")
    assert all(told.values())


def test_a_protection_is_listed_extended_and_freed(
    dealreg: Dealreg, store: Database, rules: Program, number: str
) -> None:
    made = approved(store, number, rules)
    (found,) = answer(dealreg("protection", "list", "--json"))
    assert (found["number"], found["state"], found["days_left"]) == (number, "active", 90)
    done = dealreg("protection", "extend", number, "--days", "10", "--reason", "late", "--json")
    assert made.protection_ends_on is not None
    wanted = made.protection_ends_on + timedelta(days=10)
    assert answer(done) == {"number": number, "protected_until": str(wanted)}
    assert dealreg("registration", "withdraw", number).exit_code == 0
    assert answer(dealreg("protection", "list", "--json")) == []
    again = dealreg("protection", "extend", number, "--days", "10", "--reason", "late")
    assert (again.exit_code, "cannot be extended" in again.stderr) == (1, True)


def test_the_trail_names_who_acted_and_the_partner_sees_only_their_part(
    dealreg: Dealreg, number: str
) -> None:
    first: dict[str, Any] = answer(dealreg("audit", "show", number, "--json"))[0]
    assert (first["seq"], first["action"], first["verified"]) == (1, "submit", False)
    (seen,) = answer(dealreg("audit", "show", number, "--as-partner", "--json"))
    assert list(seen) == ["at", "what"]
    assert seen["what"]["number"] == number


def test_an_altered_trail_does_not_verify_and_the_place_is_named(
    dealreg: Dealreg, store: Database, number: str
) -> None:
    assert answer(dealreg("audit", "verify", "--json"))["breaks"] == []
    with store.begin() as unit:
        # Somebody who can write to the file can also take the guard of the table away.
        for trigger in unit.session.scalars(
            text(
                "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_event'"
            )
        ).all():
            unit.session.execute(text(f"DROP TRIGGER {trigger}"))
        unit.session.execute(
            update(AuditEventRow)
            .where(AuditEventRow.action == "submit")
            .values(body=AuditEventRow.body + " ")
        )
    done = dealreg("audit", "verify", "--json")
    assert done.exit_code == 1
    (found,) = json.loads(done.stdout)["breaks"]
    assert found["subject"].startswith("registration:")
    assert found["what"] == "the event was changed"
    assert "does not verify" in dealreg("audit", "verify").stdout
