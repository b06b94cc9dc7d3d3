"""What a check makes of the accounts and registrations that may be the customer. Pure.

Candidates and rivals in, findings out, each with what the program says that follows from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from registration_core.contracts import ConnectionName
from registration_core.findings import Decision, FindingKind
from registration_core.matching import Match, Relation
from registration_core.model import (
    CAME_LATER,
    LIST_FILE,
    Account,
    Band,
    Finding,
    ListEntry,
    Registration,
    RegistrationState,
)
from registration_core.program import Exclusivity, ListKind, ListTerms, Program

_LIST_FINDINGS = {
    ListKind.DIRECT: FindingKind.DIRECT_ACCOUNT,
    ListKind.HOUSE: FindingKind.HOUSE_ACCOUNT,
    ListKind.DO_NOT_CALL: FindingKind.DO_NOT_CALL,
    ListKind.NAMED: FindingKind.NAMED_ACCOUNT,
    ListKind.EMBARGO: FindingKind.EMBARGO,
    ListKind.CUSTOMER: FindingKind.EXISTING_CUSTOMER,
}
_FAMILY = (Relation.PARENT, Relation.SUBSIDIARY, Relation.SIBLING)
#: Registrations that are not decided yet.
PENDING = (
    RegistrationState.SUBMITTED,
    RegistrationState.UNDER_REVIEW,
    RegistrationState.MORE_INFO_NEEDED,
)


@dataclass(frozen=True)
class OpenOpportunity:
    """An open opportunity of a candidate account that is not one of ours."""

    connection: ConnectionName
    object: str
    record_id: str
    account_id: str
    name: str
    owner: str
    #: When somebody last did something about it; None where the CRM does not tell.
    touched_at: datetime | None = None


@dataclass(frozen=True)
class Candidate:
    """An account that may be the registration's customer, as it was read live."""

    account: Account
    match: Match
    opportunities: tuple[OpenOpportunity, ...] = ()
    #: When own sales last worked the account; None where the CRM does not tell.
    active_at: datetime | None = None
    #: What the account has bought, in the CRM's words.
    products: str = ""
    #: What is known of it on the lists it is on.
    entries: Mapping[ListKind, ListEntry] = field(default_factory=dict)

    @property
    def from_file(self) -> bool:
        """Whether it is a line of a list, and no account that anybody can sell to in a CRM."""
        return self.account.connection == LIST_FILE


@dataclass(frozen=True)
class Rival:
    """Another registration that may be about the same customer."""

    registration: Registration
    match: Match


def find_claims(
    registration: Registration,
    program: Program,
    candidates: Iterable[Candidate],
    rivals: Iterable[Rival],
    now: datetime,
) -> tuple[Finding, ...]:
    """Return every claim on the customer that a person has to know of, strongest first."""
    found: list[Finding] = []
    strong_in: dict[ConnectionName, int] = {}
    for candidate in candidates:
        found.extend(_account_findings(registration, candidate, program, now))
        if candidate.match.band is Band.STRONG and not candidate.from_file:
            name = candidate.account.connection
            strong_in[name] = strong_in.get(name, 0) + 1
    for connection, count in strong_in.items():
        if count > 1:
            summary = f"{count} accounts in {connection} carry this customer's identifiers"
            found.append(Finding(FindingKind.AMBIGUOUS_MATCH, Band.REVIEW, (), summary, connection))
    for rival in rivals:
        found.extend(_rival_findings(registration, program, rival, now))
    found.extend(_tender(registration, program))
    ruled = (_ruled(finding, program) for finding in found)
    return tuple(sorted(ruled, key=lambda f: (f.band is not Band.STRONG, f.kind)))


def _ruled(finding: Finding, program: Program) -> Finding:
    """Say what follows: what the program says, and nothing from what came later."""
    rule = program.findings[finding.kind]
    decision = Decision.ALLOW if finding.came_later else rule.decision
    return replace(finding, decision=decision, reason=rule.reason.value)


def _account_findings(
    registration: Registration, candidate: Candidate, program: Program, now: datetime
) -> list[Finding]:
    match, account = candidate.match, candidate.account
    found = [
        *_on_lists(registration, candidate, program, now),
        *_opportunities(candidate, program, now),
    ]
    if match.relation in _FAMILY:
        return [_of_family(finding, match) for finding in found]
    # A relative that nobody has a claim on is nobody's business; a possible customer is.
    unclaimed = all(finding.came_later for finding in found)
    if unclaimed and match.band is Band.REVIEW and not candidate.from_file:
        summary = f"{account.name} in {account.connection} may be the customer"
        found.append(_about(candidate, FindingKind.AMBIGUOUS_MATCH, summary))
    return found


def _of_family(finding: Finding, match: Match) -> Finding:
    """Make a claim on a relative of the customer what it is: a matter of the family."""
    return replace(
        finding,
        kind=FindingKind.FAMILY_CLAIM,
        summary=f"the customer's {match.relation.value}: {finding.summary}",
        evidence={**finding.evidence, "claim": finding.kind.value},
    )


def _on_lists(
    registration: Registration, candidate: Candidate, program: Program, now: datetime
) -> Iterator[Finding]:
    """Find what an account is on a list for, at present or by what came too late to count."""
    account, received_on = candidate.account, registration.submitted_at.date()
    for kind in sorted(account.lists):
        # An account whose entry is not known yet was seen on the list just now.
        entry = candidate.entries.get(kind) or account.entry(kind, now.date())
        entry = entry.by(program.list_terms.get(kind, ListTerms()))
        if not entry.holds_for(received_on, now.date()) and not entry.comes_later(received_on):
            continue
        what, more = _LIST_FINDINGS[kind], ""
        if kind is ListKind.DIRECT and _dormant(candidate, program, now):
            what = FindingKind.DORMANT_ACCOUNT
            more = f", and nobody has worked it for {program.activity_days} days"
        elif kind is ListKind.CUSTOMER and _has_bought(candidate, registration.product_line):
            what, more = FindingKind.RENEWAL, f" and has {registration.product_line}"
        evidence = {**_known_of(candidate, kind), **_dates(entry)}
        summary = f"{account.name} is on the {_told(entry)}{more}"
        summary += f": {entry.reason}" if entry.reason else ""
        if entry.comes_later(received_on):
            evidence[CAME_LATER] = str(entry.counts_from)
            summary += f"; it counts for what is received from {entry.counts_from} on"
        yield _about(candidate, what, summary, decides=entry.owner, more=evidence)


def _told(entry: ListEntry) -> str:
    """Name the list of an entry, and since when it is on it."""
    of = "" if entry.connection == LIST_FILE else f" of {entry.connection}"
    since = f" from {entry.valid_from}" if entry.valid_from else ""
    until = f" until {entry.valid_until}" if entry.valid_until else ""
    return f"{entry.kind.value.replace('_', ' ')} list{of}{since}{until}"


def _dates(entry: ListEntry) -> dict[str, str]:
    """Return what of an entry a person decides by."""
    told = {
        "valid_from": str(entry.valid_from or "before the list was first read"),
        "valid_until": str(entry.valid_until or ""),
        "notice_days": str(entry.notice_days or ""),
        "reason": entry.reason,
    }
    return {name: value for name, value in told.items() if value}


def _known_of(candidate: Candidate, kind: ListKind) -> dict[str, str]:
    """Return what a list's findings are told apart by, as it was read: a replay goes by it."""
    if kind is ListKind.DIRECT and candidate.active_at is not None:
        return {"active_at": f"{candidate.active_at:%FT%TZ}"}
    if kind is ListKind.CUSTOMER and candidate.products:
        return {"products": candidate.products}
    return {}


def _dormant(candidate: Candidate, program: Program, now: datetime) -> bool:
    """Whether an account is known to be left alone; what nobody can tell counts as worked."""
    since = now - timedelta(days=program.activity_days)
    touched = [candidate.active_at, *(o.touched_at for o in candidate.opportunities)]
    return candidate.active_at is not None and all(at is not None and at < since for at in touched)


def _has_bought(candidate: Candidate, product_line: str) -> bool:
    words = candidate.products.casefold().replace(";", ",").split(",")
    return product_line.casefold() in {word.strip() for word in words}


def _opportunities(candidate: Candidate, program: Program, now: datetime) -> Iterator[Finding]:
    since = now - timedelta(days=program.activity_days)
    for o in candidate.opportunities:
        stale = o.touched_at is not None and o.touched_at < since
        yield _about(
            candidate,
            FindingKind.STALE_OPPORTUNITY if stale else FindingKind.OPEN_OPPORTUNITY,
            f"{candidate.account.name} has an open opportunity in {o.connection}: "
            f"{o.name}, owner {o.owner}"
            + (f", untouched for {program.activity_days} days" if stale else ""),
            record_id=o.record_id,
            more={
                "object": o.object,
                **({"touched_at": f"{o.touched_at:%FT%TZ}"} if o.touched_at else {}),
            },
        )


def _about(
    candidate: Candidate,
    kind: FindingKind,
    summary: str,
    *,
    decides: str = "",
    record_id: str = "",
    more: dict[str, str] | None = None,
) -> Finding:
    """Return a finding about a candidate account, with the evidence that it is the customer."""
    account, match = candidate.account, candidate.match
    return Finding(
        kind=kind,
        band=match.band,
        matched_on=match.matched_on,
        summary=summary,
        connection=account.connection,
        record_id=record_id or account.record_id,
        decides=decides,
        evidence={
            "account": account.name,
            "owner": account.owner,
            "read_at": f"{account.read_at:%FT%TZ}",
            **(more or {}),
            **_waterfall(match),
        },
    )


def _waterfall(match: Match) -> dict[str, str]:
    """Tell what speaks for and against the match, heaviest first, in log-odds."""
    told = {
        side: "; ".join(
            f"{e.kind.replace('_', ' ')} {e.log_odds:+.1f} ({e.left} | {e.right})" for e in pieces
        )
        for side, pieces in (
            ("for", [e for e in match.evidence if e.log_odds > 0]),
            ("against", [e for e in match.evidence if e.log_odds < 0]),
        )
        if pieces
    }
    if match.evidence or match.relation is not Relation.SAME:
        told["relation"] = match.relation.value
        if match.relation.distance:
            told["distance"] = str(match.relation.distance)
    if match.held_by:
        told["not strong because"] = match.held_by
    return told


def _rival_findings(
    registration: Registration, program: Program, rival: Rival, now: datetime
) -> Iterator[Finding]:
    other = rival.registration
    kind = _rival_kind(registration, program, other, now)
    if kind is None:
        return
    yield Finding(
        kind=kind,
        band=rival.match.band,
        matched_on=rival.match.matched_on,
        summary=f"{_RIVAL_TEXTS[kind]}: {other.number}",
        registration_id=other.id,
        evidence={
            "number": other.number,
            "customer": other.customer.name,
            "state": other.state.value,
            **_waterfall(rival.match),
        },
    )


_RIVAL_TEXTS = {
    FindingKind.SAME_PARTNER_DUPLICATE: "the same partner has registered this customer already",
    FindingKind.ACTIVE_REGISTRATION: "another partner is protected for this customer",
    FindingKind.PENDING_REGISTRATION: "another partner's earlier registration is pending",
    FindingKind.RENEWAL: "the customer bought this product line",
    FindingKind.EXISTING_CUSTOMER: "the customer bought another product line",
}


def _rival_kind(
    registration: Registration, program: Program, other: Registration, now: datetime
) -> FindingKind | None:
    line = program.product_lines.get(registration.product_line)
    same_line = other.product_line == registration.product_line
    if other.state is RegistrationState.CLOSED_WON:
        won_on = other.actual_close_on or other.updated_at.date()
        if won_on < (now - timedelta(days=program.customer_days)).date():
            return None
        return FindingKind.RENEWAL if same_line else FindingKind.EXISTING_CUSTOMER
    if not same_line or line is None:
        return None
    before = other.state in PENDING and other.receipt_seq < registration.receipt_seq
    if other.partner_id == registration.partner_id:
        known = before or other.state is RegistrationState.APPROVED
        return FindingKind.SAME_PARTNER_DUPLICATE if known else None
    if line.exclusivity is Exclusivity.OPEN:
        return None
    if other.protection_state.standing:
        return FindingKind.ACTIVE_REGISTRATION
    return FindingKind.PENDING_REGISTRATION if before else None


def _tender(registration: Registration, program: Program) -> Iterator[Finding]:
    """Tell of a tender that was published when the deal was registered."""
    said = registration.custom.get(program.tender_field)
    received_on = registration.submitted_at.date()
    if isinstance(said, datetime):
        said = said.date()
    if not said or (isinstance(said, date) and said > received_on):
        return
    when = f" on {said}" if isinstance(said, date) else ""
    yield Finding(
        FindingKind.PUBLISHED_TENDER,
        Band.STRONG,
        (),
        f"a tender was published{when}, before the deal was registered on {received_on}",
        evidence={program.tender_field: str(said)},
    )
