"""What people and partners do to registrations: one function per verb.

Each joins the caller's transaction (`UnitOfWork`), changes state only through `lifecycle`,
records the audit event, and notes the work that becomes due. Commands take the version the
person saw; `StaleVersion` means somebody was faster.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from registration_core.conflict_check import (
    holding,
    require_decider,
    require_usable,
    stale_connections,
)
from registration_core.contracts import ConnectionName, Value
from registration_core.errors import InvalidInput, NotAllowed
from registration_core.fields import FIELDS, SalesStage
from registration_core.findings import ReasonCode
from registration_core.lifecycle import Move, advance, possible_moves
from registration_core.matching import customer_keys
from registration_core.model import (
    SYSTEM,
    ConflictCheck,
    DisputeState,
    Partner,
    ProtectionState,
    Registration,
    RegistrationState,
)
from registration_core.overriding import PEOPLE
from registration_core.partner_view import reason_text
from registration_core.program import Program
from registration_core.recording import locked, new_number, personal_of, recorded, saved
from registration_core.store import (
    account_lists,
    audit,
    customers,
    overrides,
    protection,
    repository,
    work,
)
from registration_core.store.database import UnitOfWork
from registration_core.submission import (
    DESCRIPTION_MAX,
    REGISTERED,
    Submission,
    in_nfc,
    is_email,
    registered,
    require_valid,
    wrong_deal,
)

#: When an approved claim is checked again, counted from the approval.
RECHECKS_AFTER = (timedelta(hours=1), timedelta(days=1))
#: What `update` changes.
CHANGED_HERE = (
    "deal_name",
    "amount",
    "currency",
    "expected_close_on",
    "sales_stage",
    "description",
)


def add_partner(unit: UnitOfWork, *, code: str, name: str, tier: str, email: str) -> Partner:
    """Add a partner; the code must be new."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", code):
        raise InvalidInput(
            f"A partner code has letters, digits, '.', '_' and '-' only, not {code!r}.",
            field="code",
        )
    if not name.strip():
        raise InvalidInput("A partner needs a name.", field="name")
    if email and not is_email(email):
        raise InvalidInput(f"{email!r} is not an e-mail address.", field="email")
    if any(known.code == code for known in repository.partners(unit.session)):
        raise InvalidInput(
            f"There is a partner {code} already.", field="code", hint="Choose another code."
        )
    made = Partner(unit.ids.new(), code, name.strip(), tier, email, True, unit.now)
    repository.add_partner(unit.session, made)
    audit.record(
        unit, f"partner:{made.id}", "add partner", {"code": code, "name": made.name, "tier": tier}
    )
    return made


def reach_partner(unit: UnitOfWork, code: str, email: str) -> Partner:
    """Keep where a partner is told of their registrations from now on."""
    known = repository.partner(unit.session, code)
    if not is_email(email):
        raise InvalidInput(f"{email!r} is not an e-mail address.", field="email")
    repository.reach_partner(unit.session, known.code, email)
    audit.record(unit, f"partner:{known.id}", "change address", {}, personal={"email": email})
    return repository.partner(unit.session, known.code)


def submit(unit: UnitOfWork, submission: Submission, program: Program) -> tuple[Registration, bool]:
    """Take a registration in, give it its receipt, and ask for its check.

    Idempotent by partner and token: a repeat returns the first registration and False.
    """
    partner = repository.partner(unit.session, submission.partner_code)
    protection.hold_lock(unit)  # before the look-up, so that two equal submits cannot both miss it
    known = repository.registration_by_token(unit.session, partner.id, submission.token)
    if known is not None:
        return known, False
    submission = in_nfc(submission)
    require_valid(submission, program, partner, unit.now.date())
    customer = customers.with_contacts_domain(
        unit.session, submission.customer, partner, submission.contact_email
    )
    made = Registration(
        id=unit.ids.new(),
        number=new_number(unit),
        program=program.name,
        partner_id=partner.id,
        submitted_by=str(unit.actor.name),
        customer=customer,
        customer_id=customers.resolve(unit, customer.name, customer_keys(customer)),
        deal_name=submission.deal_name.strip(),
        product_line=submission.product_line,
        amount=submission.amount,
        currency=submission.currency,
        expected_close_on=submission.expected_close_on,
        description=submission.description,
        state=RegistrationState.SUBMITTED,
        sales_stage=SalesStage.QUALIFYING,
        protection_state=ProtectionState.NONE,
        dispute_state=DisputeState.NONE,
        submitted_at=unit.now,
        receipt_seq=protection.next_receipt(unit),
        match_keys_changed_at=unit.now,
        created_at=unit.now,
        updated_at=unit.now,
        version=1,
        contact_name=submission.contact_name,
        contact_email=submission.contact_email,
        roles=program.roles_for(customer.country),
        custom=submission.custom,
        registered=registered(submission),
    )
    repository.add_registration(unit.session, made, submission.token)
    recorded(
        unit,
        made,
        "submit",
        {
            "number": made.number,
            "partner": partner.code,
            "customer": made.customer.name,
            "amount": made.amount,
            "currency": made.currency,
            "receipt_seq": made.receipt_seq,
        },
        partner={"number": made.number, "customer": made.customer.name},
        personal=personal_of(made),
    )
    work.request_check(unit, made.id, "submitted")
    return made, True


def update(
    unit: UnitOfWork,
    number: str,
    changes: Mapping[str, Value],
    program: Program,
    expected_version: int | None = None,
) -> Registration:
    """Change deal name, amount, currency, expected close, stage or description here in the store.

    `NotAllowed` where the program gives the field group to the CRMs in this phase.
    """
    before = locked(unit, number, expected_version)
    if before.sales_stage.closed or not possible_moves(before.state):
        raise NotAllowed(f"{before.number} is {before.state.value}: it is not changed any more.")
    for name in changes:
        if name not in CHANGED_HERE:
            raise InvalidInput(
                f"{name} cannot be changed.", field=name, hint=f"One of: {', '.join(CHANGED_HERE)}."
            )
        if not program.authority[FIELDS[name].group][before.phase].store_may_write:
            raise NotAllowed(
                f"{before.number} is worked in {before.home}: its {name} is changed there.",
                hint=f"Change it in {before.home}.",
            )
    values = _valid(before, changes, program)
    given = {name: value for name, value in values.items() if name in REGISTERED}
    after = replace(before, **values, registered={**before.registered, **given})
    if after == before:
        return before
    return saved(unit, after, "update", {"changes": {n: str(v) for n, v in changes.items()}})


def review(unit: UnitOfWork, registration: Registration, because: str) -> Registration:
    """Put a submitted registration before a person."""
    after = replace(
        registration, state=advance(registration.state, Move.REVIEW, registration.number)
    )
    return saved(
        unit, after, "begin review", {"because": because}, partner={"state": "Under review"}
    )


def approve(
    unit: UnitOfWork,
    number: str,
    check: ConflictCheck,
    program: Program,
    expected_version: int | None = None,
) -> Registration:
    """Approve on a complete and fresh check: protection starts, and CRMs will be written.

    Refuses unless the check is usable (law 6), the actor may decide, and a slot is free (law 7).
    """
    protection.hold_lock(unit)
    before = locked(unit, number, expected_version)
    state = advance(before.state, Move.APPROVE, before.number)
    newest = repository.last_check(unit.session, before.id)
    stale = stale_connections(check, program, unit.now)
    overridden = bool(stale) and overrides.count(unit.session, check.id) >= PEOPLE
    require_usable(check, before, program, unit.now, newest, overridden=overridden)
    account_lists.require_unchanged(unit.session, check, before.number)
    require_decider(unit.actor, before, check)
    if unit.actor == SYSTEM and holding(check.findings):
        raise NotAllowed(f"{before.number} has findings: a person decides on it.")
    accounts = {**check.accounts, **before.accounts}  # what a person chose comes first
    claimed = protection.claim(
        unit, replace(before, accounts=accounts), program, unit.now.date(), check
    )
    after = replace(
        claimed, state=state, decided_at=unit.now, reason_code=None, partner_message=None
    )
    kept = saved(
        unit, after, "approve",
        {"check": check.id, "policy_version": check.policy_version, "matcher_version": check.matcher_version,
         "as_of": {r.connection: str(r.as_of) for r in check.readings},
         "findings": [f.summary for f in check.findings]},
        partner={"state": "Approved", "protected_until": str(after.protection_ends_on)},
    )  # fmt: skip
    request_recheck(unit, kept)
    return kept


def request_recheck(unit: UnitOfWork, approved: Registration) -> None:
    """Ask for the next check that an approval is owed: after an hour, then after a day."""
    since = unit.now - (approved.decided_at or unit.now)
    for after in RECHECKS_AFTER:
        if since < after:
            work.request_check(unit, approved.id, f"{after} after the approval", after - since)
            return


def reject(
    unit: UnitOfWork,
    number: str,
    reason: ReasonCode,
    note: str = "",
    expected_version: int | None = None,
) -> Registration:
    """Reject with a reason code; the partner gets the code's own text, the note stays internal.

    Held registrations are rejected by those they are held for, by the findings of the last check.
    """
    before = locked(unit, number, expected_version)
    state = advance(before.state, Move.REJECT, before.number)
    require_decider(unit.actor, before, repository.last_check(unit.session, before.id))
    after = replace(
        before,
        state=state,
        decided_at=unit.now,
        reason_code=reason.value,
        partner_message=reason_text(reason),
    )
    return saved(
        unit, after, "reject", {"reason": reason.value, "note": note},
        partner={"state": "Not approved", "message": after.partner_message},
    )  # fmt: skip


def ask(
    unit: UnitOfWork, number: str, question: str, expected_version: int | None = None
) -> Registration:
    """Ask the partner for more information; they see the question as it is typed."""
    if not question.strip():
        raise InvalidInput("Say what is wanted: the partner reads it.", field="question")
    before = locked(unit, number, expected_version)
    require_decider(unit.actor, before, None)
    after = replace(
        before,
        state=advance(before.state, Move.ASK, before.number),
        partner_message=question,
    )
    seen = {"state": "We need more information from you", "message": question}
    return saved(unit, after, "ask for information", {"question": question}, partner=seen)


def answer(
    unit: UnitOfWork, number: str, text: str, expected_version: int | None = None
) -> Registration:
    """Take the partner's answer; the registration keeps its receipt and is checked again."""
    if not text.strip():
        raise InvalidInput("An answer says something.", field="answer")
    before = locked(unit, number, expected_version)
    after = replace(
        before,
        state=advance(before.state, Move.ANSWER, before.number),
        partner_message=None,
        description=_with_answer(before.description, text),
    )
    work.request_check(unit, before.id, "the partner answered")
    return saved(unit, after, "answer", {"answer": text}, partner={"answer": text})


def _with_answer(description: str, text: str) -> str:
    """Put an answer below what was said before; `InvalidInput` where there is no room for it."""
    whole = "\n\n".join(filter(None, (description, unicodedata.normalize("NFC", text).strip())))
    if len(whole) > DESCRIPTION_MAX:
        room = DESCRIPTION_MAX - len(description)
        raise InvalidInput(f"There is room for {room} characters more.", hint="Shorten it.")
    return whole


def withdraw(unit: UnitOfWork, number: str, expected_version: int | None = None) -> Registration:
    """Take a registration back; its protection is freed."""
    protection.hold_lock(unit)
    before = locked(unit, number, expected_version)
    after = replace(before, state=advance(before.state, Move.WITHDRAW, before.number))
    if before.protection_state is not ProtectionState.NONE:
        after = protection.release(unit, after, ProtectionState.RELEASED)
    return saved(unit, after, "withdraw", {}, partner={"state": "Withdrawn"})


def choose_account(
    unit: UnitOfWork, number: str, connection: ConnectionName, record_id: str
) -> Registration:
    """Say which account of a CRM the deal belongs to; a check from before counts no more."""
    before = locked(unit, number, None)
    after = replace(
        before,
        accounts={**before.accounts, connection: record_id},
        match_keys_changed_at=unit.now,
    )
    work.request_check(unit, before.id, "another account was chosen")
    return saved(unit, after, "choose account", {"connection": connection, "account": record_id})


def _valid(before: Registration, changes: Mapping[str, Value], program: Program) -> dict[str, Any]:
    """Return the changes as a registration keeps them; `InvalidInput` tells what is wrong."""
    values: dict[str, Any] = {
        name: unicodedata.normalize("NFC", value) if isinstance(value, str) else value
        for name, value in changes.items()
    }
    if "sales_stage" in values:
        values["sales_stage"] = _open_stage(before, values["sales_stage"])
    deal = {name: value for name, value in values.items() if name != "sales_stage"}
    for name, what, remedy in wrong_deal(deal, program):
        raise InvalidInput(f"{name}: {what}.", field=name, hint=remedy)
    if isinstance(values.get("deal_name"), str):
        values["deal_name"] = values["deal_name"].strip()
    return values


def _open_stage(before: Registration, stage: object) -> SalesStage:
    known = {s.value: s for s in SalesStage if not s.closed}
    if stage in (SalesStage.WON, SalesStage.LOST):
        raise InvalidInput(
            f"{before.number} is closed in {before.home}, not here.", field="sales_stage"
        )
    if not isinstance(stage, str) or stage not in known:
        raise InvalidInput(
            f"sales_stage: there is no stage {stage!r}.",
            field="sales_stage",
            hint=f"One of: {', '.join(known)}.",
        )
    return known[stage]
