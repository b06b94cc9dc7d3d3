"""Registrations of another system, taken over as they stood there.

Dates, order, expiry and state are the other system's: no clock starts anew and nobody is told. A
protection that still runs was checked by nobody here; it stands all the same, is checked at once,
and where two overlap both are contested and a person decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from registration_core.contracts import ConnectionName
from registration_core.errors import InvalidInput, NotAllowed
from registration_core.fields import SalesStage
from registration_core.findings import FindingKind
from registration_core.matching import account_keys, customer_keys
from registration_core.model import (
    ConflictCheck,
    DisputeState,
    Finding,
    Partner,
    ProtectionState,
    Registration,
    RegistrationState,
)
from registration_core.overriding import PEOPLE
from registration_core.program import Program
from registration_core.recording import new_number, personal_of, saved, subject_of
from registration_core.store import audit, customers, disputes, protection, repository, work
from registration_core.store.database import UnitOfWork
from registration_core.store.tables import CutOverRow
from registration_core.submission import (
    Submission,
    in_nfc,
    registered,
    require_readable,
)

#: Who submitted a registration that was taken over: nobody here, who could not decide on it then.
ELSEWHERE = "another system"

_STAGE = {
    RegistrationState.CLOSED_WON: SalesStage.WON,
    RegistrationState.CLOSED_LOST: SalesStage.LOST,
}


@dataclass(frozen=True)
class Legacy:
    """One registration of another system; the submission's token is its reference there."""

    submission: Submission
    state: RegistrationState
    submitted_at: datetime
    decided_on: date | None = None
    protected_from: date | None = None
    protected_until: date | None = None
    #: Day it was won or lost.
    closed_on: date | None = None
    #: Its account in CRMs, where the other system knew it.
    accounts: Mapping[ConnectionName, str] = field(default_factory=dict)

    @property
    def stands(self) -> bool:
        """Whether it keeps others out."""
        return self.state is RegistrationState.APPROVED


def agree(unit: UnitOfWork, digest: str) -> int:
    """Say as a person that a file with standing protections is right; returns how many have.

    It takes `PEOPLE` operating-system users, who say so of the very same file. Idempotent by person.
    """
    user = unit.actor.os_user
    if not user:
        raise NotAllowed("Nobody knows who you are on this machine, so you cannot be one of two.")
    unit.hold(f"cut-over:{digest}")
    row = unit.session.get(CutOverRow, digest)
    if row is None:
        row = CutOverRow(
            digest=digest, first_by=user, first_at=unit.now, second_by="", second_at=None
        )
        unit.session.add(row)
    elif not row.second_by and user != row.first_by:
        row.second_by, row.second_at = user, unit.now
    else:
        return PEOPLE if row.second_by else PEOPLE - 1
    unit.session.flush()
    people = PEOPLE if row.second_by else PEOPLE - 1
    audit.record(unit, f"cut-over:{digest[:16]}", "agree", {"os_user": user, "people": people})
    return people


def land(unit: UnitOfWork, legacy: Legacy, program: Program) -> tuple[Registration, bool]:
    """Take one registration over; returns it and whether it is new.

    Idempotent by partner and reference. Land them in their original order: each takes the next
    receipt.
    """
    partner = repository.partner(unit.session, legacy.submission.partner_code)
    protection.hold_lock(unit)
    known = repository.registration_by_token(unit.session, partner.id, legacy.submission.token)
    if known is not None:
        return known, False
    legacy = replace(legacy, submission=in_nfc(legacy.submission))
    require_readable(legacy.submission, program)
    _require_consistent(legacy, unit.now)
    made = _registration(unit, legacy, program, partner)
    repository.add_registration(unit.session, made, legacy.submission.token)
    audit.record(
        unit, subject_of(made), "take over",
        {
            "number": made.number, "partner": partner.code, "customer": made.customer.name,
            "reference": legacy.submission.token, "state": made.state.value,
            "submitted_at": made.submitted_at.isoformat(), "receipt_seq": made.receipt_seq,
            "amount": made.amount, "currency": made.currency,
        },
        partner={"number": made.number, "customer": made.customer.name},
        personal=personal_of(made),
    )  # fmt: skip
    if made.state.live:
        work.request_check(unit, made.id, "taken over and not checked yet")
    if legacy.stands:
        made = _protect(unit, made, program)
    return made, True


def first_checked(
    unit: UnitOfWork, registration: Registration, check: ConflictCheck
) -> Registration:
    """Take what the first check of a registration that was taken over knows, as an approval does."""
    accounts = {**check.accounts, **registration.accounts}
    for connection, record_id in accounts.items():
        account = repository.account(unit.session, connection, record_id)
        if account is not None:
            customers.learn(unit, registration.customer_id, account_keys(account))
    now = repository.locked(unit, registration.id)
    if accounts == now.accounts:
        return now
    return saved(unit, replace(now, accounts=accounts), "first check", {"accounts": accounts})


def to_dispute(findings: Sequence[Finding]) -> list[Finding]:
    """Return what a first check disputes; whose an open opportunity is, the link search asks."""
    asked = (FindingKind.OPEN_OPPORTUNITY, FindingKind.STALE_OPPORTUNITY)
    return [finding for finding in findings if finding.kind not in asked]


def _registration(
    unit: UnitOfWork, legacy: Legacy, program: Program, partner: Partner
) -> Registration:
    deal, state = legacy.submission, legacy.state
    customer = customers.with_contacts_domain(
        unit.session, deal.customer, partner, deal.contact_email
    )
    decided_on = legacy.decided_on or legacy.protected_from
    return Registration(
        id=unit.ids.new(),
        number=new_number(unit),
        program=program.name,
        partner_id=partner.id,
        submitted_by=ELSEWHERE,
        customer=customer,
        customer_id=customers.resolve(unit, customer.name, customer_keys(customer)),
        deal_name=deal.deal_name.strip(),
        product_line=deal.product_line,
        amount=deal.amount,
        currency=deal.currency,
        expected_close_on=deal.expected_close_on,
        description=deal.description,
        state=state,
        sales_stage=_STAGE.get(state, SalesStage.QUALIFYING),
        # What is over was never ours to push: without a protection nothing is.
        protection_state=ProtectionState.ACTIVE if legacy.stands else ProtectionState.NONE,
        dispute_state=DisputeState.NONE,
        submitted_at=legacy.submitted_at,
        receipt_seq=protection.next_receipt(unit),
        match_keys_changed_at=unit.now,
        created_at=unit.now,
        updated_at=unit.now,
        version=1,
        decided_at=datetime.combine(decided_on, legacy.submitted_at.timetz())
        if decided_on
        else None,
        protection_starts_on=legacy.protected_from,
        protection_ends_on=legacy.protected_until,
        actual_close_on=legacy.closed_on,
        won_amount=deal.amount if state is RegistrationState.CLOSED_WON else None,
        contact_name=deal.contact_name,
        contact_email=deal.contact_email,
        roles=program.roles_for(customer.country),
        accounts=legacy.accounts,
        custom=deal.custom,
        registered=registered(deal),
    )


def _protect(unit: UnitOfWork, made: Registration, program: Program) -> Registration:
    if not protection.take_over(unit, made, program):
        work.request_push(unit, made)
        return made
    because = "another system protected somebody else as well"
    disputes.note(unit, made.id, because)
    contested = replace(
        made, protection_state=ProtectionState.CONTESTED, dispute_state=DisputeState.OPEN
    )
    return saved(unit, contested, "contest", {"because": because})  # which nobody is told of


def _require_consistent(legacy: Legacy, now: datetime) -> None:
    """Raise `InvalidInput` where state and dates do not go together."""
    if legacy.submitted_at > now:
        raise InvalidInput(
            f"submitted: {legacy.submitted_at:%Y-%m-%d} is in the future.", field="submitted",
            hint="Correct it.",
        )  # fmt: skip
    if legacy.state is RegistrationState.CLOSED_WON and legacy.closed_on is None:
        raise InvalidInput(
            "closed_on: a won deal was won on a day.", field="closed_on", hint="Fill it in."
        )
    if not legacy.stands:
        return
    starts, ends = legacy.protected_from, legacy.protected_until
    if starts is None or ends is None or ends < starts:
        raise InvalidInput(
            "protected_until: an approved registration is protected from a day until a day.",
            field="protected_until",
            hint="Fill in protected_from and protected_until.",
        )
    if ends < now.date():
        raise InvalidInput(
            f"protected_until: {ends} is past, so it is approved no more.",
            field="protected_until",
            hint="Write expired into the column state.",
        )
