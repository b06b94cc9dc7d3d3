"""No approval without a complete and fresh check, and never two protections."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from connectors.memory import MemoryFault
from registration_core import matches, use_cases
from registration_core.contracts import Value
from registration_core.errors import CheckNotUsable, NotAllowed
from registration_core.findings import Decision, FindingKind, FindingRule
from registration_core.matching import MATCHER_VERSION
from registration_core.model import (
    SYSTEM,
    Actor,
    Customer,
    DisputeState,
    RegistrationState,
)
from registration_core.program import ListKind
from registration_core.store import audit, match_index, match_upkeep, repository
from registration_core.store.tables import MatchKeyCountRow
from sync import checking
from sync.accounts import completeness
from tests.world import BEN, HOME, MIRROR, World


def mark(world: World, **marks: bool) -> None:
    """Mark the customer's account in the home CRM."""
    org = world.orgs[HOME]
    (record,) = [r for r in org.records("Account") if r.fields["Tax"] == "DE100"]
    org.edit("Account", record.record_id, marks, "admin")


def test_a_clean_small_deal_of_a_good_partner_is_approved_by_the_rule(world: World) -> None:
    made = world.approved()

    assert made.state is RegistrationState.APPROVED
    check = world.last_check(made.id)
    assert (check.incomplete, check.findings) == ((), ())
    assert {r.connection for r in check.readings} == {HOME, MIRROR}
    assert all(r.as_of is not None for r in check.readings)


def test_a_larger_deal_goes_before_a_person(world: World) -> None:
    assert world.approved(amount=Decimal(100_001)).state is RegistrationState.UNDER_REVIEW


def test_a_currency_is_never_converted_to_fit_the_rule(world: World) -> None:
    assert world.approved(currency="USD").state is RegistrationState.UNDER_REVIEW


@pytest.mark.parametrize(
    ("field", "kind", "owner"),
    [
        ("Direct", FindingKind.DIRECT_ACCOUNT, ""),
        ("House", FindingKind.HOUSE_ACCOUNT, "house-desk"),
        ("NoCall", FindingKind.DO_NOT_CALL, "compliance-desk"),
    ],
)
def test_an_account_on_a_list_is_found_and_held_for_the_lists_owner(
    world: World, field: str, kind: FindingKind, owner: str
) -> None:
    mark(world, **{field: True})

    made = world.approved()

    assert made.state is RegistrationState.UNDER_REVIEW
    (finding,) = world.last_check(made.id).findings
    assert (finding.kind, finding.decides, finding.connection) == (kind, owner, HOME)
    if owner:
        with pytest.raises(NotAllowed, match=f"held for {owner}"):
            checking.approve(world.runtime, made.number, BEN)
        made = checking.approve(world.runtime, made.number, Actor(owner, "desk"))
    else:
        made = checking.approve(world.runtime, made.number, BEN)
    assert made.state is RegistrationState.APPROVED


def _rule(world: World, kind: FindingKind, decision: Decision) -> None:
    """Let the program say what follows from a kind of finding."""
    before = world.runtime.program("default")
    rule = FindingRule(decision, before.findings[kind].reason)
    changed = replace(before, findings={**before.findings, kind: rule})
    world.runtime.programs["default"] = changed  # type: ignore[index]


def test_a_program_may_reject_for_a_finding_and_the_partner_is_told_the_kinds_reason(
    world: World,
) -> None:
    _rule(world, FindingKind.HOUSE_ACCOUNT, Decision.REJECT)
    mark(world, House=True)
    made = world.approved()
    assert made.state is RegistrationState.REJECTED
    assert made.reason_code == "NOT_ELIGIBLE_ACCOUNT"
    assert made.partner_message is not None
    assert "house" not in made.partner_message


def test_a_finding_that_the_program_allows_does_not_keep_a_small_deal_from_approval(
    world: World,
) -> None:
    _rule(world, FindingKind.DIRECT_ACCOUNT, Decision.ALLOW)
    mark(world, Direct=True)
    made = world.approved()
    assert made.state is RegistrationState.APPROVED
    assert [f.kind for f in world.last_check(made.id).findings] == [FindingKind.DIRECT_ACCOUNT]


def test_an_account_that_becomes_a_house_account_later_does_not_touch_a_claim(
    world: World,
) -> None:
    made = world.approved()
    world.settle()
    mark(world, House=True)
    world.settle()
    assert world.registration(made.id).dispute_state is DisputeState.NONE
    assert FindingKind.HOUSE_ACCOUNT in {f.kind for f in world.last_check(made.id).findings}


def test_a_do_not_call_mark_that_comes_later_opens_a_dispute(world: World) -> None:
    made = world.approved()
    world.settle()
    mark(world, NoCall=True)
    world.settle()
    assert world.registration(made.id).dispute_state is DisputeState.OPEN


def test_a_stale_opportunity_is_told_from_one_that_is_worked(world: World) -> None:
    org = world.orgs[HOME]
    (record,) = [r for r in org.records("Account") if r.fields["Tax"] == "DE100"]
    deal: dict[str, Value] = {
        "Name": "Old",
        "Stage": "Q1",
        "Account": record.record_id,
        "Closed": False,
    }
    org.add("Deal", deal, "rep")
    world.pass_time(181 * 86400)
    org.add("Deal", deal | {"Name": "New"}, "rep")
    kinds = [f.kind for f in world.last_check(world.approved().id).findings]
    assert kinds == [FindingKind.OPEN_OPPORTUNITY, FindingKind.STALE_OPPORTUNITY]


def test_the_submitter_cannot_approve(world: World) -> None:
    made = world.approved(amount=Decimal(200_000))

    with pytest.raises(NotAllowed, match="ann submitted"):
        checking.approve(world.runtime, made.number, Actor("ann", "elsewhere"))


def test_a_crm_that_is_away_makes_the_check_incomplete_until_it_is_back(world: World) -> None:
    world.doors[MIRROR].fail(MemoryFault.UNAVAILABLE, times=None)

    made = world.approved()

    assert made.state is RegistrationState.SUBMITTED
    (unread,) = world.last_check(made.id).incomplete
    assert unread.connection == MIRROR
    with pytest.raises(CheckNotUsable, match=MIRROR):
        checking.approve(world.runtime, made.number, BEN)

    world.doors[MIRROR].recover()
    world.settle()
    assert world.registration(made.id).state is RegistrationState.APPROVED


def test_a_missing_canary_makes_the_check_incomplete(world: World) -> None:
    org = world.orgs[HOME]
    (canary,) = [r for r in org.records("Account") if r.fields["House"]]
    org.edit("Account", canary.record_id, {"House": False}, "admin")

    made = world.approved()

    assert made.state is RegistrationState.SUBMITTED
    (unread,) = world.last_check(made.id).incomplete
    assert "canary of the house list" in unread.reason


def test_every_territory_has_a_canary_that_must_be_seen(world: World) -> None:
    program = world.runtime.program("default")
    lists = [
        replace(each, canary_tax_ids=(*each.canary_tax_ids, "DE909"))
        if (each.kind, each.connection) == (ListKind.HOUSE, HOME)
        else each
        for each in program.lists
    ]
    programs = {"default": replace(program, lists=tuple(lists))}
    world.runtime = replace(world.runtime, programs=programs)
    made = world.approved()
    (unread,) = world.last_check(made.id).incomplete
    assert unread.reason == "the canary of the house list (tax id DE909) is missing"
    there: dict[str, Value] = {"Name": "South", "Country": "DE", "Tax": "DE909", "House": True}
    world.orgs[HOME].add("Account", there)
    world.settle()
    assert world.registration(made.id).state is RegistrationState.APPROVED


def test_a_check_waits_while_the_match_keys_are_made_anew(world: World) -> None:
    with world.database.begin() as unit:
        unit.session.add(MatchKeyCountRow(key=match_index.UNRELIABLE, accounts=0))

    made = world.approved()

    assert made.state is RegistrationState.SUBMITTED
    assert all("dealreg db reindex" in r.reason for r in world.last_check(made.id).incomplete)
    match_upkeep.rebuild(world.database, lambda *_: None)
    world.settle()
    assert world.registration(made.id).state is RegistrationState.APPROVED


def test_a_shrunken_list_is_not_believed_until_a_person_accepts_it(world: World) -> None:
    org = world.orgs[HOME]
    houses = [
        org.add("Account", {"Name": f"House {n}", "Country": "DE", "Tax": f"H{n}", "House": True})
        for n in range(9)
    ]
    world.approved(token="first")
    for record_id in houses[:3]:
        org.edit("Account", record_id, {"House": False}, "admin")
    other = Customer("Other GmbH", "DE", tax_id="DE555")

    made = world.approved(token="second", customer=other)

    (unread,) = world.last_check(made.id).incomplete
    assert "house list has 7 accounts, it had 10" in unread.reason
    assert completeness.accept_list(world.runtime, HOME, ListKind.HOUSE, BEN) == 7
    world.settle()
    assert world.registration(made.id).state is RegistrationState.APPROVED


def test_a_list_that_vanishes_unseen_is_noticed_once_its_count_is_old(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.approved(token="first")
    monkeypatch.setattr(world.doors[HOME], "count", lambda *_: 0)
    second, third = (Customer(f"Other {n} GmbH", "DE", tax_id=f"DE55{n}") for n in (5, 6))
    soon = world.approved(token="second", customer=second)
    assert world.last_check(soon.id).incomplete == ()
    world.pass_time(601)  # the program's freshness limit is 600 seconds
    later = world.approved(token="third", customer=third)
    (unread,) = world.last_check(later.id).incomplete
    assert "has 0 accounts, it had 1" in unread.reason


def test_an_old_check_is_made_again_before_an_approval(world: World) -> None:
    made = world.approved(amount=Decimal(200_000))
    old = world.last_check(made.id)
    world.pass_time(3600)

    approved = checking.approve(world.runtime, made.number, BEN)

    assert approved.state is RegistrationState.APPROVED
    assert world.last_check(made.id).began_at > old.began_at


def test_a_list_mark_set_between_check_and_approval_is_seen(world: World) -> None:
    made = world.approved(amount=Decimal(200_000))
    mark(world, House=True)
    world.pass_time(3600)

    with pytest.raises(CheckNotUsable, match=r"you have not seen: .* is on the house list"):
        checking.approve(world.runtime, made.number, BEN)
    with pytest.raises(NotAllowed, match="held for house-desk"):
        checking.approve(world.runtime, made.number, BEN)


def test_nobody_approves_on_findings_that_they_cannot_have_seen(world: World) -> None:
    made = world.approved(amount=Decimal(200_000))
    account = world.last_check(made.id).accounts[HOME]
    world.orgs[HOME].add(
        "Deal", {"Name": "Rep's own", "Stage": "Q1", "Account": account, "Closed": False}, "rep"
    )
    world.pass_time(3600)

    with pytest.raises(CheckNotUsable, match="you have not seen"):
        checking.approve(world.runtime, made.number, BEN)
    assert world.registration(made.id).state is RegistrationState.UNDER_REVIEW

    approved = checking.approve(world.runtime, made.number, BEN)  # and now they have
    assert approved.state is RegistrationState.APPROVED


def test_of_two_partners_only_the_first_receipt_is_protected(world: World) -> None:
    first = world.submit(token="one")
    second = world.submit(token="two", partner_code="BETA")

    checking.drain(world.runtime)

    states = [world.registration(key).state for key in (first.id, second.id)]
    assert states == [RegistrationState.APPROVED, RegistrationState.UNDER_REVIEW]
    (finding,) = world.last_check(second.id).findings
    assert finding.kind is FindingKind.ACTIVE_REGISTRATION


def test_a_direct_opportunity_on_a_protected_account_opens_a_dispute(world: World) -> None:
    made = world.approved()
    world.settle()
    account = made.accounts[HOME]

    world.orgs[HOME].add(
        "Deal", {"Name": "Rep's own", "Stage": "Q1", "Account": account, "Closed": False}, "rep"
    )
    world.settle()

    after = world.registration(made.id)
    assert after.dispute_state is DisputeState.OPEN
    assert after.state is RegistrationState.APPROVED


def test_one_customer_named_two_ways_is_one_through_its_account(world: World) -> None:
    org = world.orgs[HOME]
    (record,) = [r for r in org.records("Account") if r.fields["Tax"] == "DE100"]
    org.edit("Account", record.record_id, {"Website": "https://nordhafen.example"}, "admin")
    world.approved(token="by-tax-id")
    typed = Customer("Nordhafen Logistik", "DE", website="www.nordhafen.example")

    second = world.approved(token="by-domain", partner_code="BETA", customer=typed)

    assert second.state is RegistrationState.UNDER_REVIEW
    kinds = {f.kind for f in world.last_check(second.id).findings}
    assert FindingKind.ACTIVE_REGISTRATION in kinds


def test_a_later_check_goes_by_a_persons_word_on_an_account(world: World) -> None:
    org = world.orgs[HOME]
    namesake = org.add(
        "Account", {"Name": "Lindqvist Kranar AB", "Country": "SE", "Website": "lk.example"}
    )
    typed = Customer("LK Group", "SE", website="lk.example")
    made = world.approved(customer=typed)
    assert [f.kind for f in world.last_check(made.id).findings] == [FindingKind.AMBIGUOUS_MATCH]

    with world.database.begin(BEN) as unit:
        matches.deny(unit, made.number, f"{HOME}:{namesake}", "another one")
    world.pass_time(1)
    assert checking.check_now(world.runtime, made.number).findings == ()

    with world.database.begin(BEN) as unit:
        matches.confirm(unit, made.number, f"{HOME}:{namesake}", "it is, after all")
    world.pass_time(1)
    check = checking.check_now(world.runtime, made.number)
    assert (check.findings, check.accounts) == ((), {HOME: namesake})


def test_a_deal_is_checked_before_it_is_submitted_and_nothing_is_kept(world: World) -> None:
    mark(world, House=True)
    made = world.submit()
    with world.database.begin(BEN) as unit:
        use_cases.withdraw(unit, made.id)
        events = len(audit.events(unit.session, f"registration:{made.id}"))

    check = checking.try_check(world.runtime, replace(made, id="not kept"))

    assert [f.kind for f in check.findings] == [FindingKind.HOUSE_ACCOUNT]
    assert {r.connection for r in check.readings} == {HOME, MIRROR}
    with world.database.read() as session:
        assert repository.last_check(session, "not kept") is None
        assert len(audit.events(session, f"registration:{made.id}")) == events


def test_a_check_is_audited_as_whoever_asked_and_what_follows_as_the_programs(
    world: World,
) -> None:
    made = world.submit()
    checking.check_now(world.runtime, made.number, BEN)
    with world.database.read() as session:
        events = audit.events(session, f"registration:{made.id}")
    who = {event["action"]: event["actor"] for event in events}
    assert (who["check"], who["approve"]) == (str(BEN), str(SYSTEM))


def test_a_check_keeps_policy_and_matcher_versions(world: World) -> None:
    made = world.approved()
    check = world.last_check(made.id)
    assert (check.policy_version, check.matcher_version) == ("1", MATCHER_VERSION)
    changed = replace(world.runtime.program("default"), version="2")
    world.runtime.programs["default"] = changed  # type: ignore[index]
    world.pass_time(1)
    assert checking.check_now(world.runtime, made.number).policy_version == "2"


def test_an_account_with_texts_longer_than_the_directory_keeps_stops_nothing(world: World) -> None:
    world.orgs[HOME].add("Account", {"Name": "N" * 255, "Country": "D" * 200, "Tax": "T" * 255})
    assert world.approved().state is RegistrationState.APPROVED
