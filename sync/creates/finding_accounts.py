"""The account that a deal was approved without and a later check finds, before its record is made.

A CRM's search may show an account only after the check that the approval rests on. The record is
then made on it, or linked with what is there already, and not beside it. Records that are there
are left as they are.
"""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import select

from registration_core import recording
from registration_core.contracts import ConnectionName
from registration_core.model import ConflictCheck, Registration, RegistrationState
from registration_core.program import Role
from registration_core.store.database import UnitOfWork
from sync.ledger.tables import LinkRow
from sync.proposals import proposing


def take(unit: UnitOfWork, registration: Registration, check: ConflictCheck) -> Registration:
    """Let an approved registration stand on the accounts that a check of its customer chose.

    Only where it has none, and neither a record nor a create under way; what could not be read
    completely chooses nothing. Idempotent. The caller holds the registration.
    """
    if (
        registration.state is not RegistrationState.APPROVED
        or check.customer != registration.customer
    ):
        return registration
    read = {reading.connection for reading in check.readings if reading.complete}
    found = {
        name: record_id
        for name, record_id in check.accounts.items()
        if name in read
        and name not in registration.accounts
        and registration.roles.get(name, Role.CHECK_ONLY) is not Role.CHECK_ONLY
        and not _is_there(unit, registration, name)
    }
    if not found:
        return registration
    return recording.saved(
        unit,
        replace(registration, accounts={**registration.accounts, **found}),
        "find account",
        {"check": check.id, "accounts": found},
    )


def too_early(unit: UnitOfWork, registration: Registration, check: ConflictCheck) -> bool:
    """Whether a create under way, which may come to nothing, keeps an account from being taken."""
    return any(
        name not in registration.accounts
        and proposing.being_made(unit.session, name, [registration.id])
        for name in check.accounts
    )


def _is_there(unit: UnitOfWork, registration: Registration, connection: ConnectionName) -> bool:
    linked = select(LinkRow.id).where(
        LinkRow.registration_id == registration.id,
        LinkRow.connection == connection,
        LinkRow.role == "primary",
    )
    if unit.session.scalars(linked).first() is not None:
        return True
    return bool(proposing.being_made(unit.session, connection, [registration.id]))
