"""The state table: every cell of it, and nobody goes round it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from registration_core.errors import InvalidTransition
from registration_core.lifecycle import Move, advance, possible_moves
from registration_core.model import RegistrationState as State

PROJECT = Path(__file__).parents[3]
PACKAGES = (
    "cli",
    "config",
    "connectors",
    "mapping",
    "reconciler",
    "registration_core",
    "sync",
    "web",
)

#: What the table must say, written down a second time.
EXPECTED: dict[Move, dict[State, State]] = {
    Move.REVIEW: {State.SUBMITTED: State.UNDER_REVIEW},
    Move.ASK: {
        State.SUBMITTED: State.MORE_INFO_NEEDED,
        State.UNDER_REVIEW: State.MORE_INFO_NEEDED,
    },
    Move.ANSWER: {State.MORE_INFO_NEEDED: State.SUBMITTED},
    Move.APPROVE: {State.SUBMITTED: State.APPROVED, State.UNDER_REVIEW: State.APPROVED},
    Move.REJECT: {
        State.SUBMITTED: State.REJECTED,
        State.UNDER_REVIEW: State.REJECTED,
        State.MORE_INFO_NEEDED: State.REJECTED,
    },
    Move.WITHDRAW: {
        State.SUBMITTED: State.WITHDRAWN,
        State.UNDER_REVIEW: State.WITHDRAWN,
        State.MORE_INFO_NEEDED: State.WITHDRAWN,
        State.APPROVED: State.WITHDRAWN,
    },
    Move.EXPIRE: {State.MORE_INFO_NEEDED: State.EXPIRED, State.APPROVED: State.EXPIRED},
    Move.REINSTATE: {State.EXPIRED: State.APPROVED},
    Move.CANCEL: {State.APPROVED: State.CANCELLED},
    Move.WIN: {State.APPROVED: State.CLOSED_WON},
    Move.LOSE: {State.APPROVED: State.CLOSED_LOST},
    Move.REOPEN: {State.CLOSED_WON: State.APPROVED, State.CLOSED_LOST: State.APPROVED},
}


@pytest.mark.parametrize("move", Move)
@pytest.mark.parametrize("state", State)
def test_every_cell_of_the_table_leads_on_or_is_refused(state: State, move: Move) -> None:
    target = EXPECTED[move].get(state)
    if target is not None:
        assert advance(state, move, "DR-1") is target
        return
    with pytest.raises(InvalidTransition):
        advance(state, move, "DR-1")


def test_a_refusal_names_the_record_its_state_and_the_moves_that_are_possible() -> None:
    with pytest.raises(InvalidTransition) as refused:
        advance(State.EXPIRED, Move.ASK, "DR-2345-6789")
    assert str(refused.value) == (
        "DR-2345-6789 is expired: it cannot ask for information. Possible now: reinstate."
    )
    with pytest.raises(InvalidTransition) as refused:
        advance(State.REJECTED, Move.APPROVE, "DR-2345-6789")
    assert refused.value.hint == "Possible now: nothing."


@pytest.mark.parametrize("state", State)
def test_possible_moves_are_those_that_are_not_refused(state: State) -> None:
    assert set(possible_moves(state)) == {m for m, cells in EXPECTED.items() if state in cells}


#: The table itself, and the replay, which supposes past states and keeps none of them.
_MAY = frozenset({"lifecycle.py", "replaying.py"})


def test_nothing_outside_the_table_changes_the_state_of_a_registration() -> None:
    found = [
        f"{path.relative_to(PROJECT)}:{line}"
        for package in PACKAGES
        for path in (PROJECT / package).rglob("*.py")
        if path.name not in _MAY
        for line in _state_changes(ast.parse(path.read_text()))
    ]
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        "after = replace(before, state=RegistrationState.APPROVED)",
        "after = replace(before, **{'state': RegistrationState.APPROVED})",
        "row.state = RegistrationState.APPROVED.value",
        "def f():\n    state = before.state\n    return replace(before, state=state)",
        "values(state='approved')",
    ],
)
def test_the_search_for_state_changes_finds_them(code: str) -> None:
    assert list(_state_changes(ast.parse(code)))


def _state_changes(tree: ast.Module) -> Iterator[int]:
    """Yield the lines that give a registration a state that `advance` has not returned."""
    values = {state.value for state in State}
    for scope in (tree, *(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef))):
        advanced = _names_from_advance(scope)
        for node in ast.walk(scope):
            yield from _changes_in(node, advanced, values)


def _names_from_advance(scope: ast.AST) -> set[str]:
    return {
        target.id
        for node in ast.walk(scope)
        if isinstance(node, ast.Assign) and _calls(node.value, "advance")
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _changes_in(node: ast.AST, advanced: set[str], values: set[str]) -> Iterator[int]:
    if isinstance(node, ast.Call):
        for keyword in node.keywords:
            if keyword.arg != "state":
                continue
            value = keyword.value
            if _calls(value, "advance") or (isinstance(value, ast.Name) and value.id in advanced):
                continue
            named = _calls(node, "replace") or _names_a_state(value, values)
            if named and not _is_new_or_read(node, value):
                yield node.lineno
    elif isinstance(node, ast.Assign):
        attributes = [t for t in node.targets if isinstance(t, ast.Attribute)]
        if any(t.attr == "state" for t in attributes) and _names_a_state(node.value, values):
            yield node.lineno
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            is_state = isinstance(key, ast.Constant) and key.value == "state"
            if is_state and _names_a_state(value, set()):
                yield node.lineno


def _calls(node: ast.AST, name: str) -> bool:
    if not isinstance(node, ast.Call):
        return False
    called = node.func
    return (isinstance(called, ast.Name) and called.id == name) or (
        isinstance(called, ast.Attribute) and called.attr == name
    )


def _names_a_state(node: ast.AST, values: set[str]) -> bool:
    return any(
        (isinstance(n, ast.Name) and n.id == "RegistrationState")
        or (isinstance(n, ast.Constant) and n.value in values)
        for n in ast.walk(node)
    )


def _is_new_or_read(call: ast.Call, value: ast.AST) -> bool:
    """A new registration is submitted; the store reads one back with the state of its row."""
    text = ast.unparse(value)
    made = _calls(call, "Registration") and text == "RegistrationState.SUBMITTED"
    return made or text == "RegistrationState(row.state)"
