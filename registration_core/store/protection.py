"""One protection where the program says exclusive (law 7): claims, slots, and the lock.

Check-then-insert protects twice; so every decision about claims is made while holding one
store-wide lock, and a partial unique index stands behind it. On SQLite the write transaction
itself is the lock; on PostgreSQL the row is locked. Whoever may touch a claim takes this lock
before it locks a registration; the other order would deadlock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta

from sqlalchemy import select

from registration_core.claims import ClaimState
from registration_core.errors import AlreadyProtected, DomainRefusal, NotAllowed
from registration_core.finding_claims import Rival
from registration_core.matching import Relation, account_keys, customer_keys
from registration_core.model import Account, ConflictCheck, ProtectionState, Registration
from registration_core.program import Exclusivity, Program
from registration_core.store import customers, repository
from registration_core.store.database import UnitOfWork
from registration_core.store.rivals import rivals_for
from registration_core.store.tables import ClaimRow, StoreLockRow

_LOCK = "protection"
#: Evidence that two customers are two, whatever else agrees.
_OTHERS = ("other_tax_id", "other_duns")


def hold_lock(unit: UnitOfWork) -> StoreLockRow:
    """Take the store-wide protection lock until the commit, and return its row."""
    row = unit.lock(StoreLockRow, _LOCK)
    assert row is not None, "the migrations make the protection lock"
    return row


def next_receipt(unit: UnitOfWork) -> int:
    """Allocate the next receipt sequence number; gapless in the order of commits."""
    row = hold_lock(unit)
    row.receipt_seq += 1
    return row.receipt_seq


def claim(
    unit: UnitOfWork,
    registration: Registration,
    program: Program,
    starts_on: date,
    check: ConflictCheck | None = None,
) -> Registration:
    """Give a registration its claim, under the lock; `AlreadyProtected` if no slot is free.

    The customer and the clash are resolved again here, because both may have moved since the
    check, and the customer learns the identifiers of its accounts. Whoever is protected through one
    of these, or of the accounts that the check took for the customer or perhaps for it, takes a slot
    until a person says that it is another customer. Returns the registration with its protection;
    the caller saves it.
    """
    hold_lock(unit)
    line = program.product_lines.get(registration.product_line)
    if line is None:
        raise NotAllowed(
            f"{program.name} has no product line {registration.product_line} any more, "
            f"so {registration.number} cannot be protected.",
            hint=f"Type: dealreg approval reject {registration.number} --reason PRODUCT_NOT_ELIGIBLE",
        )
    customer_id = customers.resolve(
        unit,
        registration.customer.name,
        customer_keys(registration.customer),
        known=registration.customer_id,
    )
    for connection, record_id in registration.accounts.items():
        account = repository.account(unit.session, connection, record_id)
        if account is not None:
            customers.learn(unit, customer_id, account_keys(account))
    ends_on = starts_on + timedelta(days=program.protection_days)
    if line.exclusivity is not Exclusivity.OPEN:
        meant = replace(registration, customer_id=customer_id)
        slot = _free_slot(unit, meant, line.slots, check)
        unit.session.add(
            ClaimRow(
                id=unit.ids.new(),
                registration_id=registration.id,
                customer_id=customer_id,
                product_line=registration.product_line,
                slot=slot,
                state=ClaimState.STANDING.value,
                starts_on=starts_on,
                ends_on=ends_on,
            )
        )
        unit.session.flush()
    return replace(
        registration,
        customer_id=customer_id,
        protection_state=ProtectionState.ACTIVE,
        protection_starts_on=starts_on,
        protection_ends_on=ends_on,
    )


def take_over(unit: UnitOfWork, registration: Registration, program: Program) -> bool:
    """Give a registration the claim that it had in another system; True where it has to be disputed.

    Where every slot is another's, no one is the loser: that one's claim is contested with it. The
    registration carries its customer and dates already, and is kept; the caller keeps its state.
    """
    hold_lock(unit)
    line = program.product_lines[registration.product_line]
    if line.exclusivity is Exclusivity.OPEN:
        return False
    customer_id = registration.customer_id
    taken = repository.standing_claims(unit.session, customer_id, line.code)
    free = set(range(1, line.slots + 1)) - {claim.slot for claim in taken}
    contested = len(taken) >= line.slots or not free
    if contested:
        for claimed in unit.session.scalars(
            select(ClaimRow)
            .where(ClaimRow.id.in_([claim.id for claim in taken]))
            .order_by(ClaimRow.registration_id)
        ):
            customers.contest(unit, claimed, "another system protected somebody else as well")
    unit.session.add(
        ClaimRow(
            id=unit.ids.new(), registration_id=registration.id, customer_id=customer_id,
            product_line=line.code, slot=min(free, default=1),
            state=(ClaimState.CONTESTED if contested else ClaimState.STANDING).value,
            starts_on=registration.protection_starts_on, ends_on=registration.protection_ends_on,
        )
    )  # fmt: skip
    unit.session.flush()
    return contested


def extend(unit: UnitOfWork, registration: Registration, days: int) -> Registration:
    """Move the end of a running protection; the caller saves it."""
    hold_lock(unit)
    running = (ProtectionState.ACTIVE, ProtectionState.EXPIRING)
    if registration.protection_ends_on is None or registration.protection_state not in running:
        raise DomainRefusal(
            f"The protection of {registration.number} is {registration.protection_state.value} "
            "and cannot be extended.",
            hint=f"Type: dealreg registration show {registration.number}",
        )
    ends_on = registration.protection_ends_on + timedelta(days=days)
    for row in _claims_of(unit, registration.id):
        row.ends_on = ends_on
    return replace(
        registration, protection_ends_on=ends_on, protection_state=ProtectionState.ACTIVE
    )


def stand_again(unit: UnitOfWork, registration: Registration, program: Program) -> Registration:
    """Give an approved registration its claim back that a dispute took; the caller saves it.

    Nothing where it stands. `AlreadyProtected` where every slot is another's, contested or not.
    """
    if registration.protection_state is ProtectionState.CONTESTED:
        line = program.product_lines[registration.product_line]
        slot = _free_slot(unit, registration, line.slots, None)
        for row in _claims_of(unit, registration.id):
            row.slot, row.state = slot, ClaimState.STANDING.value
        unit.session.flush()
        return replace(registration, protection_state=ProtectionState.ACTIVE)
    if registration.protection_state.standing:
        return registration
    return claim(unit, registration, program, unit.now.date())


def release(unit: UnitOfWork, registration: Registration, to: ProtectionState) -> Registration:
    """Free every slot of a registration; the caller saves it. Idempotent."""
    hold_lock(unit)
    for row in _claims_of(unit, registration.id):
        row.state = ClaimState.RELEASED.value
    return replace(registration, protection_state=to)


def _claims_of(unit: UnitOfWork, registration_id: str) -> list[ClaimRow]:
    return list(
        unit.session.scalars(
            select(ClaimRow).where(
                ClaimRow.registration_id == registration_id,
                ClaimRow.state != ClaimState.RELEASED.value,
            )
        )
    )


def _free_slot(
    unit: UnitOfWork, registration: Registration, slots: int, check: ConflictCheck | None
) -> int:
    customer_id = registration.customer_id
    taken = repository.standing_claims(unit.session, customer_id, registration.product_line)
    others = [claim for claim in taken if claim.registration_id != registration.id]
    if len(others) >= slots:  # contested claims may stand on the same slot
        raise AlreadyProtected(
            f"{registration.number} cannot be protected: every slot for {registration.customer.name} "
            f"and {registration.product_line} is taken.",
            hint=f"Type: dealreg approval reject {registration.number} --reason DUP_ACTIVE",
        )
    perhaps = _perhaps_the_same(unit, registration, _accounts_of(unit, registration, check))
    if perhaps and len(others) + len(perhaps) >= slots:
        other = perhaps[0].registration
        raise AlreadyProtected(
            f"{registration.number} may be about the customer of {other.number}, which is protected.",
            hint=f"Say whether it is: dealreg match deny {registration.number} {other.number} "
            f"--reason …, or: dealreg match confirm …",
        )
    return min(set(range(1, slots + 1)) - {claim.slot for claim in others})


def _accounts_of(
    unit: UnitOfWork, registration: Registration, check: ConflictCheck | None
) -> list[Account]:
    """Return the accounts that are the registration's customer, or perhaps, as far as is known."""
    named = dict.fromkeys(registration.accounts.items())
    if check is not None:
        named |= dict.fromkeys(check.accounts.items())
        named |= dict.fromkeys(
            (f.connection, f.record_id) for f in check.findings if f.connection and f.record_id
        )
    accounts = (repository.account(unit.session, name, record) for name, record in named)
    return [account for account in accounts if account is not None]


def _perhaps_the_same(
    unit: UnitOfWork, registration: Registration, seen: Iterable[Account]
) -> list[Rival]:
    """Return who is protected for a customer that may be this one, and nobody has said if it is."""
    known = customer_keys(registration.customer) | repository.keys_of_customer(
        unit.session, registration.customer_id
    )
    return [
        rival
        for rival in rivals_for(unit.session, registration, known, seen)
        if rival.registration.customer_id != registration.customer_id
        and rival.registration.product_line == registration.product_line
        and rival.registration.protection_state.standing
        and rival.match.relation in (Relation.SAME, Relation.POSSIBLY)
        # Another identifier is another company: worth a look, but nobody has to say so.
        and not any(piece.kind in _OTHERS for piece in rival.match.evidence)
    ]
