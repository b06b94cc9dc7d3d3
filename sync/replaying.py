"""What changed rules, or another matcher, would have made of past registrations. Decides nothing.

A replay asks no CRM. Accounts and lists come from the account directory as it is now; open
opportunities, and when an account was worked and what it has bought, from what the check of then
recorded; other registrations as they stood then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from registration_core.conflict_check import holding, is_low_risk, rejecting
from registration_core.finding_claims import Candidate, OpenOpportunity, Rival, find_claims
from registration_core.findings import FindingKind
from registration_core.model import (
    LIST_FILE,
    SYSTEM,
    Account,
    ConflictCheck,
    Finding,
    ProtectionState,
    Registration,
    RegistrationState,
)
from registration_core.program import Program
from registration_core.recording import subject_of
from registration_core.store import account_lists, audit, repository
from registration_core.store.rivals import rivals_for
from registration_core.store.tables import RegistrationRow
from sync.accounts import candidates

_BY_RULE, _BY_PERSON = "approved by the rule", "a person decides"
_OPPORTUNITIES = (FindingKind.OPEN_OPPORTUNITY, FindingKind.STALE_OPPORTUNITY)


@dataclass(frozen=True)
class Difference:
    """One past registration that would come out otherwise."""

    number: str
    customer: str
    before: str
    after: str
    #: What would be found besides or no more, and what would follow from it otherwise.
    reasons: tuple[str, ...]


def received_since(session: Session, moment: datetime) -> list[str]:
    """Return the ids of the registrations that were received since a time, oldest first."""
    query = select(RegistrationRow.id).where(RegistrationRow.submitted_at >= moment)
    return list(session.scalars(query.order_by(RegistrationRow.receipt_seq)))


def replay(
    session: Session, registration_id: str, programs: Mapping[str, Program]
) -> Difference | None:
    """Check a past registration again under these rules; None where nothing would differ.

    None too where it never had a complete check, or its program is not among them.
    """
    registration = repository.registration(session, registration_id)
    program = programs.get(registration.program)
    check = repository.deciding_check(session, registration)
    if check is None or program is None:
        return None
    findings = _findings(session, registration, check, program)
    reasons = tuple(_reasons(check.findings, findings))
    before = _came_out(session, registration)
    after = _outcome(session, registration, replace(check, findings=findings), program)
    if before == after and not reasons:
        return None
    return Difference(registration.number, registration.customer.name, before, after, reasons)


def _findings(
    session: Session, registration: Registration, check: ConflictCheck, program: Program
) -> tuple[Finding, ...]:
    wanted = candidates.wanted_of(session, registration)
    accounts = candidates.likely(session, wanted)
    entries = account_lists.entries(session, accounts)
    found = [
        _as_recorded(check, Candidate(a, m, entries=entries.get(candidates.place(a), {})))
        for a, m in candidates.matched(accounts, wanted)
        if a.connection != LIST_FILE or candidates.place(a) in entries
    ]
    others = rivals_for(session, registration, wanted.keys, candidates.may_be_customer(found))
    rivals = [Rival(_then(r.registration, check.began_at), r.match) for r in others]
    return find_claims(registration, program, found, rivals, check.began_at)


def _as_recorded(check: ConflictCheck, candidate: Candidate) -> Candidate:
    """Add what the check of then read of an account: its opportunities, activity and products."""
    account = candidate.account
    about = [
        f
        for f in check.findings
        if (f.connection, f.evidence.get("account")) == (account.connection, account.name)
    ]
    known = {name: value for f in about for name, value in f.evidence.items()}
    return replace(
        candidate,
        opportunities=_opportunities(account, about),
        active_at=_moment(known.get("active_at")),
        products=known.get("products", ""),
    )


def _opportunities(account: Account, found: Sequence[Finding]) -> tuple[OpenOpportunity, ...]:
    return tuple(
        OpenOpportunity(
            account.connection, f.evidence.get("object", ""), f.record_id or "", account.record_id,
            f.record_id or "", f.evidence.get("owner", ""),
            _moment(f.evidence.get("touched_at")),
        )
        for f in found
        if f.claim in _OPPORTUNITIES
    )  # fmt: skip


def _moment(written: str | None) -> datetime | None:
    return datetime.fromisoformat(written) if written else None


def _then(other: Registration, at: datetime) -> Registration:
    """Return another registration as it stood at a time, as far as its dates tell."""
    if other.submitted_at > at:
        return replace(other, state=RegistrationState.WITHDRAWN, protection_state=_NONE)
    if other.decided_at is None or other.decided_at > at:
        open_still = other.state.live or other.updated_at > at
        state = RegistrationState.SUBMITTED if open_still else other.state
        return replace(other, state=state, protection_state=_NONE)
    ends_on = other.protection_ends_on
    if other.protection_starts_on is None or ends_on is None:
        return other
    stood = other.protection_starts_on <= at.astimezone(UTC).date() <= ends_on
    if not stood:
        return replace(other, state=RegistrationState.EXPIRED, protection_state=_NONE)
    state, protected = RegistrationState.APPROVED, ProtectionState.ACTIVE
    return replace(other, state=state, protection_state=protected)


_NONE = ProtectionState.NONE


def _came_out(session: Session, registration: Registration) -> str:
    """Tell how a registration really came out, from its trail."""
    for event in audit.events(session, subject_of(registration)):
        if event["action"] in ("approve", "reject", "begin review"):
            if event["action"] == "begin review" or event["actor"] != str(SYSTEM):
                break
            rejected = event["action"] == "reject"
            return f"rejected: {event['internal']['reason']}" if rejected else _BY_RULE
    return _BY_PERSON


def _outcome(
    session: Session, registration: Registration, check: ConflictCheck, program: Program
) -> str:
    barred = rejecting(check.findings)
    if barred is not None:
        return f"rejected: {barred.reason}"
    if holding(check.findings):
        return _BY_PERSON
    partner = repository.partner_by_id(session, registration.partner_id)
    simple = is_low_risk(registration, partner, program, check)
    return _BY_RULE if simple else _BY_PERSON


def _reasons(before: Sequence[Finding], after: Sequence[Finding]) -> Iterator[str]:
    """Tell what is found besides or no more, and what follows otherwise."""
    counting = ([f for f in findings if not f.came_later] for findings in (before, after))
    old, new = ({_about(f): f for f in findings} for findings in counting)
    for key in sorted(new.keys() - old.keys()):
        yield f"found besides: {new[key].kind.value}"
    for key in sorted(old.keys() - new.keys()):
        yield f"found no more: {old[key].kind.value}"
    for key in sorted(old.keys() & new.keys()):
        was, now = old[key], new[key]
        if was.decision is not now.decision:
            yield f"{was.kind.value}: {was.decision.value} becomes {now.decision.value}"
        if was.band is not now.band:
            yield f"{was.kind.value}: match {was.band.value} becomes {now.band.value}"


def _about(finding: Finding) -> tuple[str, ...]:
    about = (finding.connection, finding.record_id, finding.registration_id)
    return (finding.kind.value, *(part or "" for part in about))
