"""A person's word on a match: this account, or the customer of that registration, is it or not.

Joins the caller's transaction. The word is remembered for the customer, audited, and honoured by
every later check; a check from before it counts no more.
"""

from __future__ import annotations

from dataclasses import replace

from registration_core.conflict_check import require_decider
from registration_core.contracts import ConnectionName
from registration_core.errors import InvalidInput, NotAllowed, NotFound
from registration_core.matching import account_keys, customer_keys
from registration_core.model import Account, Registration
from registration_core.store import (
    audit,
    customers,
    match_decisions,
    protection,
    repository,
    work,
)
from registration_core.store.database import UnitOfWork

_IDENTIFYING = ("tax_id", "duns")


def confirm(unit: UnitOfWork, number: str, other: str, reason: str) -> Registration:
    """Say that it is the same customer: `other` is a registration's number or CONNECTION:RECORD.

    Two customers become one; claims that overlap by that are contested, with no automatic loser.
    """
    before, found = _both(unit, number, other, reason)
    if isinstance(found, Registration):
        match_decisions.keep(
            unit, before.customer_id, match_decisions.customer_key(found.customer_id),
            same=True, reason=reason,
        )  # fmt: skip
        if found.customer_id != before.customer_id:
            customers.join(unit, loser=found.customer_id, winner=before.customer_id)
        return _noted(unit, before.id, found, "confirm match", other, reason)
    match_decisions.keep(
        unit, before.customer_id, match_decisions.account_key(found), same=True, reason=reason
    )
    customers.learn(unit, before.customer_id, account_keys(found))
    return _noted(unit, before.id, found, "confirm match", other, reason)


def deny(unit: UnitOfWork, number: str, other: str, reason: str) -> Registration:
    """Say that it is another customer; two registrations of one customer are parted.

    `NotAllowed` where both were typed with one tax id or DUNS number: correct that first.
    """
    before, found = _both(unit, number, other, reason)
    if isinstance(found, Account):
        key = match_decisions.account_key(found)
        match_decisions.keep(unit, before.customer_id, key, same=False, reason=reason)
        return _noted(unit, before.id, found, "deny match", other, reason)
    if found.customer_id == before.customer_id:
        both = customer_keys(before.customer) & customer_keys(found.customer)
        shared = sorted(key.kind for key in both if key.kind in _IDENTIFYING)
        if shared:
            raise NotAllowed(
                f"{before.number} and {found.number} carry the same {shared[0].replace('_', ' ')}.",
                hint="One of the two was registered with a wrong one: withdraw it.",
            )
        before = repository.save(
            unit.session, replace(before, customer_id=customers.split(unit, before)), unit.now
        )
    match_decisions.keep(
        unit, before.customer_id, match_decisions.customer_key(found.customer_id),
        same=False, reason=reason,
    )  # fmt: skip
    return _noted(unit, before.id, found, "deny match", other, reason)


def _both(
    unit: UnitOfWork, number: str, other: str, reason: str
) -> tuple[Registration, Registration | Account]:
    """Read both sides under the lock, and refuse who may not decide on the registration."""
    if not reason.strip():
        raise InvalidInput("Say why: it is kept and shown with every later check.", field="reason")
    protection.hold_lock(unit)
    before = repository.registration(unit.session, number, lock=True)
    # Who may not approve past a list must not be able to argue it away either.
    require_decider(unit.actor, before, repository.last_check(unit.session, before.id))
    connection, colon, record_id = other.partition(":")
    if not colon:
        found = repository.registration(unit.session, other)
        if found.id == before.id:
            raise InvalidInput(f"{before.number} is itself.", field="other")
        return before, found
    account = repository.account(unit.session, ConnectionName(connection), record_id)
    if account is None:
        raise NotFound(
            f"There is no account {record_id} of {connection} in the account directory.",
            hint=f"Type: dealreg registration show {before.number}",
        )
    return before, account


def _noted(
    unit: UnitOfWork,
    registration_id: str,
    found: Registration | Account,
    action: str,
    other: str,
    reason: str,
) -> Registration:
    """Audit the word, make earlier checks count no more, and ask for new ones."""
    held = repository.registration(unit.session, registration_id, lock=True)
    saved = repository.save(unit.session, replace(held, match_keys_changed_at=unit.now), unit.now)
    told = {saved.id: other}
    if isinstance(found, Registration) and found.state.live:
        told[found.id] = saved.number
    for about in sorted(told):  # as others hold them: no circle of waiting
        what = {"other": told[about], "reason": reason}
        audit.record(unit, f"registration:{about}", action, what)
    work.request_checks(unit, dict.fromkeys(told, "a match was decided"))
    return saved
