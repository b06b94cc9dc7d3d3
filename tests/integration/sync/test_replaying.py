"""Past registrations under other rules: what would differ, and because of what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from registration_core import use_cases
from registration_core.contracts import Value
from registration_core.findings import Decision, FindingKind, FindingRule, ReasonCode
from registration_core.model import Band, Customer, Finding
from registration_core.program import ListKind, Program
from registration_core.store import repository
from sync import checking, replaying
from sync.accounts import directory
from sync.replaying import Difference
from tests.integration.sync.test_checking import mark
from tests.world import HOME, START, World


def _replayed(world: World, **changes: Any) -> list[Difference]:
    rules = {"default": replace(world.runtime.program("default"), **changes)}
    with world.database.read() as session:
        ids = replaying.received_since(session, START)
        found = [replaying.replay(session, key, rules) for key in ids]
    return [one for one in found if one is not None]


def _ruled(program: Program, kind: FindingKind, decision: Decision) -> dict[str, Any]:
    rule = FindingRule(decision, ReasonCode.NOT_ELIGIBLE_ACCOUNT)
    return {"findings": {**program.findings, kind: rule}}


@pytest.fixture
def past(world: World) -> World:
    """A world with one approved and one held registration, and a rep's opportunity."""
    world.approved(customer=Customer("Quillfeder Reederei", "DE"), token="clean")
    mark(world, House=True)
    org = world.orgs[HOME]
    (record,) = [r for r in org.records("Account") if r.fields["Tax"] == "DE100"]
    deal: dict[str, Value] = {
        "Name": "Rep's",
        "Stage": "Q1",
        "Account": record.record_id,
        "Closed": False,
    }
    org.add("Deal", deal, "rep")
    world.approved(token="held", partner_code="BETA")
    world.pass_time(60)
    directory.refresh(world.runtime, HOME)
    return world


def test_under_the_same_rules_nothing_differs(past: World) -> None:
    assert _replayed(past) == []


def test_a_kind_that_would_be_rejected_for_is_told_with_its_reason(past: World) -> None:
    rules = _ruled(past.runtime.program("default"), FindingKind.HOUSE_ACCOUNT, Decision.REJECT)
    (found,) = _replayed(past, **rules)
    assert (found.before, found.after) == ("a person decides", "rejected: NOT_ELIGIBLE_ACCOUNT")
    assert found.reasons == ("house_account: review becomes reject",)


def test_an_opportunity_that_would_be_stale_is_told(past: World) -> None:
    past.pass_time(5 * 86400)
    (found,) = _replayed(past, activity_days=-1)
    assert set(found.reasons) == {
        "found besides: stale_opportunity", "found no more: open_opportunity",
    }  # fmt: skip


def test_what_would_not_be_approved_by_the_rule_any_more_is_told(past: World) -> None:
    (found,) = _replayed(past, low_risk=None)
    assert (found.before, found.after) == ("approved by the rule", "a person decides")


def test_only_what_was_received_since_the_day_is_looked_at(past: World) -> None:
    with past.database.read() as session:
        assert len(replaying.received_since(session, START)) == 2
        assert replaying.received_since(session, past.now) == []


def test_an_earlier_rival_that_was_withdrawn_later_is_seen_as_it_stood_then(world: World) -> None:
    first = world.submit(token="one")
    second = world.submit(token="two", partner_code="BETA")
    (finding,) = checking.check_now(world.runtime, second.number).findings
    assert finding.kind is FindingKind.PENDING_REGISTRATION
    world.pass_time(1)
    with world.database.begin() as unit:
        use_cases.withdraw(unit, first.id)
    assert _replayed(world) == []


@pytest.mark.parametrize(
    ("kind", "became", "known", "rules", "told"),
    [
        (
            ListKind.DIRECT, FindingKind.DORMANT_ACCOUNT, {"active_at": "2025-01-01T00:00:00Z"},
            {"activity_days": 500}, {"found besides: direct_account", "found no more: dormant_account"},
        ),
        (
            ListKind.DIRECT, FindingKind.DIRECT_ACCOUNT, {"active_at": "2026-02-01T00:00:00Z"},
            {"activity_days": 20}, {"found besides: dormant_account", "found no more: direct_account"},
        ),
        (
            ListKind.CUSTOMER, FindingKind.RENEWAL, {"products": "support; Platform"}, {}, set(),
        ),
    ],
)  # fmt: skip
def test_when_an_account_was_worked_and_what_it_bought_is_known_as_the_check_of_then_read_it(
    world: World,
    kind: ListKind,
    became: FindingKind,
    known: dict[str, str],
    rules: dict[str, Any],
    told: set[str],
) -> None:
    made = world.approved(currency="USD")
    check = checking.check_now(world.runtime, made.number)
    with world.database.begin() as unit:
        account = repository.account(unit.session, HOME, check.accounts[HOME])
        assert account is not None
        repository.put_accounts(unit.session, [replace(account, lists=frozenset({kind}))])
        found = Finding(
            became, Band.STRONG, ("tax_id",), "", HOME, account.record_id,
            evidence={"account": account.name, **known},
        )  # fmt: skip
        repository.add_check(unit.session, replace(check, id="then", findings=(found,)))
    assert _replayed(world) == []
    assert {reason for one in _replayed(world, **rules) for reason in one.reasons} == told
