"""The business check before an approval: whether it may be decided on, by whom, and how.

Pure. What is found is `finding_claims`; reading the CRMs is `sync/checking.py`; keeping the
answer is `store/`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from registration_core.contracts import ConnectionName
from registration_core.errors import CheckNotUsable, NotAllowed
from registration_core.findings import AGED, NEVER_CONTESTS, Decision, FindingKind
from registration_core.model import (
    SYSTEM,
    Actor,
    Band,
    ConflictCheck,
    Finding,
    Partner,
    Reading,
    Registration,
)
from registration_core.program import Program


def require_usable(
    check: ConflictCheck,
    registration: Registration,
    program: Program,
    now: datetime,
    newest: ConflictCheck | None = None,
    *,
    overridden: bool = False,
) -> None:
    """Raise `CheckNotUsable` unless the check is complete, fresh, and later than the match keys.

    `newest` is the newest check that is kept, if any: what it found must not be passed over.
    `overridden` says that two people accept stale evidence; nothing else can be accepted.
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
    other = check.customer not in (None, registration.customer)
    if other or check.began_at < registration.match_keys_changed_at:
        raise CheckNotUsable(f"{number} was changed after its check began.", hint=again)
    if check.policy_version != program.version:
        raise CheckNotUsable(
            f"The rules of {program.name} changed after the check of {number}.", hint=again
        )
    accept = (
        f"where it stays so, two people may type: dealreg approval override {number} --reason …"
    )
    unread = [r for r in check.incomplete if not (overridden and r.overridable)]
    if unread:
        why = "; ".join(f"{r.connection}: {r.reason}" for r in unread)
        see = accept if all(r.overridable for r in unread) else "see: dealreg connection list"
        raise CheckNotUsable(
            f"The check of {number} is incomplete ({why}).",
            hint=f"It is repeated by itself; {see}",
        )
    read = {r.connection: r for r in check.readings}
    for connection in program.required_connections:
        reading = read.get(connection)
        if reading is None or reading.as_of is None:
            raise CheckNotUsable(
                f"{connection} was not asked in the check of {number}.", hint=again
            )
    stale = stale_connections(check, program, now)
    if stale and not overridden:
        limit = program.freshness_seconds[stale[0]]
        raise CheckNotUsable(
            f"The evidence of {stale[0]} for {number} is older than {limit} seconds.",
            hint=f"{again}; {accept}",
        )


def stale_connections(
    check: ConflictCheck, program: Program, now: datetime
) -> tuple[ConnectionName, ...]:
    """Return the connections whose evidence in a check is older than the program allows."""
    limits = {
        name: timedelta(seconds=program.freshness_seconds[name])
        for name in program.required_connections
    }
    # A CRM's clock may be ahead of ours: what was read is at least as old as the check.
    return tuple(
        r.connection
        for r in check.readings
        if r.connection in limits
        and r.as_of is not None
        and now - min(r.as_of, check.began_at) > limits[r.connection]
    )


def is_low_risk(
    registration: Registration, partner: Partner, program: Program, check: ConflictCheck
) -> bool:
    """Whether the program lets this be approved without a person; a currency never converts."""
    rule = program.low_risk
    return (
        rule is not None
        and registration.product_line in program.product_lines
        and not holding(check.findings)
        and not check.incomplete
        and registration.currency == rule.currency
        and registration.amount <= rule.amount_at_most
        and partner.tier in rule.partner_tiers
    )


def holding(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the findings that a registration is not approved with, except by a person."""
    return tuple(f for f in findings if f.decision is not Decision.ALLOW)


def rejecting(findings: Sequence[Finding]) -> Finding | None:
    """Return the first finding that the program rejects for by itself; weak ones never do."""
    surely = (f for f in findings if f.decision is Decision.REJECT and f.band is Band.STRONG)
    return next(surely, None)


def new_findings(check: ConflictCheck, before: ConflictCheck | None) -> list[Finding]:
    """Return what a check found that the one before had not; a claim that only aged is known."""
    known = {_claim(f) for f in before.findings} if before else set()
    return [
        f
        for f in check.findings
        if _claim(f) not in known and _claim(f, AGED.get(f.claim)) not in known
    ]


def disputing_findings(check: ConflictCheck, before: ConflictCheck | None) -> list[Finding]:
    """Return the new findings that a protection is disputed for.

    Not what the program lets pass, nor a reservation of the customer or a relative, which came
    later, nor what the partner itself registers again.
    """
    return [f for f in holding(new_findings(check, before)) if f.claim not in NEVER_CONTESTS]


def _claim(finding: Finding, kind: FindingKind | None = None) -> tuple[object, ...]:
    """Return what makes two findings the same claim."""
    of_family = finding.claim is not finding.kind
    about = (finding.connection, finding.record_id, finding.registration_id)
    return (kind or finding.claim, of_family, *about)


def deciders(findings: Sequence[Finding]) -> frozenset[str]:
    """Return who has to decide because of these findings; empty means any approver."""
    return frozenset(f.decides for f in holding(findings) if f.decides)


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
