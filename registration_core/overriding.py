"""Stale evidence, and nothing but stale evidence, accepted by two people (law 6).

An unread connection, a missing canary or a shrunken list cannot be overridden; a rule never
overrides. Until people sign in, two people are two operating-system users: a name that `--actor`
claims does not count.
"""

from __future__ import annotations

from registration_core.conflict_check import require_decider, require_usable
from registration_core.errors import CheckNotUsable, InvalidInput, NotAllowed
from registration_core.program import Program
from registration_core.recording import subject_of
from registration_core.store import audit, overrides, repository
from registration_core.store.database import UnitOfWork

#: How many different people it takes.
PEOPLE = overrides.PEOPLE


def override(unit: UnitOfWork, number: str, reason: str, program: Program) -> int:
    """Accept the stale evidence of a registration's last check; returns how many people have.

    Idempotent by person. Holds for that one check, and for what repeats it word for word because
    the evidence is stale still: any other has to be accepted anew.
    """
    if not reason.strip():
        raise InvalidInput("Say why: it is kept with the decision.", field="reason")
    if not unit.actor.os_user:
        raise NotAllowed("Nobody knows who you are on this machine, so you cannot be one of two.")
    registration = repository.registration(unit.session, number, lock=True)
    check = repository.last_check(unit.session, registration.id)
    if check is None:
        raise CheckNotUsable(
            f"{registration.number} was not checked yet.",
            hint=f"Type: dealreg registration check {registration.number}",
        )
    require_decider(unit.actor, registration, check)
    if unit.actor.os_user == registration.submitted_by:
        raise NotAllowed(f"{unit.actor.os_user} submitted {registration.number}.")
    require_usable(check, registration, program, unit.now, overridden=True)
    people = overrides.add(unit, check.id, reason)
    audit.record(
        unit, subject_of(registration), "override stale evidence",
        {"check": check.id, "reason": reason, "os_user": unit.actor.os_user, "people": people},
    )  # fmt: skip
    return people
