"""Updates of Salesforce records, those on condition among them, and what stops them."""

from __future__ import annotations

import uuid
from datetime import timedelta

from connectors.port import (
    Absence,
    CreateItem,
    CrmConnector,
    Deferred,
    Gone,
    Outcome,
    Refused,
    RemoteRecord,
    Stale,
    UpdateItem,
    Written,
)
from registration_core.contracts import Fields
from sandbox.salesforce.engine import SalesforceOrg
from sandbox.serving import Running
from tests.contract.peers import Timepiece
from tests.contract.salesforce import KEY, OPPORTUNITY, REP, create, item

LEAD = "Lead"


def test_an_update_on_condition_is_written_only_as_the_record_was_read(
    connector: CrmConnector, org: SalesforceOrg, timepiece: Timepiece
) -> None:
    calm, moved, steady = (create(connector) for _ in range(3))
    seen = _read(connector, [calm, moved, steady])
    timepiece.skip(timedelta(seconds=2))
    org.edit(OPPORTUNITY, moved, {"NextStep": "Sign"}, REP)

    patch = {"NextStep": "Ours"}
    since = {i: seen[i].modified_at for i in (moved, steady)}
    outcomes = connector.update(
        OPPORTUNITY,
        [UpdateItem(i, patch, unmodified_since=since.get(i)) for i in (calm, moved, steady)],
    )

    assert outcomes == (Written(calm), Stale(moved), Written(steady))
    held = _read(connector, [calm, moved, steady], "NextStep")
    assert [record.fields["NextStep"] for record in held.values()] == ["Ours", "Sign", "Ours"]


def test_a_refusal_of_a_guarded_write_is_told_of_its_row(
    connector: CrmConnector, org: SalesforceOrg
) -> None:
    good, bad, gone = (create(connector) for _ in range(3))
    for record_id in (good, bad, gone):
        org.edit(OPPORTUNITY, record_id, {"NextStep": "Call"}, REP)
    read = _read(connector, [good, bad, gone])
    org.remove(OPPORTUNITY, gone, REP)
    ours: Fields = {"NextStep": "Ours"}
    patches: dict[str, Fields] = {good: ours, bad: {"Name": None}, gone: ours}
    written, refused, lost = connector.update(
        OPPORTUNITY,
        [UpdateItem(i, p, unmodified_since=read[i].modified_at) for i, p in patches.items()],
    )

    assert written == Written(good)
    assert isinstance(refused, Refused)
    assert refused.field == "Name"
    assert lost == Gone(gone, Absence.DELETED)


def test_no_write_of_ours_hands_a_lead_to_the_queue_of_an_assignment_rule(
    connector: CrmConnector, org: SalesforceOrg
) -> None:
    """Requests within a Composite inherit no such header: each says it itself."""
    queue = org.rules.assign(LEAD)
    calm, moved = (_lead(connector) for _ in range(2))
    assert queue.startswith("00G")
    org.edit(LEAD, moved, {"Company": "Moved Ltd"}, REP)
    (read,) = connector.read(LEAD, [moved], []).values()
    assert isinstance(read, RemoteRecord)
    since = {moved: read.modified_at}
    ours: Fields = {"Email": "buyer@acme.example"}

    outcomes = connector.update(
        LEAD, [UpdateItem(i, ours, unmodified_since=since.get(i)) for i in (calm, moved)]
    )

    assert outcomes == (Written(calm), Written(moved))
    owners = [org.store.get(LEAD, i) for i in (calm, moved)]
    assert {row.fields["OwnerId"] for row in owners if row} == {org.integration_user_id}


def test_a_spent_quota_ends_an_update_at_once_and_what_was_not_sent_waits(
    connector: CrmConnector, org: SalesforceOrg, running: Running
) -> None:
    patches = _on_condition(connector, 55)
    journal = running.crms["salesforce"].journal
    sent, org.calls_max = journal.total, org.calls_today + 1

    outcomes = connector.update(OPPORTUNITY, patches)

    assert journal.total - sent == 2
    assert [type(outcome) for outcome in outcomes] == [Written] * 25 + [Deferred] * 31
    assert {_pause(outcome) for outcome in outcomes[25:]} == {900.0}
    assert all(_is_no_try(outcome) for outcome in outcomes[25:])


def test_a_spent_quota_ends_the_questions_about_duplicates(
    connector: CrmConnector, org: SalesforceOrg, running: Running
) -> None:
    """Collections do not say which records a duplicate rule found, so each row is asked about."""
    org.rules.block_duplicates(LEAD, "Email")
    org.add(LEAD, {"LastName": "Buyer", "Company": "Acme", "Email": "same@acme.example"}, REP)
    items = [_item_of_lead(Email="same@acme.example") for _ in range(3)]
    journal = running.crms["salesforce"].journal
    connector.describe(LEAD)
    sent, org.calls_max = journal.total, org.calls_today + 1

    outcomes = connector.create(LEAD, KEY, items)

    assert journal.total - sent == 2
    assert [_pause(outcome) for outcome in outcomes] == [900.0] * 3


def _item_of_lead(**fields: str) -> CreateItem:
    key = str(uuid.uuid4())
    base = {KEY: key, "LastName": f"Buyer {key[:8]}", "Company": f"Company {key[:8]}"}
    return CreateItem(key, base | fields)


def _lead(connector: CrmConnector) -> str:
    """Make a lead that the connector's own user wrote last and owns."""
    (outcome,) = connector.create(LEAD, KEY, [_item_of_lead()])
    assert isinstance(outcome, Written)
    return outcome.record_id


def _on_condition(connector: CrmConnector, count: int) -> list[UpdateItem]:
    """Word patches of so many deals on condition, and of one without."""
    outcomes = connector.create(OPPORTUNITY, KEY, [item() for _ in range(count + 1)])
    ids = [outcome.record_id for outcome in outcomes if isinstance(outcome, Written)]
    read = _read(connector, ids[:count])
    since = {i: record.modified_at for i, record in read.items()}
    return [UpdateItem(i, {"NextStep": "Ours"}, unmodified_since=since.get(i)) for i in ids]


def _read(connector: CrmConnector, ids: list[str], *fields: str) -> dict[str, RemoteRecord]:
    read = connector.read(OPPORTUNITY, ids, fields)
    return {i: record for i, record in read.items() if isinstance(record, RemoteRecord)}


def _is_no_try(outcome: Outcome) -> bool:
    assert isinstance(outcome, Deferred)
    return outcome.throttled and not outcome.tried


def _pause(outcome: Outcome) -> float:
    assert isinstance(outcome, Deferred)
    return outcome.retry_after_seconds
