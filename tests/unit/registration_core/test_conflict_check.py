"""What a check finds, when it may be decided on, and what needs no person."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from registration_core.conflict_check import (
    deciders,
    disputing_findings,
    is_low_risk,
    readings_of,
    require_usable,
)
from registration_core.errors import CheckNotUsable
from registration_core.finding_claims import Candidate, OpenOpportunity, Rival, find_claims
from registration_core.findings import Decision, FindingKind
from registration_core.matching import Match
from registration_core.model import (
    Band,
    Finding,
    ProtectionState,
    Reading,
    Registration,
    RegistrationState,
)
from registration_core.program import ListKind, Program
from tests.factories import (
    CONNECTIONS,
    DYNAMICS,
    HUBSPOT,
    NOW,
    SALESFORCE,
    account,
    check,
    partner,
    program,
    registration,
)

STRONG = Match(Band.STRONG, ("tax_id",))
WEAK = Match(Band.REVIEW, ("domain",))
OPPORTUNITY = OpenOpportunity(SALESFORCE, "Opportunity", "006X", "001A", "Platform deal", "005R")


def claims(
    about: Registration,
    rules: Program,
    candidates: Iterable[Candidate] = (),
    rivals: Iterable[Rival] = (),
) -> tuple[Finding, ...]:
    return find_claims(about, rules, candidates, rivals, NOW)


@pytest.mark.parametrize(
    ("kind", "found", "decides"),
    [
        (ListKind.DIRECT, FindingKind.DIRECT_ACCOUNT, ""),
        (ListKind.HOUSE, FindingKind.HOUSE_ACCOUNT, "house-desk"),
        (ListKind.DO_NOT_CALL, FindingKind.DO_NOT_CALL, "compliance-desk"),
    ],
)
@pytest.mark.parametrize("match", [STRONG, WEAK])
def test_an_account_on_a_list_is_a_finding_for_the_owner_of_the_list(
    kind: ListKind, found: FindingKind, decides: str, match: Match
) -> None:
    listed = account(lists=frozenset({kind}))
    (finding,) = claims(registration(), program(), [Candidate(listed, match)], [])
    assert (finding.kind, finding.decides, finding.band) == (found, decides, match.band)
    assert (finding.connection, finding.record_id) == (SALESFORCE, "001A")
    assert finding.matched_on == match.matched_on
    assert finding.evidence == {
        "account": listed.name, "owner": "005R", "read_at": "2031-03-04T09:30:00Z",
        "valid_from": "2031-03-04",
    }  # fmt: skip


def test_an_account_on_several_lists_is_found_on_each() -> None:
    listed = account(lists=frozenset(ListKind))
    found = claims(registration(), program(), [Candidate(listed, STRONG)], [])
    assert {f.kind for f in found} == {
        FindingKind.DIRECT_ACCOUNT, FindingKind.HOUSE_ACCOUNT, FindingKind.DO_NOT_CALL,
        FindingKind.NAMED_ACCOUNT, FindingKind.EMBARGO, FindingKind.EXISTING_CUSTOMER,
    }  # fmt: skip
    assert deciders(found) == {"house-desk", "compliance-desk"}


def test_a_list_without_an_owner_is_decided_by_any_approver() -> None:
    listed = account(lists=frozenset({ListKind.HOUSE}))
    found = claims(registration(), program(list_terms={}), [Candidate(listed, STRONG)], [])
    assert deciders(found) == frozenset()


def test_an_open_opportunity_of_the_customer_is_a_finding_about_that_record() -> None:
    candidate = Candidate(account(), STRONG, (OPPORTUNITY,))
    (finding,) = claims(registration(), program(), [candidate], [])
    assert (finding.kind, finding.record_id) == (FindingKind.OPEN_OPPORTUNITY, "006X")
    assert "Platform deal" in finding.summary


def test_a_certain_account_that_nobody_claims_is_no_finding() -> None:
    assert claims(registration(), program(), [Candidate(account(), STRONG)], []) == ()


def test_an_uncertain_account_is_for_a_person_to_look_at() -> None:
    (finding,) = claims(registration(), program(), [Candidate(account(), WEAK)], [])
    assert (finding.kind, finding.band) == (FindingKind.AMBIGUOUS_MATCH, Band.REVIEW)


def test_two_certain_accounts_in_one_crm_are_ambiguous_and_in_two_crms_are_not() -> None:
    here, there = account(), account(record_id="001B")
    elsewhere = account(connection=HUBSPOT, record_id="77")
    twice = [Candidate(here, STRONG), Candidate(there, STRONG), Candidate(elsewhere, STRONG)]
    (finding,) = claims(registration(), program(), twice, [])
    assert (finding.kind, finding.connection) == (FindingKind.AMBIGUOUS_MATCH, SALESFORCE)
    apart = [Candidate(here, STRONG), Candidate(elsewhere, STRONG)]
    assert claims(registration(), program(), apart, []) == ()


ACTIVE = {"state": RegistrationState.APPROVED, "protection_state": ProtectionState.ACTIVE}
EARLIER, LATER = {"receipt_seq": 9}, {"receipt_seq": 11}
OWN = {"partner_id": "partner-1"}


@pytest.mark.parametrize(
    ("rival", "line", "found"),
    [
        (ACTIVE, "platform", FindingKind.ACTIVE_REGISTRATION),
        (ACTIVE | LATER, "platform", FindingKind.ACTIVE_REGISTRATION),
        (
            ACTIVE | {"protection_state": ProtectionState.EXPIRING},
            "platform",
            FindingKind.ACTIVE_REGISTRATION,
        ),
        (
            ACTIVE | {"protection_state": ProtectionState.CONTESTED},
            "platform",
            FindingKind.ACTIVE_REGISTRATION,
        ),
        (ACTIVE | {"protection_state": ProtectionState.RELEASED}, "platform", None),
        (ACTIVE, "support", FindingKind.ACTIVE_REGISTRATION),
        (ACTIVE, "training", None),
        (EARLIER, "platform", FindingKind.PENDING_REGISTRATION),
        (
            EARLIER | {"state": RegistrationState.MORE_INFO_NEEDED},
            "platform",
            FindingKind.PENDING_REGISTRATION,
        ),
        (LATER, "platform", None),
        (EARLIER, "training", None),
        (EARLIER | {"state": RegistrationState.REJECTED}, "platform", None),
        (OWN | EARLIER, "platform", FindingKind.SAME_PARTNER_DUPLICATE),
        (OWN | LATER, "platform", None),
        (OWN | LATER | ACTIVE, "platform", FindingKind.SAME_PARTNER_DUPLICATE),
        (OWN | ACTIVE, "training", FindingKind.SAME_PARTNER_DUPLICATE),
        (OWN | {"state": RegistrationState.WITHDRAWN}, "platform", None),
    ],
)
def test_what_another_registration_of_the_customer_means(
    rival: dict[str, Any], line: str, found: FindingKind | None
) -> None:
    other = registration(
        **{"id": "registration-2", "number": "DR-OTHER", "partner_id": "partner-2", **rival},
        product_line=line,
    )
    mine = registration(product_line=line)
    findings = claims(mine, program(), [], [Rival(other, STRONG)])
    assert [f.kind for f in findings] == ([found] if found else [])
    for finding in findings:
        assert finding.registration_id == "registration-2"
        assert "DR-OTHER" in finding.summary


def test_a_registration_for_another_product_line_is_no_rival() -> None:
    other = registration(partner_id="partner-2", product_line="support", **ACTIVE)
    assert claims(registration(), program(), [], [Rival(other, STRONG)]) == ()


def test_certain_findings_come_first() -> None:
    weak = Candidate(account(record_id="001W"), WEAK)
    listed = Candidate(account(lists=frozenset({ListKind.DIRECT})), STRONG)
    found = claims(registration(), program(), [weak, listed], [])
    assert [f.band for f in found] == [Band.STRONG, Band.REVIEW]


def test_a_complete_and_fresh_check_is_usable_until_the_last_second_of_its_limit() -> None:
    at_the_limit = NOW + timedelta(seconds=900)
    require_usable(check(registration()), registration(), program(), at_the_limit)


UNREAD = (
    Reading(SALESFORCE, True, NOW),
    Reading(DYNAMICS, False, None, "login refused"),
    Reading(HUBSPOT, True, NOW),
)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"registration_id": "registration-2"}, "another registration"),
        ({"began_at": NOW - timedelta(microseconds=1)}, "was changed after its check began"),
        ({"policy_version": "v0"}, "The rules of default changed after the check"),
        ({"readings": UNREAD}, "incomplete (dynamics: login refused)"),
        ({"readings": UNREAD[::2]}, "dynamics was not asked"),
        (
            {"readings": (Reading(SALESFORCE, True, None), *UNREAD[1:])},
            "incomplete (dynamics: login refused)",
        ),
        (
            {"readings": tuple(Reading(name, True, None) for name in CONNECTIONS)},
            "salesforce was not asked",
        ),
        (
            {
                "readings": tuple(
                    Reading(n, True, NOW - timedelta(seconds=901)) for n in CONNECTIONS
                )
            },
            "older than 900 seconds",
        ),
    ],
)
def test_a_check_is_refused_with_what_is_wrong_with_it(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(CheckNotUsable) as refused:
        require_usable(check(registration(), **changes), registration(), program(), NOW)
    assert told in refused.value.message
    assert "DR-2345-6789" in str(refused.value)


def test_a_connection_that_was_not_required_spoils_no_check() -> None:
    lean = program(required_connections=(SALESFORCE, HUBSPOT))
    asked_too = tuple(replace(r, required=r.complete) for r in UNREAD)
    require_usable(check(registration(), readings=asked_too), registration(), lean, NOW)
    with pytest.raises(CheckNotUsable, match="dynamics: login refused"):
        require_usable(check(registration(), readings=UNREAD), registration(), lean, NOW)


LATE = (Reading(SALESFORCE, True, NOW), Reading(DYNAMICS, False, NOW, "it lags", overridable=True))


def test_what_may_be_accepted_is_said_with_the_command_and_nothing_else_is_accepted() -> None:
    lean = program(required_connections=(SALESFORCE, DYNAMICS))
    late = check(registration(), readings=LATE)
    with pytest.raises(CheckNotUsable, match="it lags") as refused:
        require_usable(late, registration(), lean, NOW)
    assert "dealreg approval override DR-2345-6789" in refused.value.hint
    require_usable(late, registration(), lean, NOW, overridden=True)
    unread = check(registration(), readings=(*LATE[1:], Reading(SALESFORCE, False, None, "away")))
    with pytest.raises(CheckNotUsable, match="salesforce: away"):
        require_usable(unread, registration(), lean, NOW, overridden=True)


def test_readings_are_found_by_connection() -> None:
    assert readings_of(check(registration(), readings=UNREAD))[DYNAMICS].reason == "login refused"


def test_a_small_deal_without_findings_needs_no_person() -> None:
    assert is_low_risk(registration(), partner(), program(), check(registration()))


@pytest.mark.parametrize(
    "registered",
    [
        {"amount": Decimal("100000.01")},
        {"currency": "EUR"},
        {"currency": "EUR", "amount": Decimal(1)},
        {"product_line": "dropped"},
    ],
)
def test_a_larger_deal_or_another_currency_needs_a_person(registered: dict[str, Any]) -> None:
    made = registration(**registered)
    assert not is_low_risk(made, partner(), program(), check(made))


def test_low_risk_needs_the_tier_a_rule_a_complete_check_and_no_finding() -> None:
    made, clean = registration(), check(registration())
    finding = Finding(FindingKind.AMBIGUOUS_MATCH, Band.REVIEW, (), "perhaps")
    assert not is_low_risk(made, partner(tier="bronze"), program(), clean)
    assert not is_low_risk(made, partner(), program(low_risk=None), clean)
    assert not is_low_risk(made, partner(), program(), replace(clean, readings=UNREAD))
    assert not is_low_risk(made, partner(), program(), replace(clean, findings=(finding,)))


# --- what a re-check disputes a protection for --------------------------------------------------


def _finding(kind: FindingKind, claim: FindingKind | None = None, **changes: Any) -> Finding:
    evidence = {"claim": claim.value} if claim else {}
    made = Finding(kind, Band.STRONG, (), "found", SALESFORCE, "001A", evidence=evidence)
    return replace(made, **changes)


def _family(claim: FindingKind) -> Finding:
    return _finding(FindingKind.FAMILY_CLAIM, claim)


KIND = FindingKind


@pytest.mark.parametrize(
    ("before", "after", "disputed"),
    [
        (None, _finding(KIND.DO_NOT_CALL), True),
        (_finding(KIND.DO_NOT_CALL), _finding(KIND.DO_NOT_CALL), False),
        (_finding(KIND.DO_NOT_CALL), _finding(KIND.DO_NOT_CALL, record_id="001B"), True),
        (None, _finding(KIND.HOUSE_ACCOUNT), False),
        (None, _finding(KIND.NAMED_ACCOUNT), False),
        (None, _family(KIND.HOUSE_ACCOUNT), False),
        (None, _family(KIND.NAMED_ACCOUNT), False),
        (None, _family(KIND.EMBARGO), True),
        (_family(KIND.HOUSE_ACCOUNT), _family(KIND.EMBARGO), True),
        (_finding(KIND.OPEN_OPPORTUNITY), _finding(KIND.STALE_OPPORTUNITY), False),
        (_finding(KIND.STALE_OPPORTUNITY), _finding(KIND.OPEN_OPPORTUNITY), True),
        (_finding(KIND.DIRECT_ACCOUNT), _finding(KIND.DORMANT_ACCOUNT), False),
        (_finding(KIND.DORMANT_ACCOUNT), _finding(KIND.DIRECT_ACCOUNT), True),
        (_family(KIND.OPEN_OPPORTUNITY), _family(KIND.STALE_OPPORTUNITY), False),
        (None, _finding(KIND.STALE_OPPORTUNITY), True),
        (None, _finding(KIND.STALE_OPPORTUNITY, decision=Decision.ALLOW), False),
        (None, _finding(KIND.SAME_PARTNER_DUPLICATE), False),
    ],
)
def test_a_claim_is_disputed_for_what_is_new_holds_and_does_not_apply_backwards(
    before: Finding | None, after: Finding, *, disputed: bool
) -> None:
    made = registration()
    known = check(made, [before]) if before else None
    assert disputing_findings(check(made, [after]), known) == ([after] if disputed else [])


def test_a_check_that_asked_about_another_customer_counts_no_more_whenever_it_began() -> None:
    about = registration()
    changed = replace(about, customer=replace(about.customer, phone="+1 919 555 0126"))
    asked = check(about, customer=about.customer)
    require_usable(asked, about, program(), NOW)
    with pytest.raises(CheckNotUsable, match="was changed after its check began"):
        require_usable(asked, changed, program(), NOW)
