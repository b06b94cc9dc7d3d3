"""What is remembered of merged ids."""

from __future__ import annotations

import pytest

from connectors.hubspot import aliases
from connectors.hubspot.aliases import Aliases


def test_an_id_is_followed_over_any_number_of_merges_and_within_its_object() -> None:
    known = Aliases()
    known.learn("deals", "1", "3")
    known.learn("deals", "3", "7")
    known.learn("deals", "7", "7")
    assert [known.present("deals", each) for each in ("1", "3", "7", "9")] == ["7", "7", "7", "9"]
    assert known.present("companies", "1") == "1"


def test_no_circle_of_aliases_is_followed_for_ever() -> None:
    known = Aliases()
    known.learn("deals", "1", "2")
    known.learn("deals", "2", "1")
    assert known.present("deals", "1") in ("1", "2")


def test_of_very_many_the_first_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aliases, "KEPT", 2)
    known = Aliases()
    for old in ("1", "2", "1", "3"):
        known.learn("deals", old, "9")
    assert [known.present("deals", each) for each in ("1", "2", "3")] == ["9", "2", "9"]
