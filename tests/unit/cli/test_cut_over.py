"""`registration cut-over`: another system's file is read, reconciled by partner, and landed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest

from cli.cut_over import read
from tests.unit.cli.conftest import Dealreg, answer
from tests.world import program

TODAY = datetime.now(UTC).date()
HEADER = (
    "reference,partner,customer,country,tax_id,deal,product,amount,currency,close,state,"
    "submitted,protected_from,protected_until"
)
GOOD = {
    "reference": "OLD-1", "partner": "northwind", "customer": "Avocet Biosciences Inc.",
    "country": "US", "tax_id": "84-1190277", "deal": "Lab", "product": "platform",
    "amount": "48000", "currency": "USD", "close": "2024-03-31", "state": "expired",
    "submitted": "2024-01-15T10:00:00+02:00", "protected_from": "2024-01-20",
    "protected_until": "2024-04-20",
}  # fmt: skip


@pytest.fixture
def file(dealreg: Dealreg, tmp_path: Path) -> Path:
    for code in ("northwind", "southwind"):
        answer(dealreg("partner", "add", code, "--name", code, "--json"))
    return tmp_path / "old.csv"


def write(file: Path, *rows: dict[str, str]) -> Path:
    file.write_text("\n".join([HEADER, *(",".join((GOOD | row).values()) for row in rows)]))
    return file


def test_a_dry_run_reconciles_count_and_value_by_partner(dealreg: Dealreg, file: Path) -> None:
    write(
        file, {}, {"reference": "OLD-2", "amount": "2000.50"},
        {"reference": "OLD-3", "partner": "southwind", "state": "closed_won"},
        {"reference": "OLD-4", "partner": "southwind", "submitted": "2024-01-15T10:00"},
    )  # fmt: skip
    done = dealreg("registration", "cut-over", str(file), "--dry-run", "--json")
    told = json.loads(done.stdout)
    assert done.exit_code == 1
    assert told["partners"] == [
        {"partner": "northwind", "rows": 2, "value": "50,000.50 USD", "landed": 2, "contested": 0,
         "already_there": 0, "bad": 0, "value_here": "50,000.50 USD"},
        {"partner": "southwind", "rows": 2, "value": "48,000 USD", "landed": 0, "contested": 0,
         "already_there": 0, "bad": 2, "value_here": ""},
    ]  # fmt: skip
    assert [(each["line"], each["field"]) for each in told["bad"]] == [
        (4, "closed_on"), (5, "submitted"),
    ]  # fmt: skip
    assert answer(dealreg("registration", "list", "--json")) == []


def test_what_landed_has_its_own_dates_and_lands_once(dealreg: Dealreg, file: Path) -> None:
    write(file, {})
    landed = answer(dealreg("registration", "cut-over", str(file), "--json"))["rows"]
    again = answer(dealreg("registration", "cut-over", str(file), "--json"))["rows"]
    assert [each["result"] for each in (*landed, *again)] == ["landed", "already_there"]
    (listed,) = answer(dealreg("registration", "list", "--json"))
    assert (listed["submitted_at"], listed["state"]) == ("2024-01-15T08:00:00Z", "expired")


def test_standing_protections_need_another_person(dealreg: Dealreg, file: Path) -> None:
    write(file, {"state": "approved", "protected_until": str(TODAY + timedelta(days=30))})
    done = dealreg("registration", "cut-over", str(file))
    assert done.exit_code == 3
    assert "2 people have to" in done.stderr
    assert answer(dealreg("registration", "list", "--json")) == []


def test_what_people_agree_on_is_what_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody saves the file anew each time that it is opened."""
    file, rules = write(tmp_path / "old.csv", {}), program({})
    found = read(file, rules, ())
    saved = iter([file.read_bytes(), b"something else", b"something else"])
    monkeypatch.setattr(Path, "open", lambda *_, **__: BytesIO(next(saved)))
    assert read(file, rules, ()) == found
