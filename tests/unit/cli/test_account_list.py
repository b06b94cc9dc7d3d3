"""Account lists by command."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from connectors.port import Absence, Gone
from registration_core.contracts import ConnectionName
from registration_core.model import Account
from registration_core.program import ListKind
from registration_core.store.database import Database
from sync.accounts import directory
from tests.unit.cli.conftest import Dealreg, answer

HEAD = "name,country,tax_id,owner,reason,valid_from,valid_until,notice_days\n"
ROWS = [f"Kestrel {n},US,84-{n},house-desk,fleet contract,2026-01-01,,30\n" for n in range(5)]


def _file(folder: Path, *rows: str) -> str:
    path = folder / "house.csv"
    path.write_text(HEAD + "".join(rows))
    return str(path)


def test_a_list_is_imported_shown_and_imported_again_without_a_change(
    dealreg: Dealreg, tmp_path: Path
) -> None:
    file = _file(tmp_path, *ROWS)
    tried = answer(dealreg("account-list", "import", "house", file, "--dry-run", "--json"))
    assert (tried["added"], tried["dry_run"]) == (5, True)
    assert answer(dealreg("account-list", "list", "--json")) == []
    assert answer(dealreg("account-list", "import", "house", file, "--json"))["added"] == 5
    again = answer(dealreg("account-list", "import", "house", file, "--json"))
    assert (again["added"], again["ended"], again["kept"]) == (0, 0, 5)
    (listed,) = answer(dealreg("account-list", "list", "--json"))
    assert (listed["list"], listed["where"], listed["accounts"]) == ("house", "file", 5)
    shown = dealreg("account-list", "show", "house").output
    assert "Kestrel 4" in shown
    assert "fleet contract" in shown


def test_a_file_that_ends_much_of_a_list_is_taken_only_when_that_is_said(
    dealreg: Dealreg, tmp_path: Path
) -> None:
    dealreg("account-list", "import", "house", _file(tmp_path, *ROWS))
    shorter = _file(tmp_path, *ROWS[:3])
    refused = dealreg("account-list", "import", "house", shorter)
    assert refused.exit_code == 1
    assert "would end 2 of 5 entries" in refused.output
    assert "--shrink" in refused.output
    taken = answer(dealreg("account-list", "import", "house", shorter, "--shrink", "--json"))
    assert taken["ended"] == 2
    ever = answer(dealreg("account-list", "show", "house", "--all", "--json"))
    assert sum(row["ended_at"] is not None for row in ever) == 2


def test_a_file_with_bad_rows_is_not_taken_at_all_and_each_row_says_why(
    dealreg: Dealreg, tmp_path: Path
) -> None:
    bad = _file(
        tmp_path, ROWS[0], "Pipit,GB,,,moved,01.02.2026,,\n", "Wren,GB,,,moved,2026-02-01,,soon\n",
        ",GB,,,moved,2026-02-01,,\n",
    )  # fmt: skip
    result = dealreg("account-list", "import", "house", bad)
    assert result.exit_code == 1
    for told in ("valid_from", "'soon' is not a number of days", "name: It is empty"):
        assert told in result.output
    assert answer(dealreg("account-list", "list", "--json")) == []


def _listed(store: Database, *names: str) -> None:
    """Let a CRM put accounts on the house list, as a poll reads them."""
    accounts = [
        Account(
            connection=ConnectionName("salesforce"), object="Account", record_id=f"001{name}",
            name=name, country="US", city="", domain="", tax_id="", duns="", owner="005R",
            lists=frozenset({ListKind.HOUSE}), read_at=datetime.now(UTC),
        )
        for name in names
    ]  # fmt: skip
    with store.begin() as unit:
        directory.take(unit, ConnectionName("salesforce"), accounts, ())


def test_accounts_that_a_crm_puts_on_a_list_are_shown_beside_those_of_files_and_narrowed(
    dealreg: Dealreg, store: Database, tmp_path: Path
) -> None:
    dealreg("account-list", "import", "house", _file(tmp_path, *ROWS[:1]))
    _listed(store, "Pipit Foods", "Wren Systems")
    _listed(store, "Wren Systems")

    listed = answer(dealreg("account-list", "list", "--json"))
    assert [(row["where"], row["accounts"], row["owner"]) for row in listed] == [
        ("file", 1, "house-desk"), ("salesforce", 2, "house-desk"),
    ]  # fmt: skip
    shown = answer(dealreg("account-list", "show", "house", "--json"))
    assert {(row["name"], row["where"], row["owner"]) for row in shown} == {
        ("Kestrel 0", "file", "house-desk"), ("Pipit Foods", "salesforce", "house-desk"),
        ("Wren Systems", "salesforce", "house-desk"),
    }  # fmt: skip
    (one,) = answer(dealreg("account-list", "show", "house", "--about", "pipit", "--json"))
    assert (one["record_id"], one["valid_from"], one["notice_days"]) == ("001Pipit Foods", None, 0)
    (file,) = answer(dealreg("account-list", "show", "house", "--from", "file", "--json"))
    assert file["source"] == "house.csv"
    assert "Pipit" in dealreg("account-list", "show", "house", "--from", "salesforce").output


def test_the_history_of_a_list_tells_when_an_account_of_a_crm_left_it(
    dealreg: Dealreg, store: Database
) -> None:
    _listed(store, "Pipit Foods")
    with store.begin() as unit:
        gone = [Gone("001Pipit Foods", Absence.DELETED)]
        directory.take(unit, ConnectionName("salesforce"), (), gone)
    assert answer(dealreg("account-list", "show", "house", "--json")) == []
    (row,) = answer(dealreg("account-list", "show", "house", "--all", "--json"))
    assert row["ended_at"] >= row["added_at"]
