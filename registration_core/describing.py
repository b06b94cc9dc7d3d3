"""What a partner says besides of a pending registration's customer, or corrects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from registration_core.errors import InvalidInput, NotAllowed
from registration_core.finding_claims import PENDING
from registration_core.matching import customer_keys
from registration_core.model import Customer, Registration
from registration_core.recording import locked, saved
from registration_core.store import customers, protection, repository, work
from registration_core.store.database import UnitOfWork
from registration_core.submission import (
    FACTS,
    customer_in_nfc,
    wrong_facts,
)


def describe(
    unit: UnitOfWork, number: str, said: Mapping[str, Any], expected_version: int | None = None
) -> Registration:
    """Replace facts of the customer, by the names of `Customer`; the name and the country stay.

    The registration is checked again, and a check from before counts no more. Where a tax id, DUNS
    number or domain was taken back, it is resolved anew to whom the rest identifies. Idempotent.

    Raises:
        NotAllowed: It is decided on already: what follows hangs on the customer that was checked.
        InvalidInput: The first fact that cannot be kept.
    """
    protection.hold_lock(unit)  # customers are resolved under it
    before = locked(unit, number, expected_version)
    if before.state not in PENDING:
        raise NotAllowed(
            f"{before.number} is {before.state.value}: its customer was decided on as it is.",
            hint=f"Look at it: dealreg registration show {before.number}",
        )
    if unknown := sorted(said.keys() - set(FACTS)):
        raise InvalidInput(
            f"{unknown[0]} cannot be changed.",
            field=unknown[0],
            hint=f"One of: {', '.join(FACTS)}.",
        )
    told = customer_in_nfc(Customer(before.customer.name, **said))
    for name, what, remedy in wrong_facts(told):
        raise InvalidInput(f"{name}: {what}.", field=name, hint=remedy)
    customer = customers.with_contacts_domain(
        unit.session,
        replace(before.customer, **{name: getattr(told, name) for name in said}),
        repository.partner_by_id(unit.session, before.partner_id),
        before.contact_email,
    )
    if customer == before.customer:
        return before
    work.request_check(unit, before.id, "its customer was described anew")
    after = replace(before, customer=customer, customer_id=_resolved(unit, before, customer))
    changed = [name for name in FACTS if getattr(customer, name) != getattr(before.customer, name)]
    return saved(
        unit, after, "describe customer",
        {
            "changes": {
                name: [getattr(before.customer, name), getattr(customer, name)]
                for name in changed
                if name != "phone"
            }
        },
        partner={"described": changed},
        personal={"phone": customer.phone} if "phone" in changed and customer.phone else {},
    )  # fmt: skip


def _resolved(unit: UnitOfWork, before: Registration, customer: Customer) -> str:
    """Return the id of the customer: another one where what identified it was taken back."""
    keys = customer_keys(customer)
    if not customer_keys(before.customer) <= keys:
        customers.leave(unit, before)
        return customers.resolve(unit, customer.name, keys)
    return customers.resolve(unit, customer.name, keys, before.customer_id)
