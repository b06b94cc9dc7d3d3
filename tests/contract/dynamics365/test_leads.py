"""Registrations that stand on leads: written as any row, and followed when one is qualified."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from connectors.port import Absence, CreateItem, Gone, Refused, RemoteRecord, Stale, Written
from registration_core.contracts import Condition, Value
from sandbox.faults import Fault, FaultKind
from tests.contract.dynamics365 import KEY, LEAD, OPPORTUNITY, REP, Crm


def lead(crm: Crm, **fields: Value) -> str:
    return crm.create(LEAD, subject="Forty seats", companyname="Lapwing Ltd", **fields)


def qualify(crm: Crm, record_id: str) -> str:
    row = crm.org.edit(LEAD, record_id, {"statecode": 1}, REP)
    return str(row.fields["qualifyingopportunityid"])


def test_a_lead_is_created_by_key_read_and_changed_like_any_row(crm: Crm) -> None:
    fields: dict[str, Value] = {
        "estimatedamount": Decimal(900),
        "estimatedclosedate": date(2027, 6, 30),
    }
    record_id = lead(crm, leadsourcecode="4", **fields)
    record = crm.read(record_id, "subject", "statecode", *fields, object_name=LEAD)
    assert record.fields == {"subject": "Forty seats", "statecode": "0", **fields}
    patched = crm.update(record_id, {"dr_state": "approved"}, record.version, LEAD)
    assert isinstance(patched, Written)


def test_a_qualified_lead_is_followed_to_its_opportunity_wherever_it_is_asked_for(crm: Crm) -> None:
    record_id = lead(crm, estimatedamount=Decimal(900))
    version = crm.read(record_id, object_name=LEAD).version
    cursor = None
    while (page := crm.connector.changes(LEAD, (KEY,), cursor)).more:
        cursor = page.cursor
    deal = qualify(crm, record_id)
    became = Gone(record_id, Absence.CONVERTED, deal, OPPORTUNITY)
    assert crm.connector.read(LEAD, [record_id], ["subject"]) == {record_id: became}
    assert became in crm.connector.changes(LEAD, (KEY,), page.cursor).gone
    where = [Condition("companyname", ("Lapwing Ltd",))]
    selection = crm.connector.select(LEAD, where, ["subject"], 100)
    assert record_id not in {record.record_id for record in selection.records}
    assert len(selection.records) == crm.connector.count(LEAD, where)
    record = crm.read(deal, "name", "estimatedvalue", "originatingleadid")
    assert record.fields == {
        "name": "Forty seats",
        "estimatedvalue": Decimal(900),
        "originatingleadid": record_id,
    }
    assert crm.update(record_id, {"subject": "Late"}, version, LEAD) == Stale(record_id)


def test_a_disqualified_lead_and_one_qualified_into_nothing_are_rows_like_any_other(
    crm: Crm,
) -> None:
    record_id = lead(crm)
    crm.org.edit(LEAD, record_id, {"statecode": 2}, REP)
    record = crm.read(record_id, "statecode", "statuscode", object_name=LEAD)
    assert record.fields == {"statecode": "2", "statuscode": "4"}
    other = lead(crm)
    row = crm.org.store.get(LEAD, other)
    assert row is not None
    crm.org.store.update(row, {"statecode": 1, "statuscode": 3}, row.created_by)
    found = crm.connector.read(LEAD, [other], ["statecode"])[other]
    assert isinstance(found, RemoteRecord)


def test_the_loser_of_merged_leads_points_at_the_winner(crm: Crm) -> None:
    loser, winner = lead(crm), lead(crm)
    crm.org.merge(LEAD, loser, winner, REP)
    gone = crm.connector.read(LEAD, [loser], ["subject"])[loser]
    assert gone == Gone(loser, Absence.MERGED, winner)


def test_a_lead_that_was_merged_away_is_found_by_the_key_it_had(crm: Crm) -> None:
    key, winner = crm.peer.new_key(), lead(crm)
    (made,) = crm.connector.create(
        LEAD, KEY, [CreateItem(key, {KEY: key, "subject": "Ours", "companyname": "Lapwing Ltd"})]
    )
    assert isinstance(made, Written)
    assert crm.connector.find_gone(LEAD, KEY, [key]) == {}
    crm.org.merge(LEAD, made.record_id, winner, REP)
    gone = crm.connector.find_gone(LEAD, KEY, [key])
    assert gone == {key: Gone(made.record_id, Absence.MERGED, winner)}


def test_a_duplicate_rule_refuses_the_row_and_names_what_it_found(crm: Crm) -> None:
    crm.org.behaviour.duplicate_rules = {LEAD: ("emailaddress1", "companyname")}
    same = {"companyname": "Lapwing Ltd", "emailaddress1": "a@lapwing.example"}
    there = [crm.org.add(LEAD, {"subject": "By hand", **same}, REP).id for _ in range(2)]
    keys = [crm.peer.new_key() for _ in range(2)]
    rows = [{KEY: keys[0], "subject": "Ours", **same}, {KEY: keys[1], "subject": "Another"}]
    items = [CreateItem(key, row) for key, row in zip(keys, rows, strict=True)]
    refused, written = crm.connector.create(LEAD, KEY, items)
    assert isinstance(refused, Refused)
    assert sorted(refused.duplicates) == sorted(there)
    assert "duplicate" in refused.message
    assert "Link the record" in refused.remedy
    assert isinstance(written, Written)
    assert crm.connector.find(LEAD, KEY, keys, ["subject"]).keys() == {keys[1]}


def test_a_duplicate_that_cannot_be_named_is_refused_all_the_same(crm: Crm) -> None:
    crm.org.behaviour.duplicate_rules = {LEAD: ("companyname",)}
    crm.org.add(LEAD, {"subject": "By hand", "companyname": "Lapwing Ltd"}, REP)
    crm.stand_in.faults.add(Fault(FaultKind.THROTTLED, path="RetrieveDuplicates"))
    item = CreateItem(crm.peer.new_key(), {"subject": "Ours", "companyname": "Lapwing Ltd"})
    (refused,) = crm.connector.create(LEAD, KEY, [item])
    assert isinstance(refused, Refused)
    assert refused.duplicates == ()
    assert "slow down" in refused.message
