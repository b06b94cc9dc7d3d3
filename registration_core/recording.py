"""How every verb reads and keeps a registration: locked, saved, audited, announced and pushed."""

from __future__ import annotations

from collections.abc import Mapping

from registration_core.errors import StaleVersion
from registration_core.model import Registration
from registration_core.store import announcements, audit, repository, work
from registration_core.store.database import UnitOfWork


def subject_of(registration: Registration) -> str:
    """Return the audit subject of a registration."""
    return f"registration:{registration.id}"


def locked(unit: UnitOfWork, number: str, expected_version: int | None) -> Registration:
    """Return a registration, held until the commit; `StaleVersion` if somebody was faster."""
    found = repository.registration(unit.session, number, lock=True)
    if expected_version is not None and found.version != expected_version:
        raise StaleVersion(
            f"{found.number} was changed by somebody else (version {found.version}, not {expected_version}).",
            hint=f"Look at it again: dealreg registration show {found.number}",
        )
    return found


def personal_of(registration: Registration) -> dict[str, str]:
    """Return what the trail keeps apart, so that it can be erased: the contact, and the phone."""
    values = {
        "contact_name": registration.contact_name,
        "contact_email": registration.contact_email,
        "phone": registration.customer.phone,
    }
    return {name: value for name, value in values.items() if value}


def recorded(
    unit: UnitOfWork,
    registration: Registration,
    action: str,
    internal: Mapping[str, object],
    *,
    partner: Mapping[str, object] | None = None,
    personal: Mapping[str, str] | None = None,
) -> None:
    """Record what was done to a registration, and announce it if people are told of such a thing."""
    audit.record(
        unit, subject_of(registration), action, internal, partner=partner, personal=personal
    )
    announcements.announce_action(unit, registration, action, to_partner=bool(partner))


def saved(
    unit: UnitOfWork,
    registration: Registration,
    action: str,
    internal: Mapping[str, object],
    partner: Mapping[str, object] | None = None,
    personal: Mapping[str, str] | None = None,
) -> Registration:
    """Keep a changed registration with its audit event, announce it, and ask for it to be pushed."""
    kept = repository.save(unit.session, registration, unit.now)
    recorded(unit, kept, action, internal, partner=partner, personal=personal)
    work.request_push(unit, kept)
    return kept


def new_number(unit: UnitOfWork) -> str:
    """Return a public number that no registration has."""
    number = unit.ids.number()
    while repository.number_exists(unit.session, number):
        number = unit.ids.number()
    return number
