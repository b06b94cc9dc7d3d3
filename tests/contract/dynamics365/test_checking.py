"""What `connection check` proves of Dynamics 365, and what it names when it is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from connectors.errors import NotPermitted
from connectors.port import CheckItem, ObjectNeed, Refused
from tests.contract.dynamics365 import (
    ACCOUNT,
    KEY,
    MIRROR,
    OPPORTUNITY,
    REP,
    Crm,
    fresh,
)


def needs() -> list[ObjectNeed]:
    writes = ("name", "estimatedvalue", "transactioncurrencyid", "statecode", "parentaccountid")
    return [ObjectNeed(ACCOUNT, None, ("name",)), ObjectNeed(OPPORTUNITY, KEY, writes, writes)]


MIRROR_NEED = ObjectNeed(MIRROR, KEY, ("dr_account",), ("dr_account", "dr_amount"))


def wrong(items: tuple[CheckItem, ...]) -> list[tuple[str, str]]:
    return [(item.step, item.remedy) for item in items if not item.ok]


def test_check_proves_each_step_and_tells_the_budget(crm: Crm) -> None:
    items = crm.connector.check(needs())
    assert wrong(items) == []
    steps = {item.step for item in items}
    assert {"sign in", f"opportunity: alternate key on {KEY}", "API budget"} <= steps
    assert crm.org.org_id in items[0].detail


@pytest.mark.parametrize(
    ("access", "table", "privilege"),
    [
        ("Read", OPPORTUNITY, "prvReadOpportunity"),
        ("Write", OPPORTUNITY, "prvWriteOpportunity"),
        ("Create", OPPORTUNITY, "prvCreateOpportunity"),
        ("Append", OPPORTUNITY, "prvAppendOpportunity"),
        ("AppendTo", OPPORTUNITY, "prvAppendToOpportunity"),
        ("AppendTo", ACCOUNT, "prvAppendToAccount"),
        ("Create", "opportunityclose", "prvCreateOpportunityClose"),
        ("Read", "opportunityclose", "prvReadOpportunityClose"),
        ("Append", "opportunityclose", "prvAppendOpportunityClose"),
        ("Read", "transactioncurrency", "prvReadTransactionCurrency"),
    ],
)
def test_check_names_a_missing_privilege(crm: Crm, access: str, table: str, privilege: str) -> None:
    crm.org.behaviour.revoked.add((access, table))
    (remedy,) = [remedy for _, remedy in wrong(fresh(crm).check(needs()))]
    assert f" {privilege} " in remedy


def test_check_asks_nothing_of_what_is_neither_closed_nor_in_a_currency(crm: Crm) -> None:
    crm.org.behaviour.revoked |= {("Create", "opportunityclose"), ("Read", "transactioncurrency")}
    need = ObjectNeed(OPPORTUNITY, KEY, ("name",), ("name",))
    assert wrong(fresh(crm).check([need])) == []


def test_a_role_that_may_not_read_users_cannot_be_checked_and_is_told_so(crm: Crm) -> None:
    crm.org.behaviour.revoked.add(("Read", "systemuser"))
    ((step, remedy),) = wrong(fresh(crm).check(needs()))
    assert step == "security role"
    assert "read users" in remedy


def test_closing_takes_the_privilege_to_make_its_activity(crm: Crm) -> None:
    record_id = crm.create()
    crm.org.behaviour.revoked.add(("Create", "opportunityclose"))
    outcome = crm.update(record_id, {"statecode": "1"})
    assert isinstance(outcome, Refused)
    assert "prvCreateOpportunityClose" in outcome.message


def test_check_tells_of_a_role_that_does_not_read_the_whole_organisation(crm: Crm) -> None:
    crm.org.behaviour.depths["Read", ACCOUNT] = "Deep"
    ((step, remedy),) = wrong(fresh(crm).check(needs()))
    assert step == "account: change tracking"
    assert "prvReadAccount at organisation level" in remedy
    with pytest.raises(NotPermitted, match="prvReadAccount"):
        crm.connector.changes(ACCOUNT, ("name",), None)


def test_check_tells_of_a_table_that_takes_no_precondition(crm: Crm) -> None:
    crm.org.behaviour.unversioned.add(OPPORTUNITY)
    ((step, remedy),) = wrong(fresh(crm).check(needs()))
    assert step == "opportunity: optimistic concurrency"
    assert "supports it" in remedy


def test_check_warns_of_a_table_that_is_not_tracked(crm: Crm) -> None:
    crm.org.behaviour.untracked.add(ACCOUNT)
    crm.org.behaviour.depths["Read", ACCOUNT] = "Deep"  # which only the tracked feed minds
    items = fresh(crm).check(needs())
    assert wrong(items) == []
    (warning,) = [item for item in items if item.warning]
    assert warning.step == "account: change tracking"
    assert "once a day" in warning.detail
    assert "Track changes" in warning.remedy


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


def test_check_tells_that_an_owner_is_read_and_not_written(crm: Crm) -> None:
    need = ObjectNeed(OPPORTUNITY, KEY, ("ownerid",), ("name", "ownerid"))
    (problem,) = [item for item in crm.connector.check([need]) if not item.ok]
    assert "ownerid" in problem.detail


def test_check_names_the_privilege_to_point_at_a_customer(crm: Crm) -> None:
    crm.org.behaviour.revoked.add(("AppendTo", ACCOUNT))
    remedies = " ".join(remedy for _, remedy in wrong(fresh(crm).check([MIRROR_NEED])))
    assert "prvAppendToAccount" in remedies


def webhook_items(crm: Crm) -> list[CheckItem]:
    return [item for item in fresh(crm).check(needs()) if item.step == "webhook"]


@pytest.fixture
def unregistered(crm: Crm) -> Iterator[Callable[..., None]]:
    """Changes rows of the registration as an admin would, and puts them back."""
    before: list[tuple[str, str, dict[str, Any]]] = []

    def change(table: str, name: str, **fields: Any) -> None:
        row = next(r for r in crm.org.store.rows(table) if r.fields["name"] == name)
        before.append((table, row.id, {n: row.fields.get(n) for n in fields}))
        crm.org.edit(table, row.id, fields, REP)

    yield change
    for table, record_id, fields in before:
        crm.org.edit(table, record_id, fields, REP)


def test_check_finds_the_webhook_and_its_steps(crm: Crm) -> None:
    (item,) = webhook_items(crm)
    assert (item.ok, item.warning) == (True, False)
    assert item.detail.endswith("/webhooks/dynamics")


def test_a_webhook_that_leads_elsewhere_is_a_warning(
    crm: Crm, unregistered: Callable[..., None]
) -> None:
    unregistered("serviceendpoint", "dealreg", url="https://elsewhere.example/webhooks/other")
    (item,) = webhook_items(crm)
    assert item.warning
    assert "/webhooks/dynamics" in item.detail


def test_check_names_the_steps_that_are_missing_and_refuses_a_synchronous_one(
    crm: Crm, unregistered: Callable[..., None]
) -> None:
    unregistered("sdkmessageprocessingstep", "Delete of opportunity", statecode=1, statuscode=2)
    unregistered("sdkmessageprocessingstep", "Update of account", mode=0)
    found, synchronous, missing = webhook_items(crm)
    assert found.ok
    assert not synchronous.ok
    assert "Update of account" in synchronous.detail
    assert missing.warning
    assert "Delete of opportunity" in missing.detail


def test_an_update_step_that_no_mapped_column_sets_off_is_a_warning(
    crm: Crm, unregistered: Callable[..., None]
) -> None:
    columns = "estimatedvalue, statecode,parentaccountid,transactioncurrencyid"
    unregistered("sdkmessageprocessingstep", "Update of opportunity", filteringattributes=columns)
    found, silent = webhook_items(crm)
    assert (found.ok, silent.warning) == (True, True)
    assert silent.detail.startswith("the step for Update of opportunity is not filtered on name:")


def test_an_update_step_that_any_column_sets_off_is_a_warning_with_the_columns_to_set(
    crm: Crm, unregistered: Callable[..., None]
) -> None:
    unregistered("sdkmessageprocessingstep", "Update of account", filteringattributes=None)
    found, noisy = webhook_items(crm)
    assert (found.ok, noisy.warning) == (True, True)
    assert "Update of account" in noisy.detail
    assert noisy.remedy.endswith("columns: name.")


def test_a_customer_and_an_owner_are_filtered_on_by_their_column(
    crm: Crm, unregistered: Callable[..., None]
) -> None:
    unregistered("sdkmessageprocessingstep", "Update of opportunity", filteringattributes=None)
    reads = ("customerid_account", "customerid_contact", "ownerid", "createdon")
    items = fresh(crm).check([ObjectNeed(OPPORTUNITY, KEY, reads)])
    (noisy,) = [item for item in items if "filtering" in item.detail]
    assert noisy.remedy.endswith("columns: customerid, ownerid.")


def test_a_role_that_may_not_read_the_registration_is_told(crm: Crm) -> None:
    crm.org.behaviour.revoked.add(("Read", "serviceendpoint"))
    (item,) = webhook_items(crm)
    assert item.warning
    assert "Service Endpoint" in item.remedy
