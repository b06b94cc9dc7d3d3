"""What a person may choose in a sync conflict, and how other choices are refused."""

from __future__ import annotations

from decimal import Decimal

import pytest

from reconciler.merge import Rule, SyncConflict, Verdict, merge_group
from reconciler.resolution import base_after, resolve
from registration_core.contracts import Fields
from registration_core.errors import InvalidInput

BASE: Fields = {"amount": Decimal(1), "currency": "USD"}
OURS: Fields = {"amount": Decimal(2), "currency": "USD"}
THEIRS: Fields = {"amount": Decimal(3), "currency": "USD"}
OPEN = SyncConflict(BASE, OURS, THEIRS, None, "both")


def test_ours_and_theirs_give_the_whole_group() -> None:
    assert resolve(OPEN, "ours") == OURS
    assert resolve(OPEN, "theirs") == THEIRS


def test_own_values_are_completed_by_what_both_sides_hold() -> None:
    assert resolve(OPEN, {"amount": Decimal(9)}) == {"amount": Decimal(9), "currency": "USD"}
    assert resolve(OPEN, {"amount": None}) == {"amount": None, "currency": "USD"}


@pytest.mark.parametrize(
    ("choice", "field", "said"),
    [
        ({}, "", "No value was given"),
        ({"currency": "EUR"}, "amount", "No value was given for amount"),
        ({"amount": Decimal(9), "stage": "won"}, "stage", "stage is not part of"),
        ({"amount": "9"}, "amount", "amount takes a Decimal, not a str"),
        ({"amount": True}, "amount", "amount takes a Decimal, not a bool"),
        ("mine", "", "'mine' is not a way"),
    ],
)
def test_other_choices_are_refused_with_a_hint(choice: Fields, field: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as refusal:
        resolve(OPEN, choice)
    assert refusal.value.field == field
    assert refusal.value.hint


def test_a_conflict_that_was_settled_can_be_reversed() -> None:
    names = frozenset(BASE)
    rule = Rule(remote_may_write=True, remote_wins=False, pushes=names, pulls=names)
    settled = merge_group(BASE, OURS, THEIRS, rule)
    assert settled.conflict is not None
    crm = {**THEIRS, **settled.remote_changes}
    wanted = resolve(settled.conflict, "theirs")
    outcome = merge_group(base_after(settled.conflict, settled.base), wanted, crm, rule)
    assert (outcome.verdict, outcome.remote_changes) == (Verdict.PUSH, {"amount": Decimal(3)})
