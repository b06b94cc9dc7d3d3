"""Disputes: opened by a re-check, a merge or a reopened deal; decided by a person.

An open dispute takes nobody's protection away. Two claims that turned out to be on one customer
are contested until one of the two is decided against.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

from registration_core.conflict_check import require_decider
from registration_core.errors import DomainRefusal, InvalidInput
from registration_core.lifecycle import Move, advance
from registration_core.model import DisputeState, ProtectionState, Registration, RegistrationState
from registration_core.program import Program
from registration_core.recording import locked, saved
from registration_core.store import disputes, protection
from registration_core.store.database import UnitOfWork


class Verdict(StrEnum):
    """How a dispute is decided."""

    #: The registration stays as it is; a contested claim stands again.
    KEEP = "keep"
    #: The registration is cancelled and its claim freed.
    CANCEL = "cancel"


def open_dispute(unit: UnitOfWork, registration: Registration, because: str) -> Registration:
    """Open a dispute on an approved registration; its protection stays until it is decided.

    One that is open already is kept and told of anew, because the reason is news.
    """
    disputes.note(unit, registration.id, because)
    after = replace(registration, dispute_state=DisputeState.OPEN)
    return saved(unit, after, "open dispute", {"because": because})


def decide(
    unit: UnitOfWork, number: str, verdict: Verdict, reason: str, program: Program
) -> Registration:
    """Decide an open dispute; `AlreadyProtected` where keeping it would protect two.

    Whoever submitted the registration may not decide it.
    """
    if not reason.strip():
        raise InvalidInput("Say why: it is kept with the decision.", field="reason")
    protection.hold_lock(unit)
    before = locked(unit, number, None)
    require_decider(unit.actor, before, None)
    if before.dispute_state is not DisputeState.OPEN:
        raise DomainRefusal(
            f"Nothing about {before.number} is disputed.", hint="Type: dealreg dispute list"
        )
    after = replace(before, dispute_state=DisputeState.DECIDED)
    partner: dict[str, object] = {}
    if verdict is Verdict.CANCEL:
        after = replace(after, state=advance(before.state, Move.CANCEL, before.number))
        after = protection.release(unit, after, ProtectionState.RELEASED)
        partner = {"state": "Cancelled"}
    elif before.state is RegistrationState.APPROVED:
        after = protection.stand_again(unit, after, program)
        if before.protection_state is ProtectionState.CONTESTED:
            partner = {"message": "Your protection was reviewed and stays."}
    disputes.settle(unit, before.id, verdict.value, reason)
    return saved(
        unit, after, "decide dispute", {"verdict": verdict.value, "reason": reason},
        partner=partner or None,
    )  # fmt: skip
