"""What a person sees of, and does about, conflicts, links, dead letters and runs."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from registration_core.store import repository
from registration_core.store.database import Database, UnitOfWork
from sync.ledger.tables import (
    DeadLetterRow,
    LinkProposalRow,
    LinkRow,
    SyncConflictRow,
    SyncRunRow,
)
from tests.unit.cli.conftest import Dealreg, answer

CONFLICT = "01a20e3e-62e1-7f66-beb5-cafef7044b65"
LETTER = "01a20e3e-62e1-7f66-beb5-0000000000aa"
PROPOSAL = "01a20e3e-62e1-7f66-beb5-0000000000bb"


@pytest.fixture(autouse=True)
def _ledger(store: Database, number: str) -> None:
    with store.begin() as unit:
        registration = repository.registration(unit.session, number).id
        _add_conflict(unit, registration)
        unit.session.add(
            DeadLetterRow(
                id=LETTER, kind="push", connection="hubspot", registration_id=registration,
                object="deals", record_id=None, payload={"dealname": "Lab"}, code="TOO_LONG",
                reason="dealname is too long", hint=f"dealreg deadletter retry {LETTER}",
                state="open", created_at=unit.now, settled_at=None,
            )
        )  # fmt: skip
        unit.session.add(
            LinkProposalRow(
                id=PROPOSAL, registration_id=registration, connection="salesforce",
                object="Opportunity", record_id="006000000000001AAA",
                evidence={"name": "Avocet lab", "owner": "=cmd()"}, state="proposed", proposed_at=unit.now,
                decided_at=None, decided_by="",
            )
        )  # fmt: skip
        unit.session.add(
            SyncRunRow(
                id=unit.ids.new(), connection="dynamics", kind="poll", started_at=unit.now, finished_at=None,
                state="running", records=3, notices=1, message="",
            )
        )  # fmt: skip


def _add_conflict(unit: UnitOfWork, registration: str) -> None:
    link = unit.ids.new()
    unit.session.add(
        LinkRow(
            id=link, registration_id=registration, connection="salesforce", object="Opportunity",
            record_id="006000000000003AAA", role="primary", state="active",
            base={"amount": Decimal(48000), "currency": "USD"}, mapping_version="",
            remote_version=None, restore=None, repeats={}, version=1, created_at=unit.now,
            changed_at=unit.now, reason="",
        )
    )  # fmt: skip
    unit.session.flush()
    unit.session.add(
        SyncConflictRow(
            id=CONFLICT, link_id=link, registration_id=registration, connection="salesforce",
            field_group="amount", state="open",
            base={"amount": Decimal(48000), "currency": "USD"},
            store={"amount": Decimal(52000), "currency": "USD"},
            remote={"amount": Decimal(60000), "currency": "USD"}, settled=None,
            reason="Both sides changed it.", opened_at=unit.now, resolved_at=None, resolved_by="",
            chosen=None, base_before=None,
        )
    )  # fmt: skip


def test_a_conflict_is_shown_with_both_sides_beside_what_they_last_agreed_on(
    dealreg: Dealreg, number: str
) -> None:
    shown = dealreg("conflict", "show", CONFLICT).stdout
    assert f"{number} and salesforce" in shown
    assert "amount    48000  52000  60000" in shown
    assert "dealreg conflict resolve f7044b65" in shown


def test_a_conflict_is_found_by_the_end_of_its_id_that_the_table_shows(
    dealreg: Dealreg, number: str
) -> None:
    table = dealreg("conflict", "list").stdout
    key = table.splitlines()[1].split()[0]
    told = answer(dealreg("conflict", "show", key, "--json"))
    assert (told["id"], told["number"]) == (CONFLICT, number)
    assert told["remote"] == {"amount": "60000", "currency": "USD"}
    assert dealreg("conflict", "show", "044b65").exit_code == 0


@pytest.mark.parametrize("key", ["7044b", "ffffffff"])
def test_an_id_that_is_too_short_or_unknown_is_refused(dealreg: Dealreg, key: str) -> None:
    done = dealreg("conflict", "show", key)
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")


@pytest.mark.parametrize(
    ("choice", "amount"),
    [
        (("--take", "ours"), "52000"),
        (("--take", "theirs"), "60000"),
        (("--set", "amount=55000", "--set", "currency=USD"), "55000"),
    ],
)
def test_a_resolved_conflict_leaves_the_list_and_changes_the_registration(
    dealreg: Dealreg, number: str, choice: tuple[str, ...], amount: str
) -> None:
    settled = answer(dealreg("conflict", "resolve", CONFLICT, *choice, "--json"))
    assert (settled["state"], settled["chosen"]["amount"]) == ("resolved", amount)
    assert answer(dealreg("conflict", "list", "--json")) == []
    assert answer(dealreg("conflict", "list", "--all", "--json"))[0]["state"] == "resolved"
    again = dealreg("conflict", "resolve", CONFLICT, *choice)
    assert (again.exit_code, "dealreg conflict undo" in again.stderr) == (1, True)


def test_a_dead_letter_is_shown_with_its_payload_and_the_next_command(dealreg: Dealreg) -> None:
    shown = dealreg("deadletter", "show", LETTER[-8:]).stdout
    assert "dealname is too long" in shown
    assert f"dealreg deadletter retry {LETTER}" in shown
    assert "Lab" in shown


def test_a_discarded_dead_letter_stays_listed_with_all(dealreg: Dealreg) -> None:
    done = dealreg("deadletter", "discard", LETTER, "--reason", "a test record", "--json")
    assert answer(done)["state"] == "discarded"
    assert answer(dealreg("deadletter", "list", "--json")) == []
    (kept,) = answer(dealreg("deadletter", "list", "--all", "--json"))
    assert kept["id"] == LETTER
    assert dealreg("deadletter", "retry", LETTER).exit_code == 1


def test_a_retried_dead_letter_is_due_again(dealreg: Dealreg) -> None:
    assert answer(dealreg("deadletter", "retry", LETTER, "--json"))["state"] == "retried"


def test_proposals_and_links_are_listed_apart(dealreg: Dealreg, number: str) -> None:
    told = answer(dealreg("link", "list", "--json"))
    assert told["proposals"][0]["evidence"] == {"name": "Avocet lab", "owner": "=cmd()"}
    assert told["links"][0]["record_id"] == "006000000000003AAA"
    assert {found["number"] for found in (*told["proposals"], *told["links"])} == {number}
    assert "dealreg link accept" in dealreg("link", "list").stdout


def test_a_rejected_proposal_is_not_proposed_again(dealreg: Dealreg) -> None:
    assert answer(dealreg("link", "reject", PROPOSAL[-8:], "--json"))["state"] == "rejected"
    assert answer(dealreg("link", "list", "--json"))["proposals"] == []


def test_runs_are_listed(dealreg: Dealreg) -> None:
    (run,) = answer(dealreg("sync", "runs", "--json"))
    assert (run["connection"], run["records"], run["state"]) == ("dynamics", 3, "running")


def test_status_counts_what_waits_for_a_person_and_exits_with_3(dealreg: Dealreg) -> None:
    done = dealreg("status", "--json")
    assert done.exit_code == 3
    told = json.loads(done.stdout)
    assert (told["open_conflicts"], told["link_proposals"], told["dead_letters"]) == (1, 1, 1)
    assert told["needs_a_person"] is True
    people = dealreg("status").stdout
    for command in ("dealreg conflict list", "dealreg link list", "dealreg deadletter list"):
        assert command in people


def test_a_connection_that_cannot_be_used_is_listed_with_what_to_mend(dealreg: Dealreg) -> None:
    told = {one["name"]: one for one in answer(dealreg("connection", "list", "--json"))}
    assert set(told) == {"salesforce", "dynamics", "hubspot"}
    assert told["hubspot"]["state"] == "unusable"
    assert any("DEALREG_SANDBOX_HUBSPOT" in why for why in told["hubspot"]["why"])


@pytest.mark.parametrize("noun", ["connection", "mapping"])
def test_a_check_of_connections_that_cannot_be_used_fails(dealreg: Dealreg, noun: str) -> None:
    done = dealreg(noun, "check", "--json")
    assert done.exit_code == 1
    assert {one["connection"] for one in json.loads(done.stdout)} >= {"salesforce", "hubspot"}
    assert dealreg(noun, "check", "nowhere").exit_code == 1


def test_proposals_are_decided_on_in_a_spreadsheet(
    dealreg: Dealreg, number: str, tmp_path: Path
) -> None:
    file = tmp_path / "links.csv"
    assert answer(dealreg("link", "export", "salesforce", str(file), "--json"))["proposals"] == 1
    heading, line = file.read_text().splitlines()
    assert line.startswith(f"{PROPOSAL},,review,yes,{number},")
    assert line.endswith(",'=cmd(),")  # what a spreadsheet would evaluate is only text

    file.write_text(f"{heading}\n{line.replace(',,review', ',Reject,review')}\n")
    assert answer(dealreg("link", "import", str(file), "--json"))["rejected"] == 1
    assert answer(dealreg("link", "import", str(file), "--json"))["rejected"] == 1  # as before

    file.write_text(f"{heading}\n{line.replace(',,review', ',accept,review')}\n")
    assert dealreg("link", "import", str(file)).exit_code == 1


def test_a_file_with_a_word_that_is_no_decision_decides_nothing(
    dealreg: Dealreg, number: str, tmp_path: Path
) -> None:
    file = tmp_path / "links.csv"
    file.write_text(f"id,decision\n{PROPOSAL},reject\n{PROPOSAL},maybe\n")
    assert "'maybe' is no decision" in dealreg("link", "import", str(file)).stderr
    assert len(answer(dealreg("link", "list", "--json"))["proposals"]) == 1


def test_a_proposal_is_shown_beside_its_registration(dealreg: Dealreg, number: str) -> None:
    shown = dealreg("link", "show", PROPOSAL).stdout
    assert f"{number}" in shown
    assert "Avocet lab" in shown
