"""The decision table of the merge, cell by cell, and the cases beside it."""

from __future__ import annotations

from decimal import Decimal
from itertools import product

import pytest

from reconciler.merge import GroupMerge, Rule, Verdict, merge_group
from registration_core.contracts import Fields, Value

AMOUNT = frozenset({"amount", "currency"})
OLD: Fields = {"amount": Decimal(100), "currency": "USD"}
OURS: Fields = {"amount": Decimal(200), "currency": "USD"}
THEIRS: Fields = {"amount": Decimal(300), "currency": "EUR"}

SIDES = {
    "neither": (OLD, OLD),
    "store": (OURS, OLD),
    "crm": (OLD, THEIRS),
    "both": (OURS, THEIRS),
}
ANY, YES, NO = (True, False), (True,), (False,)
CRM, STORE, PERSON, ANYONE = (True,), (False,), (None,), (True, False, None)

#: Changed, may take, may push, wins -> verdict and who a conflict is settled for
#: ("" no conflict, "open" a person decides). The table in the docstring of `reconciler.merge`.
TABLE = [
    ("neither", ANY, ANY, ANYONE, Verdict.IN_SYNC, ""),
    ("store", ANY, YES, ANYONE, Verdict.PUSH, ""),
    ("store", ANY, NO, ANYONE, Verdict.LEAVE, ""),
    ("crm", YES, ANY, ANYONE, Verdict.TAKE, ""),
    ("crm", NO, YES, ANYONE, Verdict.RESTORE, "store"),
    ("crm", NO, NO, ANYONE, Verdict.CONFLICT, "open"),
    ("both", YES, ANY, CRM, Verdict.TAKE, "remote"),
    ("both", YES, YES, STORE, Verdict.PUSH, "store"),
    ("both", YES, NO, STORE, Verdict.CONFLICT, "open"),
    ("both", YES, ANY, PERSON, Verdict.CONFLICT, "open"),
    ("both", NO, YES, ANYONE, Verdict.RESTORE, "store"),
    ("both", NO, NO, ANYONE, Verdict.CONFLICT, "open"),
]
CELLS = [
    (changed, take, push, wins, verdict, settled)
    for changed, takes, pushes, winners, verdict, settled in TABLE
    for take, push, wins in product(takes, pushes, winners)
]


def rule(
    *,
    may_write: bool = True,
    wins: bool | None = None,
    pushes: frozenset[str] = AMOUNT,
    pulls: frozenset[str] = AMOUNT,
    clears: frozenset[str] = frozenset(),
) -> Rule:
    return Rule(may_write, wins, pushes, pulls, clears)


def settled_for(outcome: GroupMerge) -> str:
    return "" if outcome.conflict is None else outcome.conflict.settled or "open"


def test_the_table_has_every_cell_once() -> None:
    cells = [cell[:4] for cell in CELLS]
    assert sorted(cells, key=repr) == sorted(product(SIDES, ANY, ANY, ANYONE), key=repr)


@pytest.mark.parametrize("barred_by", ["authority", "mapping"])
@pytest.mark.parametrize(("changed", "take", "push", "wins", "verdict", "settled"), CELLS)
def test_each_cell_of_the_table(
    changed: str,
    take: bool,
    push: bool,
    wins: bool | None,
    verdict: Verdict,
    settled: str,
    barred_by: str,
) -> None:
    store, remote = SIDES[changed]
    outcome = merge_group(
        OLD,
        store,
        remote,
        rule(
            may_write=take or barred_by == "mapping",
            wins=wins,
            pushes=AMOUNT if push else frozenset(),
            pulls=AMOUNT if take or barred_by == "authority" else frozenset(),
        ),
    )
    assert outcome.verdict is verdict
    assert settled_for(outcome) == settled
    takes, pushes = verdict is Verdict.TAKE, verdict in (Verdict.PUSH, Verdict.RESTORE)
    agreed = remote if takes else store
    assert outcome.store_changes == (
        {n: v for n, v in remote.items() if v != store[n]} if takes else {}
    )
    assert outcome.remote_changes == (
        {n: v for n, v in store.items() if v != remote[n]} if pushes else {}
    )
    assert outcome.base == (agreed if takes or pushes or verdict is Verdict.IN_SYNC else OLD)
    if outcome.conflict:
        assert (outcome.conflict.base, outcome.conflict.store) == (OLD, store)
        assert outcome.conflict.remote == remote
        assert outcome.conflict.reason


def test_a_group_is_taken_whole_though_the_sides_changed_different_fields() -> None:
    store: Fields = {"amount": Decimal(100), "currency": "EUR"}
    remote: Fields = {"amount": Decimal(90), "currency": "USD"}
    outcome = merge_group(OLD, store, remote, rule(wins=True))
    assert outcome.store_changes == remote
    assert settled_for(outcome) == "remote"


def test_a_change_made_the_same_on_both_sides_is_agreement() -> None:
    outcome = merge_group(OLD, OURS, OURS, rule(may_write=False))
    assert (outcome.verdict, outcome.base, outcome.conflict) == (Verdict.IN_SYNC, OURS, None)


def test_a_field_that_was_not_fetched_takes_no_part_and_keeps_its_base() -> None:
    outcome = merge_group(OLD, OURS, {"currency": "EUR"}, rule())
    assert outcome.verdict is Verdict.TAKE
    assert outcome.store_changes == {"currency": "EUR"}
    assert outcome.base == {"amount": Decimal(100), "currency": "EUR"}


def test_nothing_fetched_is_nothing_to_do() -> None:
    outcome = merge_group(OLD, OURS, {}, rule())
    assert (outcome.verdict, outcome.base) == (Verdict.IN_SYNC, OLD)


@pytest.mark.parametrize("empty", [None, "", ()])
@pytest.mark.parametrize("wins", [True, None])
def test_a_value_that_the_crm_emptied_is_left_on_both_sides_for_a_person(
    empty: Value, wins: bool | None
) -> None:
    outcome = merge_group(OLD, OLD, {"amount": empty, "currency": "USD"}, rule(wins=wins))
    assert (outcome.verdict, settled_for(outcome)) == (Verdict.CONFLICT, "open")
    assert outcome.base == OLD
    assert not outcome.store_changes
    assert not outcome.remote_changes
    assert outcome.conflict is not None
    assert "empty amount" in outcome.conflict.reason


def test_a_crm_that_wins_does_not_empty_a_value_that_the_store_just_changed() -> None:
    outcome = merge_group(OLD, OURS, {"amount": None, "currency": "USD"}, rule(wins=True))
    assert (outcome.verdict, settled_for(outcome)) == (Verdict.CONFLICT, "open")


def test_an_emptied_value_is_taken_where_the_mapping_says_that_it_is_a_clear() -> None:
    remote: Fields = {"amount": None, "currency": "USD"}
    outcome = merge_group(OLD, OLD, remote, rule(clears=frozenset({"amount"})))
    assert (outcome.verdict, outcome.store_changes) == (Verdict.TAKE, {"amount": None})
    assert outcome.base == remote


def test_a_value_that_the_crm_may_not_empty_is_restored() -> None:
    outcome = merge_group(OLD, OLD, {"amount": None, "currency": "USD"}, rule(may_write=False))
    assert (outcome.verdict, outcome.remote_changes) == (
        Verdict.RESTORE,
        {"amount": Decimal(100)},
    )


def test_a_value_that_the_store_emptied_is_emptied_in_the_crm() -> None:
    outcome = merge_group(OLD, {"amount": None, "currency": "USD"}, OLD, rule())
    assert (outcome.verdict, outcome.remote_changes) == (Verdict.PUSH, {"amount": None})


def test_true_is_not_the_number_one() -> None:
    one = frozenset({"flag"})
    outcome = merge_group(
        {"flag": True}, {"flag": True}, {"flag": Decimal(1)}, rule(pushes=one, pulls=one)
    )
    assert outcome.verdict is Verdict.TAKE


def test_numbers_are_compared_by_value() -> None:
    remote: Fields = {"amount": Decimal("100.00"), "currency": "USD"}
    assert merge_group(OLD, OLD, remote, rule()).verdict is Verdict.IN_SYNC


class TestNeverAgreed:
    """A link without a base, or a field that was mapped later."""

    def test_different_values_are_both_sides_having_changed(self) -> None:
        assert merge_group(None, OURS, THEIRS, rule()).verdict is Verdict.CONFLICT
        outcome = merge_group(None, OURS, THEIRS, rule(wins=True))
        assert (outcome.verdict, settled_for(outcome)) == (Verdict.TAKE, "remote")
        assert outcome.conflict is not None
        assert outcome.conflict.base is None

    def test_an_empty_crm_gives_way_silently(self) -> None:
        empty = {"amount": None, "currency": None}
        outcome = merge_group(None, OURS, empty, rule(may_write=False))
        assert (outcome.verdict, outcome.conflict) == (Verdict.PUSH, None)
        assert outcome.remote_changes == OURS

    def test_an_empty_store_gives_way_silently(self) -> None:
        empty = {"amount": None, "currency": None}
        outcome = merge_group(None, empty, THEIRS, rule())
        assert (outcome.verdict, outcome.conflict) == (Verdict.TAKE, None)
        assert outcome.store_changes == THEIRS

    def test_a_field_both_hold_alike_does_not_count_as_a_change(self) -> None:
        remote: Fields = {"amount": None, "currency": "USD"}
        outcome = merge_group(None, OURS, remote, rule())
        assert (outcome.verdict, outcome.remote_changes) == (
            Verdict.PUSH,
            {"amount": Decimal(200)},
        )

    @pytest.mark.parametrize("pushes", [AMOUNT, frozenset[str]()])
    def test_linking_does_not_wipe_what_the_store_has_no_value_for(
        self, pushes: frozenset[str]
    ) -> None:
        store: Fields = {"amount": None, "currency": "USD"}
        remote: Fields = {"amount": Decimal(7), "currency": "USD"}
        outcome = merge_group(None, store, remote, rule(may_write=False, pushes=pushes))
        assert (outcome.verdict, outcome.conflict) == (Verdict.LEAVE, None)
        assert outcome.base == {"currency": "USD"}

    def test_a_field_mapped_later_joins_a_group_that_was_agreed_on(self) -> None:
        outcome = merge_group({"currency": "USD"}, OLD, {**OLD, "amount": None}, rule())
        assert (outcome.verdict, outcome.remote_changes) == (
            Verdict.PUSH,
            {"amount": Decimal(100)},
        )


class TestPullOnlyField:
    """A field that flows only CRM → store, in a group whose other fields flow both ways."""

    PUSHES = frozenset({"currency"})

    def test_the_stores_own_change_of_it_is_left(self) -> None:
        outcome = merge_group(OLD, OURS, OLD, rule(pushes=self.PUSHES))
        assert (outcome.verdict, outcome.base) == (Verdict.LEAVE, OLD)

    def test_what_is_declined_counts_as_seen_and_is_not_declined_again(self) -> None:
        store: Fields = {"amount": Decimal(100), "currency": "GBP"}
        remote: Fields = {"amount": Decimal(300), "currency": "USD"}
        outcome = merge_group(OLD, store, remote, rule(wins=False, pushes=self.PUSHES))
        assert outcome.remote_changes == {"currency": "GBP"}
        assert outcome.base == {"amount": Decimal(300), "currency": "GBP"}
        assert settled_for(outcome) == "store"
        again = merge_group(
            outcome.base, store, {**remote, "currency": "GBP"}, rule(pushes=self.PUSHES)
        )
        assert again.verdict is Verdict.LEAVE
