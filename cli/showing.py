"""A registration in full: its facts, the check behind it, and where it stands in the CRMs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from cli.output import Output
from registration_core.conflict_check import deciders
from registration_core.customer_fields import joined
from registration_core.model import (
    ConflictCheck,
    Customer,
    Partner,
    Registration,
    RegistrationState,
)
from registration_core.partner_view import PartnerView
from registration_core.store import repository
from registration_core.store.tables import RegistrationRow

if TYPE_CHECKING:
    from sync.plans.jobs import Planned

_WAITING = (
    RegistrationState.SUBMITTED,
    RegistrationState.UNDER_REVIEW,
    RegistrationState.MORE_INFO_NEEDED,
)


def waits_for(registration: Registration, check: ConflictCheck | None) -> str:
    """Say whom a registration waits for; empty when it is decided and was checked."""
    if registration.state is RegistrationState.APPROVED and check is None:
        return "its first check: it was taken over from another system"
    if registration.state not in _WAITING:
        return ""
    if registration.state is RegistrationState.MORE_INFO_NEEDED:
        return "the partner"
    if check is None:
        return "its first check"
    if check.incomplete:
        return "a complete check: " + "; ".join(
            f"{r.connection}: {r.reason}" for r in check.incomplete
        )
    return " and ".join(sorted(deciders(check.findings))) or "any approver"


def numbers(session: Session, ids: Iterable[str | None]) -> dict[str | None, str]:
    """Return the public numbers of registrations by id; an id that is None has none."""
    wanted = sorted({i for i in ids if i is not None})
    found = repository.registrations(
        session, RegistrationRow.id.in_(wanted), limit=len(wanted) or 1
    )
    return {registration.id: registration.number for registration in found}


def row(registration: Registration, partner: str) -> dict[str, object]:
    """Return what lists tell of a registration."""
    return {
        "number": registration.number,
        "partner": partner,
        "customer": registration.customer.name,
        "country": registration.customer.country,
        "deal": registration.deal_name,
        "product": registration.product_line,
        "amount": registration.amount,
        "currency": registration.currency,
        "close": registration.expected_close_on,
        "state": registration.state,
        "protection": registration.protection_state,
        "protected_until": registration.protection_ends_on,
        "stage": registration.sales_stage,
        "dispute": registration.dispute_state,
        "home": registration.home,
        "submitted_at": registration.submitted_at,
        "version": registration.version,
    }


#: What people see of such a row.
ROW_COLUMNS = {
    "number": "Number", "partner": "Partner", "customer": "Customer", "deal": "Deal",
    "product": "Product", "amount": "Amount", "currency": "", "close": "Close", "state": "State",
    "protection": "Protection", "stage": "Stage", "home": "Home",
}  # fmt: skip


def show_registration(
    out: Output, registration: Registration, partner: Partner, waits: str
) -> None:
    """Print the facts of a registration for people."""
    r, customer = registration, registration.customer
    out.facts(
        {
            "state": r.state,
            "waits for": waits,
            "reason": f"{r.reason_code}: {r.partner_message}" if r.reason_code else "",
            "protection": r.protection_state,
            "protected": f"{r.protection_starts_on} to {r.protection_ends_on}"
            if r.protection_ends_on
            else "",
            "dispute": r.dispute_state,
            "stage": r.sales_stage,
            "partner": f"{partner.code}, {partner.name}",
            "contact": ", ".join(part for part in (r.contact_name, r.contact_email) if part),
            "customer": f"{customer.name}, {customer.country}",
            **facts_of(customer),
            "deal": r.deal_name,
            "description": r.description,
            "product": r.product_line,
            "amount": f"{r.amount} {r.currency}",
            "expected close": r.expected_close_on,
            "actual close": r.actual_close_on,
            "won amount": r.won_amount,
            "loss reason": r.loss_reason,
            "taken over": r.converted_at,
            **{f"own field {name}": value for name, value in r.custom.items()},
            "program": r.program,
            "roles": r.roles,
            "accounts": r.accounts,
            "submitted": f"{r.submitted_at:%Y-%m-%d %H:%MZ} by {r.submitted_by}, receipt {r.receipt_seq}",
            "version": r.version,
        },
        title=r.number,
    )


def facts_of(customer: Customer) -> dict[str, object]:
    """Return what else is said of a customer, as people read it."""
    address = ", ".join(filter(None, (customer.postcode, customer.city, customer.region)))
    return {
        "also called": joined(customer.aliases),
        "tax id": customer.tax_id,
        "DUNS": customer.duns,
        "website": customer.website,
        "e-mail domains": joined(customer.email_domains),
        "phone": customer.phone,
        "address": address,
        "parent": customer.parent,
    }


def show_partner_view(out: Output, view: PartnerView) -> None:
    """Print what the registration's own partner may see."""
    if out.as_json:
        out.json(view)
        return
    told = {name: value for name, value in vars(view).items() if name != "described"}
    facts = {name.replace("_", " "): value for name, value in told.items()}
    out.facts(facts | facts_of(view.described), title=view.number)


def plan_answer(planned: Planned) -> Mapping[str, object]:
    """Return what a push would do, as scripts get it."""
    job, plan = planned.job, planned.plan
    return {
        "number": job.registration.number,
        "connection": job.connection,
        "object": job.mapping.object,
        "record_id": job.link.record_id if job.link else None,
        "write": plan.write,
        "before": plan.before,
        "take": plan.takes,
        "conflicts": {group: asdict(conflict) for group, conflict in plan.conflicts.items()},
        "problems": [str(problem) for problem in plan.problems],
        "takes_over": plan.converts,
    }


def show_plan(out: Output, planned: Planned) -> None:
    """Print what a push would do."""
    job, plan = planned.job, planned.plan
    record = (
        f"{job.mapping.object} {job.link.record_id}" if job.link else f"a new {job.mapping.object}"
    )
    if plan.is_empty:
        out.say(f"{job.registration.number} and {record} in {job.connection} agree.")
        return
    out.show(
        [{"field": n, "now": plan.before.get(n), "then": v} for n, v in plan.write.items()],
        {"field": "Field", "now": "Now", "then": "Then"},
        title=f"Would be written to {record} in {job.connection}:",
    )
    out.show(
        [{"field": n, "then": v} for fields in plan.takes.values() for n, v in fields.items()],
        {"field": "Field", "then": "Then"},
        title=f"Would be taken from {job.connection}:",
    )
    out.show(
        [asdict(conflict) | {"group": group} for group, conflict in plan.conflicts.items()],
        {"group": "Fields", "store": "Ours", "remote": "Theirs", "settled": "For", "reason": "Why"},
        title="Would be kept as a sync conflict:",
    )
    for problem in plan.problems:
        out.say(f"Cannot be translated: {problem}")
    if plan.converts:
        out.say(f"{job.connection} takes the deal over.")
