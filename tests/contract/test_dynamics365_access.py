"""Signing in to Dynamics 365, what our user may do there, and how a check tells of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from connectors.dynamics365.connector import DynamicsConnector
from connectors.errors import (
    AuthenticationFailed,
    CrmUnavailable,
    NotPermitted,
)
from connectors.port import (
    CheckItem,
    CreateItem,
    ObjectNeed,
)
from sandbox.faults import Fault, FaultKind
from tests.contract.dynamics365 import (
    ACCOUNT,
    KEY,
    OPPORTUNITY,
    Crm,
    fresh,
    restored,
)
from tests.contract.peers import Peer, SandboxPeerOrg


@pytest.fixture
def crm(remote: Callable[[str], Peer]) -> Iterator[Crm]:
    with restored(remote("dynamics365")) as crm:
        yield crm


def needs() -> list[ObjectNeed]:
    writes = ("name", "estimatedvalue", "statecode", "customerid_account")
    return [ObjectNeed(ACCOUNT, None, ("name",)), ObjectNeed(OPPORTUNITY, KEY, writes, writes)]


def wrong(items: tuple[CheckItem, ...]) -> list[tuple[str, str]]:
    return [(item.step, item.remedy) for item in items if not item.ok]


def test_check_proves_each_step_and_tells_the_budget(crm: Crm) -> None:
    items = crm.connector.check(needs())
    assert wrong(items) == []
    steps = {item.step for item in items}
    assert {"sign in", f"opportunity: alternate key on {KEY}", "API budget"} <= steps
    assert crm.org.org_id in items[0].detail


@pytest.mark.parametrize("access", ["Read", "Write", "Create"])
def test_check_names_a_missing_privilege(crm: Crm, access: str) -> None:
    crm.org.behaviour.revoked.add((access, OPPORTUNITY))
    remedies = " ".join(remedy for _, remedy in wrong(fresh(crm).check(needs())))
    assert f"prv{access}Opportunity" in remedies


def test_check_tells_that_a_key_is_not_ready(crm: Crm) -> None:
    crm.org.behaviour.key_status = "InProgress"
    steps = [step for step, _ in wrong(fresh(crm).check(needs()))]
    assert steps == [f"opportunity: alternate key on {KEY}"]


def test_check_tells_of_a_key_that_is_not_there(crm: Crm) -> None:
    problems = wrong(crm.connector.check([ObjectNeed(ACCOUNT, "dr_duns", (), ())]))
    assert [step for step, _ in problems] == ["account: alternate key on dr_duns"]
    assert "dr_duns" in problems[0][1]


def test_check_tells_of_columns_that_cannot_be_written(crm: Crm) -> None:
    need = ObjectNeed(OPPORTUNITY, KEY, (), ("name", "createdon"))
    (problem,) = [item for item in crm.connector.check([need]) if not item.ok]
    assert "createdon" in problem.detail


def test_a_missing_application_user_is_a_missing_permission(crm: Crm) -> None:
    crm.org.behaviour.application_user = False
    with pytest.raises(NotPermitted, match="application user"):
        fresh(crm).identity()
    (problem,) = fresh(crm).check(needs())
    assert "application user" in problem.remedy


def test_a_refused_sign_in_names_the_number_and_never_the_secret(crm: Crm) -> None:
    with pytest.raises(AuthenticationFailed, match="AADSTS7000215") as caught:
        crm.peer.org.stranger().identity()
    assert "not-the-secret" not in f"{caught.value}{caught.value.__cause__}"


def test_a_sign_in_service_that_is_down_is_an_outage(crm: Crm) -> None:
    crm.stand_in.faults.add(Fault(FaultKind.DOWN, path="openid-configuration|token"))
    connector = fresh(crm)
    with pytest.raises(CrmUnavailable) as caught:
        connector.create(OPPORTUNITY, KEY, [CreateItem("k", {KEY: "k", "name": "X"})])
    assert not caught.value.may_have_happened
    crm.stand_in.faults.clear()
    assert connector.identity().org_id == crm.org.org_id


def test_nothing_happened_where_nobody_listens(crm: Crm) -> None:
    assert isinstance(crm.peer.org, SandboxPeerOrg)
    settings = dataclasses.replace(
        crm.peer.org.settings, base_url="https://127.0.0.1:1", connect_timeout_seconds=1
    )
    connector = DynamicsConnector(settings, lambda: datetime.now(UTC))
    with pytest.raises(CrmUnavailable) as caught:
        connector.create(OPPORTUNITY, KEY, [CreateItem("k", {KEY: "k"})])
    assert not caught.value.may_have_happened


def test_only_the_given_authority_is_trusted(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/bundle.pem")
    assert fresh(crm).identity().org_id == crm.org.org_id


def test_definitions_are_read_once_and_a_count_is_one_call(crm: Crm) -> None:
    connector = fresh(crm)
    connector.identity()
    before = crm.stand_in.journal.total
    connector.identity()
    connector.count(ACCOUNT, [])
    described = crm.stand_in.journal.total
    connector.count(ACCOUNT, [])
    assert described - before == 3  # table definition, set names, one page
    assert crm.stand_in.journal.total - described == 1
    budget = connector.api_budget()
    assert budget is not None
    assert 0 < budget.used < budget.allowed
