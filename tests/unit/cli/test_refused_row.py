"""From Salesforce's refusal of one row to what a person reads of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from connectors.salesforce.errors import row_outcome
from registration_core.store import repository
from registration_core.store.database import Database
from sync.ledger.tables import IntentRow
from sync.outcomes import settling
from tests.unit.cli.conftest import Dealreg, answer

INTENT = "01a20e3e-62e1-7f66-beb5-0000000000cc"
KEY = "Dealreg_Id__c"
DUPLICATE_RESULT = {
    "matchResults": [
        {"entityType": name, "matchRecords": [{"record": {"Id": record_id}}]}
        for name, record_id in (("Contact", "003000000000001"), ("Lead", "00Q000000000001"))
    ]
}


def refused(store: Database, number: str, error: Mapping[str, Any], companion: str = "") -> None:
    """Settle the create of a record that Salesforce refused with this error."""
    name = "Contact" if companion else "Opportunity"
    outcome = row_outcome([error], record_id="", key_field=KEY, object_name=name)
    with store.begin() as unit:
        unit.session.add(
            IntentRow(
                id=INTENT, registration_id=repository.registration(unit.session, number).id,
                connection="salesforce", object=name, operation="create", record_id=None,
                payload={"LeadSource": "Partner"}, before={}, base={}, mapping_version="",
                companion=companion, key="", owes=[], wanted=1, state="pending", outcome="",
                created_at=unit.now, settled_at=None, audit_since=None, run_id=None,
            )
        )  # fmt: skip
        unit.session.flush()
        settling.settle_all(unit, {INTENT: outcome})


def shown(dealreg: Dealreg) -> str:
    """Read the one dead letter as a person does, its lines joined."""
    (letter,) = answer(dealreg("deadletter", "list", "--json"))
    result = dealreg("deadletter", "show", letter["id"])
    assert result.exit_code == 0, result.output
    assert f"dealreg deadletter retry {letter['id']}" in " ".join(result.output.split())
    return " ".join(result.output.split())


def test_a_refused_row_is_shown_in_salesforces_words_with_its_field_and_what_to_do(
    dealreg: Dealreg, store: Database, number: str
) -> None:
    code = "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"
    words = "Lead Source: bad value for restricted picklist field: Partner"

    refused(store, number, {"statusCode": code, "message": words, "fields": ["LeadSource"]})

    text = shown(dealreg)
    for part in (code, words, "(field LeadSource)", "Add the value to the picklist", number):
        assert part in text
    assert "LeadSource Partner" in text  # what was tried


@pytest.mark.parametrize("companion", ["", "contact"])
def test_every_record_that_a_duplicate_rule_found_is_named(
    dealreg: Dealreg, store: Database, number: str, companion: str
) -> None:
    """Also those of another object, which no link can be proposed to, and those of a companion."""
    words = {"errorCode": "DUPLICATES_DETECTED", "message": "Use one of these records?"}

    refused(store, number, {**words, "duplicateResult": DUPLICATE_RESULT}, companion)

    text = shown(dealreg)
    for found in ("Contact 003000000000001AAA", "Lead 00Q000000000001EAA"):
        assert found in text
