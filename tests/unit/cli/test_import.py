"""`registration import`: bad rows are told, good rows land, nothing lands twice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cli import csv_file
from tests.unit.cli.conftest import Dealreg, answer

HEADER = "partner,customer,country,tax_id,deal,product,amount,currency,close"
CLOSE = f"{datetime.now(UTC).year + 1}-03-31"
GOOD = {
    "partner": "northwind", "customer": "Avocet Biosciences Inc.", "country": "US",
    "tax_id": "84-1190277", "deal": "Lab", "product": "platform", "amount": "48000",
    "currency": "USD", "close": CLOSE,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _partner(dealreg: Dealreg) -> None:
    answer(dealreg("partner", "add", "northwind", "--name", "Northwind", "--json"))


def row(**changes: str) -> str:
    return ",".join((GOOD | changes).values())


class Import:
    """Writes a file and imports it."""

    def __init__(self, dealreg: Dealreg, folder: Path) -> None:
        self._dealreg, self._path = dealreg, folder / "deals.csv"

    def __call__(self, *rows: str, header: str = HEADER, options: Sequence[str] = ()) -> Any:
        self._path.write_bytes("\r\n".join([header, *rows]).encode())
        return self.again(*options)

    def again(self, *options: str) -> Any:
        done = self._dealreg("registration", "import", str(self._path), "--json", *options)
        answered = json.loads(done.stdout or done.stderr)
        assert done.exit_code == (1 if answered.get("bad") or "error" in answered else 0)
        return answered


@pytest.fixture
def imported(dealreg: Dealreg, tmp_path: Path) -> Import:
    return Import(dealreg, tmp_path)


@pytest.mark.parametrize(
    ("bad", "field", "reason", "fix"),
    [
        ({"partner": "nobody"}, "partner", "There is no partner nobody", "partner list"),
        ({"partner": ""}, "partner", "empty", "Fill it in"),
        ({"customer": " "}, "customer", "empty", "Fill it in"),
        ({"country": "Germany"}, "country", "not a country code", "two capital letters"),
        ({"product": "rockets"}, "product", "no product line 'rockets'", "platform"),
        ({"amount": "1.000"}, "amount", "not an amount", "48500.50"),
        ({"amount": "=1+1"}, "amount", "not an amount", "48500.50"),
        ({"amount": "-5000"}, "amount", "not an amount", "48500.50"),
        ({"amount": "1e9"}, "amount", "not an amount", "48500.50"),
        ({"amount": "٤٨٠٠٠"}, "amount", "not an amount", "48500.50"),
        ({"amount": "10"}, "amount", "minimum", "larger deals"),
        ({"currency": "XXX"}, "currency", "'XXX'", "USD"),
        ({"close": "31.03.2027"}, "close", "not a date", "2027-03-31"),
        ({"close": "2027-02-30"}, "close", "no day 2027-02-30", "Correct"),
        ({"close": "2020-01-01"}, "close", "not between", "Correct"),
        ({"deal": "x" * 121}, "deal", "120 characters", "Name the deal"),
        ({"customer": "a\x01b"}, "customer", "control character", "by hand"),
        ({"tax_id": "9" * 65}, "tax_id", "longer than 64", "Shorten"),
    ],
)
def test_a_bad_row_is_told_with_line_field_reason_and_fix_and_the_good_ones_land(
    imported: Import, bad: dict[str, str], field: str, reason: str, fix: str
) -> None:
    told = imported(row(), "", row(**({"deal": "Bad"} | bad)), row(deal="Second"))
    assert [found["line"] for found in told["registered"]] == [2, 5]
    (wrong,) = told["bad"]
    assert (wrong["line"], wrong["field"]) == (4, field)
    assert reason in wrong["reason"]
    assert fix in wrong["fix"]


def test_importing_the_same_file_again_adds_nothing(imported: Import, dealreg: Dealreg) -> None:
    first = imported(row(), row(deal="Second"))
    again = imported.again()
    assert again["registered"] == []
    numbers = [found["number"] for found in first["registered"]]
    assert [found["number"] for found in again["already_there"]] == numbers
    assert len(answer(dealreg("registration", "list", "--json"))) == 2


def test_a_row_that_is_there_with_another_amount_is_told_and_not_changed(imported: Import) -> None:
    (known,) = imported(row())["registered"]
    (told,) = imported(row(amount="52000"))["already_there"]
    assert told["reason"] == "amount is 48000 there and 52000 here"
    assert told["fix"] == f"dealreg registration update {known['number']} --amount 52000"


def test_two_rows_of_one_file_about_the_same_deal_are_one_registration(imported: Import) -> None:
    rows = row(), row(amount="52000", country="us")
    assert imported(*rows, options=["--dry-run"])["already_there"][0]["line"] == 3
    told = imported(*rows)
    assert len(told["registered"]) == 1
    assert told["already_there"][0]["reason"] == "amount is 48000 there and 52000 here"


def test_a_token_of_its_own_says_whether_a_row_is_there_already(imported: Import) -> None:
    header = f"{HEADER},token"
    told = imported(f"{row()},one", f"{row()},two", f"{row(deal='Other')},one", header=header)
    assert [found["line"] for found in told["registered"]] == [2, 3]
    assert [found["line"] for found in told["already_there"]] == [4]


def test_a_dry_run_says_the_same_and_keeps_nothing(imported: Import, dealreg: Dealreg) -> None:
    told = imported(row(), row(amount="x"), row(), options=["--dry-run"])
    assert [len(told[key]) for key in ("registered", "already_there", "bad")] == [1, 1, 1]
    assert told["dry_run"] is True
    assert answer(dealreg("registration", "list", "--json")) == []


def test_a_byte_order_mark_quotes_and_lines_inside_of_cells_are_understood(
    imported: Import, dealreg: Dealreg
) -> None:
    quoted = row(customer='"Avocet, ""Bio"" Inc."', deal='"=HYPERLINK(1)"')
    described = f'{quoted},"first line\nsecond line"'
    told = imported(described, f"{row(amount='x')},", header=f"\ufeff{HEADER},Description")
    assert told["bad"][0]["line"] == 4
    number = told["registered"][0]["number"]
    kept = answer(dealreg("registration", "show", number, "--json"))["registration"]
    assert kept["customer"]["name"] == 'Avocet, "Bio" Inc.'
    assert kept["deal_name"] == "=HYPERLINK(1)"
    assert kept["description"] == "first line\nsecond line"


def test_a_row_with_too_few_cells_is_told(imported: Import) -> None:
    (wrong,) = imported("northwind,Avocet", row())["bad"]
    assert (wrong["line"], wrong["reason"]) == (2, "it has 2 cells, the header has 9")


def test_a_quote_that_never_ends_is_told_and_what_stood_before_it_lands(imported: Import) -> None:
    told = imported(row(), row(customer='"Avocet'), row(deal="Lost in the quote"))
    assert [found["line"] for found in told["registered"]] == [2]
    assert told["bad"][0]["line"] == 3
    assert "not CSV" in told["bad"][0]["reason"]


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (HEADER.replace("amount,", ""), "missing: 'amount'"),
        (f"{HEADER},colour", "unknown: 'colour'"),
        (f"{HEADER},close", "twice: 'close'"),
        (HEADER.replace(",", ";"), "missing: 'partner'"),
        ("", "missing: 'partner'"),
    ],
)
def test_a_header_that_does_not_fit_is_refused_with_every_problem(
    imported: Import, header: str, told: str
) -> None:
    error = imported(row(), header=header)["error"]
    assert told in error["message"]
    assert error["hint"]


def test_semicolons_are_named_as_the_cause(imported: Import) -> None:
    assert "commas" in imported(header=HEADER.replace(",", ";"))["error"]["hint"]


def test_bytes_that_are_no_utf_8_are_refused_with_their_line(
    dealreg: Dealreg, tmp_path: Path
) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes(f"{HEADER}\n{row()}\n{row(customer='Müller')}".encode("latin-1"))
    done = dealreg("registration", "import", str(path))
    assert done.exit_code == 1
    assert "not UTF-8 text (line 3)" in done.stderr


def test_files_that_are_too_large_are_refused(
    imported: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_file, "ROWS_MAX", 2)
    assert "more than 2 rows" in imported(row(), row(), row())["error"]["message"]
    monkeypatch.setattr(csv_file, "BYTES_MAX", 100)
    assert "larger than 100 bytes" in imported(row())["error"]["message"]


def test_people_get_the_bad_rows_as_a_table_and_the_counts(
    dealreg: Dealreg, tmp_path: Path
) -> None:
    path = tmp_path / "deals.csv"
    path.write_text(f"{HEADER}\n{row()}\n{row(amount='x')}\n")
    done = dealreg("registration", "import", str(path))
    assert done.exit_code == 1
    assert "Line  Field   Reason" in done.stdout
    assert "1 registered, 0 already there, 1 with errors." in done.stdout


def test_a_file_is_checked_before_it_is_imported_and_nothing_is_kept(
    dealreg: Dealreg, tmp_path: Path
) -> None:
    file = tmp_path / "deals.csv"
    file.write_text("\n".join((HEADER, row(), row(partner="nobody"))))
    result = dealreg("registration", "check", "--dry-run", str(file), "--json")
    told = json.loads(result.stdout)
    assert result.exit_code == 1, "of one row nothing could be said"
    assert [row["line"] for row in told["rows"]] == [2]
    assert told["rows"][0]["check"]["decided"] == "nothing: it waits for a complete check"
    assert [row["line"] for row in told["bad"]] == [3]
    assert answer(dealreg("registration", "list", "--json")) == []
    assert dealreg("registration", "check").exit_code == 2
