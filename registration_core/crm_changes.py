"""What a CRM's users change about a registration, taken through the lifecycle.

The field group is the unit: a group that the lifecycle refuses is told back and the other
groups flow. Closing in the home CRM closes the registration, records the attribution once and
frees the protection; reopening takes the protection again, or opens a dispute without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from registration_core import recording
from registration_core.contracts import ConnectionName, Fields
from registration_core.customer_fields import fields_of
from registration_core.errors import AlreadyProtected, DomainRefusal, InvalidInput
from registration_core.fields import FieldGroup, SalesStage
from registration_core.lifecycle import Move, advance
from registration_core.matching import account_keys
from registration_core.model import (
    DisputeState,
    Partner,
    ProtectionState,
    Registration,
    RegistrationState,
)
from registration_core.program import Program, Role
from registration_core.recording import subject_of
from registration_core.store import (
    attribution,
    audit,
    customers,
    disputes,
    protection,
    repository,
    work,
)
from registration_core.store.database import UnitOfWork
from registration_core.store.types import is_exact
from registration_core.submission import AMOUNT_BELOW, wrong_deal, wrong_own

#: What a CRM may change, the type, and the longest text that is kept, in characters.
_HELD: Mapping[str, tuple[type, int]] = {
    "deal_name": (str, 255),
    "amount": (Decimal, 0),
    "currency": (str, 3),
    "expected_close_on": (date, 0),
    "actual_close_on": (date, 0),
    "won_amount": (Decimal, 0),
    "loss_reason": (str, 255),
}
_MAY_BE_EMPTY = frozenset({"actual_close_on", "won_amount", "loss_reason"})


@dataclass(frozen=True)
class Applied:
    """The registration after a CRM's changes, and the groups that were refused, with reasons."""

    registration: Registration
    refused: Mapping[FieldGroup, str]


def canonical(
    registration: Registration,
    connection: ConnectionName,
    program: Program | None,
    partner: Partner | None = None,
) -> Fields:
    """Return the registration's fields as one connection should hold them.

    Every own field of its program is among them, empty where it was never given: one that is
    missing would take no part in a merge. Without the program, because it is not configured any
    more, they are those that were given. Without the partner, what is said of the partner is empty.
    """
    r = registration
    return {
        "registration_id": r.id,
        "registration_number": r.number,
        "registration_state": r.state.value,
        "reason_code": r.reason_code,
        "partner_message": r.partner_message,
        "protection_state": r.protection_state.value,
        # What protects nobody any more has no days in a CRM; here they are kept.
        "protection_starts_on": r.protection_starts_on if r.protection_state.standing else None,
        "protection_ends_on": r.protection_ends_on if r.protection_state.standing else None,
        "partner_name": partner.name if partner else "",
        "partner_code": partner.code if partner else "",
        "partner_tier": partner.tier if partner else "",
        "deal_name": r.deal_name,
        "owner": r.owners.get(connection),
        "sales_stage": r.sales_stage.value,
        "actual_close_on": r.actual_close_on,
        "won_amount": r.won_amount,
        "loss_reason": r.loss_reason,
        "amount": r.amount,
        "currency": r.currency,
        "expected_close_on": r.expected_close_on,
        "account": r.accounts.get(connection),
        **fields_of(r.customer),
        "contact_name": r.contact_name or None,
        "contact_email": r.contact_email or None,
        "product_line": r.product_line,
        "description": r.description or None,
        **dict.fromkeys(program.custom_fields if program else ()),
        **r.custom,
    }


def apply(
    unit: UnitOfWork,
    registration: Registration,
    connection: ConnectionName,
    changes: Mapping[FieldGroup, Fields],
    program: Program,
) -> Applied:
    """Take the changes of each group from a CRM.

    The caller has locked the registration, and before that, where the stage is among the
    changes, the store (`protection.hold_lock`): closing and reopening move claims. Idempotent:
    changes that already hold change nothing.
    """
    current, refused, taken = registration, dict[FieldGroup, str](), dict[str, str]()
    # The stage last: closing freezes the amount that came with it.
    for group, fields in sorted(changes.items(), key=lambda change: change[0] is FieldGroup.STAGE):
        try:
            changed = _take(unit, current, connection, group, fields, program)
        except DomainRefusal as refusal:
            refused[group] = refusal.message
            continue
        if changed != current:
            taken |= {name: str(value) for name, value in fields.items()}
            current = changed
    if current == registration:
        return Applied(registration, refused)
    saved = repository.save(unit.session, current, unit.now)
    audit.record(
        unit, subject_of(saved), "change in CRM", {"connection": connection, "changes": taken}
    )
    work.request_push(unit, saved)
    return Applied(saved, refused)


def convert(unit: UnitOfWork, registration: Registration, because: str) -> Registration:
    """Note that the home CRM has taken the deal over; idempotent. The caller holds the lock."""
    if registration.converted_at is not None:
        return registration
    return recording.saved(
        unit, replace(registration, converted_at=unit.now), "convert", {"because": because}
    )


def follow_merged_accounts(
    unit: UnitOfWork, connection: ConnectionName, merged: Mapping[str, str]
) -> set[str]:
    """Let registrations stand on the last survivors (by loser) of accounts that a CRM has merged.

    Their customers learn the survivors' identifiers, which may show that two are one. Returns
    whose standing claim the caller has to have checked again. Idempotent.
    """
    standing: set[str] = set()
    affected = customers.standing_on(unit.session, connection, merged)
    if affected:
        protection.hold_lock(unit)
    for key in affected:
        before = repository.registration(unit.session, key, lock=True)
        survivor = merged[before.accounts[connection]]
        account = repository.account(unit.session, connection, survivor)
        if account is not None:
            customers.learn(unit, before.customer_id, account_keys(account))
            before = repository.registration(unit.session, key, lock=True)  # perhaps contested now
        recording.saved(
            unit,
            replace(before, accounts=_with(before.accounts, connection, survivor)),
            "follow account merge",
            {"connection": connection, "from": before.accounts[connection], "to": survivor},
        )
        if before.protection_state.standing:
            standing.add(key)
    return standing


def _take(
    unit: UnitOfWork,
    before: Registration,
    connection: ConnectionName,
    group: FieldGroup,
    fields: Fields,
    program: Program,
) -> Registration:
    if group is FieldGroup.STAGE:
        return _stage(unit, before, connection, fields, program)
    if group is FieldGroup.OWNER:
        return replace(before, owners=_with(before.owners, connection, fields["owner"]))
    if group is FieldGroup.ACCOUNT:
        accounts = _with(before.accounts, connection, fields["account"])
        if accounts != before.accounts:
            work.request_check(unit, before.id, f"the account was changed in {connection}")
        return replace(before, accounts=accounts)
    if group is FieldGroup.DETAILS:
        return _details(unit, before, connection, fields, program)
    return replace(before, **_checked(fields))


def _details(
    unit: UnitOfWork,
    before: Registration,
    connection: ConnectionName,
    fields: Fields,
    program: Program,
) -> Registration:
    """Take the description and the program's own fields; whom a partner named stays as it was."""
    held = canonical(before, connection, program)
    changed = {name: value for name, value in fields.items() if held.get(name) != value}
    own = {name: value for name, value in changed.items() if name in program.custom_fields}
    for name in sorted(changed.keys() - own.keys() - {"description"}):
        raise InvalidInput(f"{name} is not changed by a CRM.", field=name)
    description = changed.get("description", before.description) or ""
    wrong = [
        *wrong_deal({"description": description}, program),
        *(w for name, value in own.items() for w in wrong_own(program.custom_fields[name], value)),
    ]
    for name, what, remedy in wrong:
        raise InvalidInput(f"{name}: {what}.", field=name, hint=remedy)
    if program.tender_field in own:
        work.request_check(unit, before.id, f"{program.tender_field} was changed in {connection}")
    # One that was emptied stays with no value: left out, it would be emptied nowhere else.
    return replace(before, description=str(description), custom={**before.custom, **own})


def _checked(fields: Fields) -> dict[str, Any]:
    """Refuse values that a registration cannot hold."""
    for name, value in fields.items():
        if name not in _HELD:
            raise InvalidInput(f"{name} is not changed by a CRM.", field=name)
        if value is None and name in _MAY_BE_EMPTY:
            continue
        kind, length_max = _HELD[name]
        fits = isinstance(value, kind) and not isinstance(value, datetime)
        if isinstance(value, str):
            fits = fits and 0 < len(value) <= length_max and "\x00" not in value
        elif isinstance(value, Decimal):
            fits = fits and is_exact(value) and abs(value) < AMOUNT_BELOW
        if not fits:
            raise InvalidInput(f"{name} cannot be {value!r}.", field=name)
    return dict(fields)


def _with(
    ids: Mapping[ConnectionName, str], connection: ConnectionName, value: object
) -> dict[ConnectionName, str]:
    rest = {name: record_id for name, record_id in ids.items() if name != connection}
    return rest if value is None else {**rest, connection: str(value)}


def _stage(
    unit: UnitOfWork,
    before: Registration,
    connection: ConnectionName,
    fields: Fields,
    program: Program,
) -> Registration:
    named = fields.get("sales_stage", before.sales_stage.value)
    if not isinstance(named, str) or named not in list(SalesStage):
        raise InvalidInput(f"sales_stage cannot be {named!r}.", field="sales_stage")
    stage = SalesStage(named)
    rest = _checked({name: value for name, value in fields.items() if name != "sales_stage"})
    if stage is before.sales_stage:
        return replace(before, **rest)
    close: dict[str, Any] = {"actual_close_on": None, "won_amount": None, "loss_reason": None}
    after = replace(before, **{**close, **rest}, sales_stage=stage)
    if before.roles.get(connection) is Role.HOME and after.converted_at is None:
        after = replace(after, converted_at=unit.now)
    if before.sales_stage.closed and before.state is not RegistrationState.APPROVED:
        after = _reopen(unit, after, program, takes_claim=not stage.closed)
    if not stage.closed:
        return replace(after, **close)
    move = Move.WIN if stage is SalesStage.WON else Move.LOSE
    after = replace(
        after,
        state=advance(after.state, move, after.number),
        actual_close_on=after.actual_close_on or unit.now.date(),
    )
    if stage is SalesStage.WON:
        after = replace(
            after, won_amount=after.won_amount if after.won_amount is not None else after.amount
        )
        attribution.record(unit, after)
    return protection.release(unit, after, ProtectionState.RELEASED)


def _reopen(
    unit: UnitOfWork, closed: Registration, program: Program, *, takes_claim: bool
) -> Registration:
    """Open a closed deal again; one that goes from won to lost or back takes no claim."""
    state = advance(closed.state, Move.REOPEN, closed.number)
    reopened = replace(closed, state=state)
    try:
        if takes_claim:
            reopened = protection.claim(unit, reopened, program, starts_on=unit.now.date())
    except AlreadyProtected as refusal:
        because = f"reopened, but {refusal.message}"
        disputes.note(unit, closed.id, because)
        reopened = replace(reopened, dispute_state=DisputeState.OPEN)
        recording.recorded(unit, reopened, "open dispute", {"because": because})
    attribution.reverse(unit, closed.id)
    return reopened
