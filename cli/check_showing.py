"""A conflict check for people and scripts: what was asked, what was found, what each rule decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from cli.output import Output
from cli.showing import facts_of
from registration_core.conflict_check import holding, rejecting
from registration_core.customer_fields import joined
from registration_core.findings import ReasonCode
from registration_core.model import ConflictCheck, Finding
from registration_core.partner_view import reason_text

#: Evidence that is told apart from the rest of what is known of a finding.
_WATERFALL = ("for", "against", "relation", "distance", "not strong because")

Links = Mapping[tuple[str, str], str]


def show_check(out: Output, check: ConflictCheck, links: Links | None = None) -> None:
    """Print what a check asked, was answered, found, and what the program makes of each finding."""
    complete = "incomplete" if check.incomplete else "complete"
    out.say(
        f"Check of {check.finished_at:%Y-%m-%d %H:%M:%SZ}: {complete}; "
        f"rules {check.policy_version}, matcher {check.matcher_version}"
    )
    if check.customer is not None:
        keys = (f"{key.kind.replace('_', ' ')} {key.value}" for key in check.keys)
        out.facts(
            {
                "customer": f"{check.customer.name}, {check.customer.country}",
                **facts_of(check.customer),
                "keys": joined(keys),
            },
            title="Asked about",
        )
    out.show(
        [asdict(reading) for reading in check.readings],
        {
            "connection": "Connection",
            "required": "Required",
            "complete": "Complete",
            "as_of": "As of",
            "reason": "Reason",
        },
    )
    if not check.findings:
        out.say("No findings.")
        return
    rows = [asdict(finding) | {"no": no} for no, finding in enumerate(check.findings, 1)]
    out.show(
        rows,
        {
            "no": "", "kind": "Finding", "band": "Match", "matched_on": "By", "summary": "What",
            "decision": "Follows", "decides": "Decides",
        },
    )  # fmt: skip
    for no, finding in enumerate(check.findings, 1):
        _show_evidence(out, no, finding, (links or {}).get(_record(finding), ""))


def _show_evidence(out: Output, no: int, finding: Finding, link: str) -> None:
    facts = {k: v for k, v in finding.evidence.items() if v and k not in _WATERFALL}
    told: dict[str, object] = {
        "record": link,
        **{name.replace("_", " "): value for name, value in facts.items()},
        "relation": _relation(finding),
        "not strong because": finding.evidence.get("not strong because", ""),
    }
    out.facts(told, title=f"{no}. {finding.kind.value}")
    for side, mark in (("for", "+"), ("against", "\N{MINUS SIGN}")):
        for piece in filter(None, finding.evidence.get(side, "").split("; ")):
            out.say(f"    {mark} {piece}")
    if finding.reason:
        out.say(f"  if rejected, the partner reads: {reason_text(ReasonCode(finding.reason))}")


def _relation(finding: Finding) -> str:
    """Say what the account is to the customer, and how far apart both stand in the family."""
    relation, distance = (finding.evidence.get(name, "") for name in ("relation", "distance"))
    steps = "step" if distance == "1" else "steps"
    return f"{relation}, {distance} {steps} away" if distance else relation


def decided(check: ConflictCheck) -> str:
    """Say what the program's rules make of a check, before anybody decides."""
    if check.incomplete:
        return "nothing: it waits for a complete check"
    barred = rejecting(check.findings)
    if barred is not None:
        return f"rejected by itself for {barred.kind.value}: {barred.reason}"
    held = holding(check.findings)
    if held:
        return "a person decides, because of " + ", ".join(sorted({f.kind.value for f in held}))
    return "nothing holds it up; a low-risk rule may approve it, else any approver"


def check_answer(
    check: ConflictCheck | None, links: Links | None = None
) -> Mapping[str, object] | None:
    """Return a check as scripts get it."""
    if check is None:
        return None
    findings = [
        asdict(finding)
        | {
            "link": (links or {}).get(_record(finding), ""),
            "partner_text": reason_text(ReasonCode(finding.reason)) if finding.reason else "",
        }
        for finding in check.findings
    ]
    return asdict(check) | {
        "complete": not check.incomplete, "findings": findings, "decided": decided(check),
    }  # fmt: skip


def _record(finding: Finding) -> tuple[str, str]:
    return finding.connection or "", finding.record_id or ""


def rows_of(checks: Sequence[tuple[int, ConflictCheck]]) -> list[dict[str, object]]:
    """Return one row for each line of a file that was tried, for a list of them."""
    return [
        {
            "line": line, "findings": sorted({f.kind.value for f in check.findings}),
            "decided": decided(check),
        }
        for line, check in checks
    ]  # fmt: skip
