"""Everything that may be said of a customer, by option, import file, cut-over file and list."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Dealreg, answer, submitted

CLOSE = f"{datetime.now(UTC).year + 1}-03-31"
DEAL = {
    "partner": "northwind", "customer": "Avocet Biosciences Inc.", "country": "US", "deal": "Lab",
    "product": "platform", "amount": "48000", "currency": "USD", "close": CLOSE,
}  # fmt: skip
SAID = {
    "tax_id": "84-1190277", "duns": "150483782", "website": "avocet.example",
    "email_domains": "labs.example; avocet-bio.example", "aliases": "ABL; Avocet, the labs",
    "parent": "Heron Group", "phone": "+1 919 555 0126", "city": "Durham", "postcode": "27701",
    "region": "North Carolina",
}  # fmt: skip
KEPT = SAID | {
    "name": "Avocet Biosciences Inc.", "country": "US",
    "email_domains": ["labs.example", "avocet-bio.example"], "aliases": ["ABL", "Avocet, the labs"],
}  # fmt: skip


@pytest.fixture(autouse=True)
def _partner(dealreg: Dealreg) -> None:
    answer(dealreg("partner", "add", "northwind", "--name", "Northwind", "--json"))


def _customer(dealreg: Dealreg, number: str) -> Any:
    shown = answer(dealreg("registration", "show", number, "--json"))
    return shown["registration"]["customer"]


def _file(folder: Path, *rows: dict[str, str]) -> str:
    lines = [",".join(rows[0]), *(",".join(f'"{cell}"' for cell in row.values()) for row in rows)]
    path = folder / "rows.csv"
    path.write_text("\n".join(lines))
    return str(path)


def test_everything_said_by_option_is_kept_and_shown(dealreg: Dealreg) -> None:
    options = [part for name, value in DEAL.items() for part in (f"--{name}", value)]
    for name, value in SAID.items():
        option = {"email_domains": "--email-domain", "aliases": "--alias"}.get(
            name, f"--{name.replace('_', '-')}"
        )
        options += [part for each in value.split("; ") for part in (option, each)]
    number = answer(dealreg("registration", "submit", *options, "--json"))["number"]
    assert _customer(dealreg, number) == KEPT
    for shown in (
        dealreg("registration", "show", number).output,
        dealreg("registration", "show", number, "--as-partner").output,
    ):
        for value in (*SAID.values(), "27701, Durham, North Carolina"):
            assert value in shown


def test_everything_said_in_a_file_is_kept(dealreg: Dealreg, tmp_path: Path) -> None:
    told = answer(dealreg("registration", "import", _file(tmp_path, DEAL | SAID), "--json"))
    assert _customer(dealreg, told["registered"][0]["number"]) == KEPT


def test_everything_another_system_said_is_taken_over(dealreg: Dealreg, tmp_path: Path) -> None:
    state = {"reference": "OLD-1", "state": "under_review", "submitted": "2024-01-15"}
    done = dealreg("registration", "cut-over", _file(tmp_path, DEAL | SAID | state), "--json")
    assert _customer(dealreg, answer(done)["rows"][0]["number"]) == KEPT


def test_a_contacts_address_tells_one_domain_more(dealreg: Dealreg, tmp_path: Path) -> None:
    row = DEAL | SAID | {"contact_email": "ivy@contact.example"}
    told = answer(dealreg("registration", "import", _file(tmp_path, row), "--json"))
    kept = _customer(dealreg, told["registered"][0]["number"])
    assert kept["email_domains"] == [*KEPT["email_domains"], "contact.example"]


@pytest.mark.parametrize(
    ("said", "reason", "fix"),
    [
        ({"aliases": "A;B;C;D"}, "4 are more than 3", "best known"),
        ({"email_domains": "a.b;c.d;e.f;g.h;i.j;k.l"}, "6 are more than 5", "best known"),
        ({"email_domains": "ivy@labs.example"}, "is not a domain", "what follows the @"),
        ({"phone": "call me"}, "is not a phone number", "+49 40 123456"),
        ({"postcode": "x" * 33}, "longer than 32", "Shorten"),
        ({"parent": "x" * 121}, "longer than 120", "Shorten"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_column_and_a_way_out(
    dealreg: Dealreg, tmp_path: Path, said: dict[str, str], reason: str, fix: str
) -> None:
    state = {"reference": "OLD-1", "state": "under_review", "submitted": "2024-01-15"}
    listed = {"name": "Avocet", "reason": "fleet", "valid_from": "2026-01-01"}
    imported = dealreg("registration", "import", _file(tmp_path, DEAL | said), "--json")
    (bad,) = json.loads(imported.stdout)["bad"]
    taken = dealreg("registration", "cut-over", _file(tmp_path, DEAL | state | said), "--json")
    (worse,) = json.loads(taken.stdout)["bad"]
    for told in (bad, worse):
        assert [told["field"]] == list(said)
        assert reason in told["reason"]
        assert fix in told["fix"]
    brought = dealreg("account-list", "import", "house", _file(tmp_path, listed | said), "--json")
    (row,) = json.loads(brought.stdout)
    assert row["reason"].startswith(next(iter(said)))
    assert reason in row["reason"].casefold()
    assert fix in row["fix"]


def test_an_entry_of_a_list_says_as_much_as_a_customer(dealreg: Dealreg, tmp_path: Path) -> None:
    listed = {"name": "Avocet Biosciences Inc.", "country": "US", "reason": "fleet contract",
              "valid_from": "2026-01-01"} | SAID  # fmt: skip
    assert (
        answer(dealreg("account-list", "import", "house", _file(tmp_path, listed), "--json"))[
            "added"
        ]
        == 1
    )
    (shown,) = answer(dealreg("account-list", "show", "house", "--json"))
    assert {name: shown[name] for name in KEPT} == KEPT
    again = dealreg("account-list", "import", "house", _file(tmp_path, listed), "--json")
    assert answer(again)["kept"] == 1


def test_what_is_said_later_replaces_what_was_said_and_is_taken_back(dealreg: Dealreg) -> None:
    number = submitted(dealreg, phone="+1 919 555 0126")
    told = dealreg(
        "registration", "describe", number, "--alias", "ABL", "--alias", "Labs", "--city", "Durham"
    )
    assert f"{number} waits for its check" in told.output
    kept = _customer(dealreg, number)
    assert (kept["aliases"], kept["city"], kept["phone"]) == (
        ["ABL", "Labs"], "Durham", "+1 919 555 0126",
    )  # fmt: skip
    again = dealreg("registration", "describe", number, "--city", "Durham", "--version", "2")
    assert f"{number} says so already" in again.output
    dealreg("registration", "describe", number, "--alias", "", "--phone", "")
    kept = _customer(dealreg, number)
    assert (kept["aliases"], kept["city"], kept["phone"]) == ([], "Durham", "")


def test_describing_refuses_what_is_wrong_old_or_nothing(dealreg: Dealreg) -> None:
    number = submitted(dealreg)
    wrong = dealreg("registration", "describe", number, "--phone", "call me")
    assert (wrong.exit_code, "is not a phone number" in wrong.stderr) == (1, True)
    assert dealreg("registration", "describe", number).exit_code == 2
    old = dealreg("registration", "describe", number, "--city", "Durham", "--version", "7")
    assert (old.exit_code, "was changed by somebody else" in old.stderr) == (1, True)
