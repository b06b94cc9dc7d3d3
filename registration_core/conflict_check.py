"""The business check before an approval: what was found, and what follows from it.

Pure: candidates and readings in, findings and a decision out. Reading the CRMs is
`sync/checking.py`; keeping the answer is `store/`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from registration_core.contracts import ConnectionName
from registration_core.errors import CheckNotUsable, NotAllowed
from registration_core.matching import Match, Relation
from registration_core.model import (
    SYSTEM,
    Account,
    Actor,
    Band,
    ConflictCheck,
    Finding,
    FindingKind,
    Partner,
    Reading,
    Registration,
    RegistrationState,
)
from registration_core.program import Exclusivity, ListKind, Program

_LIST_FINDINGS = {
    ListKind.DIRECT: FindingKind.DIRECT_ACCOUNT,
    ListKind.HOUSE: FindingKind.HOUSE_ACCOUNT,
    ListKind.DO_NOT_CALL: FindingKind.DO_NOT_CALL,
}
_PENDING = (
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


@dataclass(frozen=True)
class Candidate:
    """An account that may be the registration's customer, as it was read live."""

    account: Account
    match: Match
    opportunities: tuple[OpenOpportunity, ...] = ()


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
) -> tuple[Finding, ...]:
    """Return every claim on the customer that a person has to know of, strongest first."""
    found: list[Finding] = []
    strong_in: dict[ConnectionName, int] = {}
    for candidate in candidates:
        found.extend(_account_findings(candidate, program))
        if candidate.match.band is Band.STRONG:
            name = candidate.account.connection
            strong_in[name] = strong_in.get(name, 0) + 1
    for connection, count in strong_in.items():
        if count > 1:
            summary = f"{count} accounts in {connection} carry this customer's identifiers"
            found.append(Finding(FindingKind.AMBIGUOUS_MATCH, Band.REVIEW, (), summary, connection))
    found.extend(f for rival in rivals if (f := _rival_finding(registration, program, rival)))
    return tuple(sorted(found, key=lambda f: (f.band is not Band.STRONG, f.kind)))


def _account_findings(candidate: Candidate, program: Program) -> list[Finding]:
    account, match = candidate.account, candidate.match

    def finding(kind: FindingKind, summary: str, decides: str = "", record_id: str = "") -> Finding:
        evidence = {
            "account": account.name,
            "owner": account.owner,
            "read_at": f"{account.read_at:%FT%TZ}",
            **_waterfall(match),
        }
        return Finding(
            kind=kind,
            band=match.band,
            matched_on=match.matched_on,
            summary=summary,
            connection=account.connection,
            record_id=record_id or account.record_id,
            decides=decides,
            evidence=evidence,
        )

    found = [
        finding(
            _LIST_FINDINGS[kind],
            f"{account.name} is on the {kind.value.replace('_', ' ')} list of {account.connection}",
            program.list_owners.get(kind, "") if kind is not ListKind.DIRECT else "",
        )
        for kind in sorted(account.lists)
    ]
    found += [
        finding(
            FindingKind.OPEN_OPPORTUNITY,
            f"{account.name} has an open opportunity in {o.connection}: {o.name}, owner {o.owner}",
            record_id=o.record_id,
        )
        for o in candidate.opportunities
    ]
    # A relative that nobody has a claim on is nobody's business; a possible customer is.
    if (
        not found
        and match.band is Band.REVIEW
        and match.relation in (Relation.SAME, Relation.POSSIBLY)
    ):
        found.append(
            finding(
                FindingKind.AMBIGUOUS_MATCH,
                f"{account.name} in {account.connection} may be the customer",
            )
        )
    return found


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
    if match.held_by:
        told["not strong because"] = match.held_by
    return told


def _rival_finding(registration: Registration, program: Program, rival: Rival) -> Finding | None:
    other = rival.registration
    line = program.product_lines.get(registration.product_line)
    if other.product_line != registration.product_line or line is None:
        return None
    if other.partner_id == registration.partner_id:
        if other.state not in (*_PENDING, RegistrationState.APPROVED):
            return None
        kind, text = (
            FindingKind.SAME_PARTNER_DUPLICATE,
            "the same partner registered this customer before",
        )
    elif line.exclusivity is Exclusivity.OPEN:
        return None
    elif other.protection_state.standing:
        kind, text = (
            FindingKind.ACTIVE_REGISTRATION,
            "another partner is protected for this customer",
        )
    elif other.state in _PENDING and other.receipt_seq < registration.receipt_seq:
        kind, text = (
            FindingKind.PENDING_REGISTRATION,
            "another partner's earlier registration is pending",
        )
    else:
        return None
    return Finding(
        kind=kind,
        band=rival.match.band,
        matched_on=rival.match.matched_on,
        summary=f"{text}: {other.number}",
        registration_id=other.id,
        evidence={
            "number": other.number,
            "customer": other.customer.name,
            "state": other.state.value,
        },
    )


def require_usable(
    check: ConflictCheck,
    registration: Registration,
    program: Program,
    now: datetime,
    newest: ConflictCheck | None = None,
) -> None:
    """Raise `CheckNotUsable` unless the check is complete, fresh, and later than the match keys.

    `newest` is the newest check that is kept, if any: what it found must not be passed over.
    """
    number = registration.number
    if check.registration_id != registration.id:
        raise CheckNotUsable(f"The check {check.id} is about another registration than {number}.")
    again = f"Type: dealreg registration check {number}"
    if newest is not None and newest.began_at > check.began_at:
        raise CheckNotUsable(
            f"There is a newer check of {number} than the one decided on.",
            hint=f"Look at it again: dealreg registration show {number}",
        )
    if check.began_at < registration.match_keys_changed_at:
        raise CheckNotUsable(f"{number} was changed after its check began.", hint=again)
    if check.policy_version != program.version:
        raise CheckNotUsable(
            f"The rules of {program.name} changed after the check of {number}.", hint=again
        )
    if check.incomplete:
        unread = "; ".join(f"{r.connection}: {r.reason}" for r in check.incomplete)
        raise CheckNotUsable(
            f"The check of {number} is incomplete ({unread}).",
            hint="It is repeated by itself; see: dealreg connection list",
        )
    read = {r.connection: r for r in check.readings}
    for connection in program.required_connections:
        reading = read.get(connection)
        if reading is None or reading.as_of is None:
            raise CheckNotUsable(
                f"{connection} was not asked in the check of {number}.", hint=again
            )
        limit = program.freshness_seconds[connection]
        # A CRM's clock may be ahead of ours: what was read is at least as old as the check.
        if now - min(reading.as_of, check.began_at) > timedelta(seconds=limit):
            raise CheckNotUsable(
                f"The evidence of {connection} for {number} is older than {limit} seconds.",
                hint=again,
            )


def is_low_risk(
    registration: Registration, partner: Partner, program: Program, check: ConflictCheck
) -> bool:
    """Whether the program lets this be approved without a person; a currency never converts."""
    rule = program.low_risk
    return (
        rule is not None
        and registration.product_line in program.product_lines
        and not check.findings
        and not check.incomplete
        and registration.currency == rule.currency
        and registration.amount <= rule.amount_at_most
        and partner.tier in rule.partner_tiers
    )


def deciders(findings: Sequence[Finding]) -> frozenset[str]:
    """Return who has to decide because of these findings; empty means any approver."""
    return frozenset(f.decides for f in findings if f.decides)


def require_decider(actor: Actor, registration: Registration, check: ConflictCheck | None) -> None:
    """Raise `NotAllowed` where this actor may not decide: the submitter, or not the list's owner."""
    if actor == SYSTEM:
        return
    if actor.name == registration.submitted_by:
        raise NotAllowed(
            f"{actor.name} submitted {registration.number} and cannot decide on it.",
            hint="Ask another approver.",
        )
    needed = deciders(check.findings) if check else frozenset()
    if needed and actor.name not in needed:
        raise NotAllowed(
            f"{registration.number} is held for {' and '.join(sorted(needed))}.",
            hint="Only they can decide on it.",
        )


def readings_of(check: ConflictCheck) -> dict[ConnectionName, Reading]:
    """Return the readings by connection."""
    return {reading.connection: reading for reading in check.readings}
