"""What people and the clock do to protections: extend, suspend, end.

Each verb but `expire_all` joins the caller's transaction; it takes the protection lock before it
locks a registration. Claims themselves are kept by `store/protection.py`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from registration_core.conflict_check import require_decider, require_usable
from registration_core.errors import DomainRefusal, InvalidInput
from registration_core.findings import ReasonCode
from registration_core.lifecycle import Move, advance
from registration_core.model import (
    SYSTEM,
    Actor,
    ConflictCheck,
    DisputeState,
    ProtectionState,
    Registration,
)
from registration_core.partner_view import reason_text
from registration_core.program import Program
from registration_core.recording import locked, saved
from registration_core.store import account_lists, ending, protection, repository
from registration_core.store.database import Database, UnitOfWork


def extend(
    unit: UnitOfWork, number: str, days: int, reason: str, expected_version: int | None = None
) -> Registration:
    """Extend a standing protection by 1 to 366 days."""
    if not 1 <= days <= 366:
        raise InvalidInput("A protection is extended by 1 to 366 days.", field="days")
    protection.hold_lock(unit)
    after = protection.extend(unit, locked(unit, number, expected_version), days)
    return saved(
        unit, after, "extend protection", {"days": days, "reason": reason},
        partner={"protected_until": str(after.protection_ends_on)},
    )  # fmt: skip


def expire_all(database: Database, actor: Actor = SYSTEM) -> list[Registration]:
    """Expire and flag whatever is due, a few registrations in each commit; returns all of them."""
    changed: list[Registration] = []
    while True:
        with database.begin(actor) as unit:
            few = expire_due(unit)
        changed += few
        if len(few) < ending.FEW:
            return changed


def expire_due(unit: UnitOfWork, warn_days: int = 14) -> list[Registration]:
    """Expire protections that ended before today and flag those that end within `warn_days`.

    At most `ending.FEW`, the earliest end first; none of them is due again.
    """
    protection.hold_lock(unit)
    today, changed = unit.now.date(), []
    found = ending.to_be_moved(unit.session, today, today + timedelta(days=warn_days))
    for each in sorted(found, key=lambda r: r.id):  # as a push locks them: no circle of waiting
        before = locked(unit, each.id, None)
        if before.protection_ends_on is not None and before.protection_ends_on < today:
            after = replace(before, state=advance(before.state, Move.EXPIRE, before.number))
            after = protection.release(unit, after, ProtectionState.EXPIRED)
            changed.append(saved(unit, after, "expire", {}, partner={"state": "Expired"}))
        else:
            after = replace(before, protection_state=ProtectionState.EXPIRING)
            ends = {"protected_until": str(before.protection_ends_on)}
            changed.append(saved(unit, after, "expiring soon", ends, partner=ends))
    return changed


def suspend(unit: UnitOfWork, number: str, reason: str) -> Registration:
    """Put a protection on hold: it keeps others out and does not end while it is."""
    protection.hold_lock(unit)
    before = locked(unit, number, None)
    running = (ProtectionState.ACTIVE, ProtectionState.EXPIRING)
    if before.protection_state not in running:
        raise _cannot(before, "suspended")
    after = replace(before, protection_state=ProtectionState.SUSPENDED)
    return saved(
        unit, after, "suspend protection", {"reason": reason},
        partner={"message": "Your protection is on hold."},
    )  # fmt: skip


def resume(unit: UnitOfWork, number: str, reason: str) -> Registration:
    """Let a protection that was on hold run again, to the end it had."""
    protection.hold_lock(unit)
    before = locked(unit, number, None)
    if before.protection_state is not ProtectionState.SUSPENDED:
        raise _cannot(before, "resumed")
    after = replace(before, protection_state=ProtectionState.ACTIVE)
    return saved(
        unit, after, "resume protection", {"reason": reason},
        partner={"protected_until": str(after.protection_ends_on)},
    )  # fmt: skip


def reinstate(
    unit: UnitOfWork, number: str, check: ConflictCheck, reason: str, program: Program
) -> Registration:
    """Approve an expired registration again, on a check as for an approval, if a slot is free."""
    protection.hold_lock(unit)
    before = locked(unit, number, None)
    state = advance(before.state, Move.REINSTATE, before.number)
    newest = repository.last_check(unit.session, before.id)
    require_usable(check, before, program, unit.now, newest)
    account_lists.require_unchanged(unit.session, check, before.number)
    require_decider(unit.actor, before, check)
    after = protection.claim(unit, replace(before, state=state), program, unit.now.date(), check)
    return saved(
        unit, after, "reinstate", {"check": check.id, "reason": reason},
        partner={"state": "Approved", "protected_until": str(after.protection_ends_on)},
    )  # fmt: skip


def cancel(unit: UnitOfWork, number: str, reason: ReasonCode, note: str) -> Registration:
    """Cancel an approved registration and free its protection; the partner gets the code's text.

    Whoever submitted it may not; what is disputed is decided there.
    """
    protection.hold_lock(unit)
    before = locked(unit, number, None)
    require_decider(unit.actor, before, None)
    if before.dispute_state is DisputeState.OPEN:
        raise DomainRefusal(
            f"{before.number} is disputed.",
            hint=f"Type: dealreg dispute decide {before.number} cancel --reason …",
        )
    after = replace(
        before,
        state=advance(before.state, Move.CANCEL, before.number),
        reason_code=reason.value,
        partner_message=reason_text(reason),
    )
    after = protection.release(unit, after, ProtectionState.RELEASED)
    return saved(
        unit, after, "cancel", {"reason": reason.value, "note": note},
        partner={"state": "Cancelled", "message": after.partner_message},
    )  # fmt: skip


def _cannot(registration: Registration, what: str) -> DomainRefusal:
    return DomainRefusal(
        f"The protection of {registration.number} is {registration.protection_state.value} "
        f"and cannot be {what}.",
        hint=f"Type: dealreg registration show {registration.number}",
    )
