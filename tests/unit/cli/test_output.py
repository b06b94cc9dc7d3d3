"""What people and scripts get of a value."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from cli.output import Output, plain, short, words
from registration_core.model import RegistrationState

TIME = datetime(2027, 3, 31, 14, 5, 9, tzinfo=timezone(timedelta(hours=2)))


@pytest.mark.parametrize(
    ("value", "said", "given"),
    [
        (None, "", None),
        (True, "yes", True),
        (7, "7", 7),
        (Decimal("48500.50"), "48500.50", "48500.50"),
        (date(2027, 3, 31), "2027-03-31", "2027-03-31"),
        (TIME, "2027-03-31 12:05:09Z", "2027-03-31T12:05:09Z"),
        (RegistrationState.APPROVED, "approved", "approved"),
        (("b", "a"), "b, a", ["b", "a"]),
        ({"amount": Decimal(5)}, "amount=5", {"amount": "5"}),
        (frozenset({"b"}), "b", ["b"]),
    ],
)
def test_a_value_is_worded_for_people_and_plain_for_scripts(
    value: object, said: str, given: object
) -> None:
    assert words(value) == said
    assert plain(value) == given


def test_text_from_outside_cannot_steer_the_terminal() -> None:
    assert words("\x1b[2Jgone\x07\x9b") == "\ufffd[2Jgone\ufffd\ufffd"


def test_an_id_is_shortened_to_its_end_because_ids_of_one_second_begin_alike() -> None:
    assert short("01a20e3e-62e1-7f66-beb5-cafef7044b65") == "f7044b65"


def test_a_table_that_nobody_watches_cuts_and_wraps_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    long = "x" * 500
    Output(as_json=False).table([{"name": long}], {"name": "Name"}, empty="")
    assert long in capsys.readouterr().out


def test_times_are_told_in_utc() -> None:
    assert words(TIME) == words(TIME.astimezone(UTC))
