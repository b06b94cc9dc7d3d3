"""What people and the clock do to protections: extend, suspend, end.

Each verb joins the caller's transaction and takes the protection lock before it locks a
registration. Claims themselves are kept by `store/protection.py`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from registration_core.errors import InvalidInput
from registration_core.lifecycle import Move, advance
from registration_core.model import ProtectionState, Registration
from registration_core.recording import locked, saved
from registration_core.store import protection, repository
from registration_core.store.database import UnitOfWork


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


def expire_due(unit: UnitOfWork, warn_days: int = 14) -> list[Registration]:
    """Expire protections that ended before today and flag those that end within `warn_days`."""
    protection.hold_lock(unit)
    today, changed = unit.now.date(), []
    warn_until = today + timedelta(days=warn_days)
    ending = repository.protections_ending(unit.session, today, warn_until)
    for found in sorted(ending, key=lambda r: r.id):  # as a push locks them: no circle of waiting
        before = locked(unit, found.id, None)
        if before.protection_ends_on is not None and before.protection_ends_on < today:
            after = replace(before, state=advance(before.state, Move.EXPIRE, before.number))
            after = protection.release(unit, after, ProtectionState.EXPIRED)
            changed.append(saved(unit, after, "expire", {}, partner={"state": "Expired"}))
        else:
            after = replace(before, protection_state=ProtectionState.EXPIRING)
            ends = {"protected_until": str(before.protection_ends_on)}
            changed.append(saved(unit, after, "expiring soon", ends, partner=ends))
    return changed
