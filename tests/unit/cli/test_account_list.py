"""Account lists by command."""

from __future__ import annotations

from pathlib import Path

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
