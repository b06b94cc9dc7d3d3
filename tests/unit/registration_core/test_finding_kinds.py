"""Every kind of finding: what brings it about, what follows from it, and both of its texts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from registration_core.conflict_check import deciders, holding, is_low_risk, rejecting
from registration_core.finding_claims import Candidate, OpenOpportunity, Rival, find_claims
from registration_core.findings import (
    ALWAYS_REVIEWED,
    USUAL_RULES,
    Decision,
    FindingKind,
    FindingRule,
    ReasonCode,
)
from registration_core.matching import Match, Relation
from registration_core.model import Band, Finding, ProtectionState, RegistrationState
from registration_core.partner_view import reason_text
from registration_core.program import ListKind
from tests.factories import NOW, SALESFORCE, account, check, partner, program, registration

STRONG = Match(Band.STRONG, ("tax_id",))
PARENT = Match(Band.REVIEW, ("family",), Relation.PARENT)
LONG_AGO = NOW - timedelta(days=181)
OPEN = OpenOpportunity(SALESFORCE, "Opportunity", "006X", "001A", "Platform deal", "005R", NOW)
ACTIVE: dict[str, Any] = {
    "state": RegistrationState.APPROVED,
    "protection_state": ProtectionState.ACTIVE,
}
WON: dict[str, Any] = {"state": RegistrationState.CLOSED_WON, "actual_close_on": date(2030, 9, 1)}
TENDER = program(tender_field="tender")


def _listed(kind: ListKind, match: Match = STRONG, **more: Any) -> Candidate:
    return Candidate(account(lists=frozenset({kind})), match, **more)


def _rival(line: str = "platform", **changes: Any) -> Rival:
    other = registration(
        id="registration-2", number="DR-OTHER", partner_id="partner-2", product_line=line,
        receipt_seq=9,
    )  # fmt: skip
    return Rival(replace(other, **changes), STRONG)


def _found(
    *candidates: Candidate, rivals: tuple[Rival, ...] = (), **custom: Any
) -> tuple[Finding, ...]:
    return find_claims(registration(custom=custom), TENDER, candidates, rivals, NOW)


CASES: dict[FindingKind, Callable[[], tuple[Finding, ...]]] = {
    FindingKind.DIRECT_ACCOUNT: lambda: _found(_listed(ListKind.DIRECT)),
    FindingKind.DORMANT_ACCOUNT: lambda: _found(_listed(ListKind.DIRECT, active_at=LONG_AGO)),
    FindingKind.OPEN_OPPORTUNITY: lambda: _found(Candidate(account(), STRONG, (OPEN,))),
    FindingKind.STALE_OPPORTUNITY: lambda: _found(
        Candidate(account(), STRONG, (replace(OPEN, touched_at=LONG_AGO),))
    ),
    FindingKind.EXISTING_CUSTOMER: lambda: _found(_listed(ListKind.CUSTOMER, products="support")),
    FindingKind.RENEWAL: lambda: _found(_listed(ListKind.CUSTOMER, products="support; Platform")),
    FindingKind.HOUSE_ACCOUNT: lambda: _found(_listed(ListKind.HOUSE)),
    FindingKind.NAMED_ACCOUNT: lambda: _found(_listed(ListKind.NAMED)),
    FindingKind.DO_NOT_CALL: lambda: _found(_listed(ListKind.DO_NOT_CALL)),
    FindingKind.EMBARGO: lambda: _found(_listed(ListKind.EMBARGO)),
    FindingKind.FAMILY_CLAIM: lambda: _found(_listed(ListKind.HOUSE, PARENT)),
    FindingKind.PUBLISHED_TENDER: lambda: _found(tender=True),
    FindingKind.ACTIVE_REGISTRATION: lambda: _found(rivals=(_rival(**ACTIVE),)),
    FindingKind.PENDING_REGISTRATION: lambda: _found(rivals=(_rival(),)),
    FindingKind.SAME_PARTNER_DUPLICATE: lambda: _found(rivals=(_rival(partner_id="partner-1"),)),
    FindingKind.AMBIGUOUS_MATCH: lambda: _found(Candidate(account(), Match(Band.REVIEW, ("x",)))),
}


@pytest.mark.parametrize("kind", FindingKind)
def test_every_kind_is_found_and_says_what_follows_from_it(kind: FindingKind) -> None:
    (finding,) = CASES[kind]()
    rule = USUAL_RULES[kind]
    assert (finding.kind, finding.decision, finding.reason) == (kind, rule.decision, rule.reason)
    assert finding.summary, "the internal text"
    told = reason_text(ReasonCode(finding.reason))
    assert told, "the partner-safe text"
    assert not [said for said in finding.evidence.values() if said and said in told]


@pytest.mark.parametrize("kind", set(FindingKind) - ALWAYS_REVIEWED)
def test_a_program_may_let_a_kind_pass_or_reject_for_it(kind: FindingKind) -> None:
    (finding,) = CASES[kind]()
    for decision in Decision:
        ruled = replace(finding, decision=decision)
        assert bool(holding([ruled])) is (decision is not Decision.ALLOW)
        sure = replace(ruled, band=Band.STRONG)
        assert (rejecting([sure]) == sure) is (decision is Decision.REJECT)
        assert rejecting([replace(ruled, band=Band.REVIEW)]) is None, "a weak match never rejects"


def test_a_program_says_what_follows_and_which_reason_is_told() -> None:
    rule = FindingRule(Decision.ALLOW, ReasonCode.NOT_QUALIFIED)
    rules = program(findings={**USUAL_RULES, FindingKind.DIRECT_ACCOUNT: rule})
    found = find_claims(registration(), rules, [_listed(ListKind.DIRECT)], [], NOW)
    assert [(f.decision, f.reason) for f in found] == [(Decision.ALLOW, "NOT_QUALIFIED")]
    assert is_low_risk(registration(), partner(), rules, check(registration(), found))


def test_a_finding_that_holds_nothing_up_needs_no_list_owner() -> None:
    (finding,) = _found(_listed(ListKind.HOUSE))
    assert deciders([finding]) == {"house-desk"}
    assert deciders([replace(finding, decision=Decision.ALLOW)]) == frozenset()


# --- what is worked and what is left alone ------------------------------------------------------


@pytest.mark.parametrize(
    "worked",
    [
        {"active_at": None},
        {"active_at": NOW - timedelta(days=179)},
        {"active_at": LONG_AGO, "opportunities": (OPEN,)},
        {"active_at": LONG_AGO, "opportunities": (replace(OPEN, touched_at=None),)},
    ],
)
def test_a_direct_account_is_dormant_only_where_that_is_known(worked: dict[str, Any]) -> None:
    kinds = {f.kind for f in _found(_listed(ListKind.DIRECT, **worked))}
    assert FindingKind.DIRECT_ACCOUNT in kinds
    assert FindingKind.DORMANT_ACCOUNT not in kinds


def test_an_opportunity_of_which_nobody_knows_when_it_was_touched_is_active() -> None:
    candidate = Candidate(account(), STRONG, (replace(OPEN, touched_at=None),))
    (finding,) = _found(candidate)
    assert finding.kind is FindingKind.OPEN_OPPORTUNITY


# --- customers, tenders, families ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("rival", "kind"),
    [
        (_rival(**WON), FindingKind.RENEWAL),
        (_rival("support", **WON), FindingKind.EXISTING_CUSTOMER),
        (_rival(**WON | {"partner_id": "partner-1"}), FindingKind.RENEWAL),
        (_rival(**WON | {"actual_close_on": date(2029, 3, 3)}), None),
    ],
)
def test_a_deal_won_within_the_programs_time_makes_an_existing_customer(
    rival: Rival, kind: FindingKind | None
) -> None:
    assert [f.kind for f in _found(rivals=(rival,))] == ([kind] if kind else [])


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (True, 1), (False, 0), (None, 0), (NOW.date(), 1), (NOW.date() + timedelta(days=1), 0),
        (NOW, 1), ("TED 2031/S 12", 1),
    ],
)  # fmt: skip
def test_a_tender_counts_when_it_was_published_before_the_deal_was_registered(
    said: Any, found: int
) -> None:
    assert len(_found(tender=said)) == found


@pytest.mark.parametrize("kind", ListKind)
def test_a_claim_on_a_relative_keeps_what_it_is_and_who_decides(kind: ListKind) -> None:
    (finding,) = _found(_listed(kind, PARENT))
    assert finding.kind is FindingKind.FAMILY_CLAIM
    assert finding.evidence["claim"] == _found(_listed(kind))[0].kind
    assert finding.decides == _found(_listed(kind))[0].decides
    assert "the customer's parent" in finding.summary
    assert (finding.evidence["relation"], finding.evidence["distance"]) == ("parent", "1")
