"""The state table of a registration: the only place that changes a registration's state.

Pure. A move that the table does not hold is refused with the moves that are possible.
"""

from __future__ import annotations

from enum import StrEnum

from registration_core.errors import InvalidTransition
from registration_core.model import RegistrationState as State


class Move(StrEnum):
    """What can be done to a registration."""

    REVIEW = "review"
    ASK = "ask_for_information"
    ANSWER = "answer"
    APPROVE = "approve"
    REJECT = "reject"
    WITHDRAW = "withdraw"
    EXPIRE = "expire"
    REINSTATE = "reinstate"
    CANCEL = "cancel"
    WIN = "win"
    LOSE = "lose"
    REOPEN = "reopen"


#: From which states a move is possible, and where it leads.
_TABLE: dict[Move, tuple[frozenset[State], State]] = {
    Move.REVIEW: (frozenset({State.SUBMITTED}), State.UNDER_REVIEW),
    Move.ASK: (frozenset({State.SUBMITTED, State.UNDER_REVIEW}), State.MORE_INFO_NEEDED),
    Move.ANSWER: (frozenset({State.MORE_INFO_NEEDED}), State.SUBMITTED),
    Move.APPROVE: (frozenset({State.SUBMITTED, State.UNDER_REVIEW}), State.APPROVED),
    Move.REJECT: (
        frozenset({State.SUBMITTED, State.UNDER_REVIEW, State.MORE_INFO_NEEDED}),
        State.REJECTED,
    ),
    Move.WITHDRAW: (
        frozenset({State.SUBMITTED, State.UNDER_REVIEW, State.MORE_INFO_NEEDED, State.APPROVED}),
        State.WITHDRAWN,
    ),
    Move.EXPIRE: (frozenset({State.MORE_INFO_NEEDED, State.APPROVED}), State.EXPIRED),
    Move.REINSTATE: (frozenset({State.EXPIRED}), State.APPROVED),
    Move.CANCEL: (frozenset({State.APPROVED}), State.CANCELLED),
    Move.WIN: (frozenset({State.APPROVED}), State.CLOSED_WON),
    Move.LOSE: (frozenset({State.APPROVED}), State.CLOSED_LOST),
    Move.REOPEN: (frozenset({State.CLOSED_WON, State.CLOSED_LOST}), State.APPROVED),
}


def advance(state: State, move: Move, number: str) -> State:
    """Return the state that `move` leads to; `InvalidTransition` says what is possible instead."""
    sources, target = _TABLE[move]
    if state not in sources:
        possible = ", ".join(m.value for m in possible_moves(state)) or "nothing"
        raise InvalidTransition(
            f"{number} is {state.value}: it cannot {move.value.replace('_', ' ')}.",
            hint=f"Possible now: {possible}.",
        )
    return target


def possible_moves(state: State) -> tuple[Move, ...]:
    """Return the moves that lead out of a state."""
    return tuple(move for move, (sources, _) in _TABLE.items() if state in sources)
