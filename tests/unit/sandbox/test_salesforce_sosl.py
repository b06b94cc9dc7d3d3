"""SOSL as the Salesforce stand-in reads it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sandbox.salesforce.engine import SalesforceOrg
from sandbox.salesforce.errors import SalesforceError, Unsupported
from sandbox.salesforce.seed import SALES_REPS
from sandbox.salesforce.sosl import search


@pytest.fixture
def org() -> SalesforceOrg:
    """A seeded org with an account, a lead and a contact more."""
    credentials = {"client_id": "app", "client_secret": "secret", "webhook_secret": "door"}
    made = SalesforceOrg(lambda: datetime(2026, 11, 24, 10, tzinfo=UTC), credentials)
    made.seed()
    rep = SALES_REPS[0]
    made.add("Account", {"Name": "Zebra Lines: cargo", "BillingCity": "Quito"}, rep)
    made.add("Lead", {"LastName": "Quito", "Company": "Zebras (South)"}, rep)
    made.add("Contact", {"LastName": "Zebra", "Email": "z@quito.example"}, rep)
    return made


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("FIND {zebra} RETURNING Account, Lead, Contact", ["Account", "Contact"]),
        ("FIND {zebra*} RETURNING Lead, Account", ["Lead", "Account"]),
        ("find {ZEBRA cargo} returning Account(Id)", ["Account"]),
        ("FIND {zebra quito} RETURNING Account, Contact", ["Account", "Contact"]),
        ("FIND {quito} IN NAME FIELDS RETURNING Account, Lead, Contact", ["Lead"]),
        (r"FIND {lines\: zebra} IN ALL FIELDS RETURNING Account", ["Account"]),
        ("FIND {zebra*} RETURNING Account, Lead, Contact LIMIT 2", ["Account", "Lead"]),
        ("FIND {zeb} RETURNING Account, Lead, Contact", []),
    ],
)
def test_records_are_found_by_whole_words_or_their_beginnings(
    org: SalesforceOrg, asked: str, expected: list[str]
) -> None:
    records = search(org, asked, "67.0")["searchRecords"]

    assert [record["attributes"]["type"] for record in records] == expected
    assert all(len(record["Id"]) == 18 for record in records)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ("zebra", "MALFORMED_SEARCH"),
        ("FIND zebra RETURNING Account", "MALFORMED_SEARCH"),
        ("FIND {z*} RETURNING Account", "MALFORMED_SEARCH"),
        ("FIND {*bra} RETURNING Account", "MALFORMED_SEARCH"),
        ("FIND {zebra} RETURNING Nothing", "INVALID_TYPE"),
        ("FIND {zebra} RETURNING User", "INVALID_TYPE"),
        ("FIND {zebra} RETURNING Account(Nothing)", "INVALID_FIELD"),
    ],
)
def test_a_search_that_salesforce_refuses_is_refused_with_its_code(
    org: SalesforceOrg, asked: str, code: str
) -> None:
    with pytest.raises(SalesforceError) as caught:
        search(org, asked, "67.0")

    assert caught.value.code == code


@pytest.mark.parametrize(
    "asked",
    [
        "FIND {zebra}",
        'FIND {"zebra lines"} RETURNING Account',
        "FIND {zebra OR lion} RETURNING Account",
        "FIND {zebra} RETURNING Account(Id WHERE Name = 'x')",
        "FIND {zebra} IN EMAIL FIELDS RETURNING Account",
    ],
)
def test_what_is_not_played_says_so_and_never_guesses(org: SalesforceOrg, asked: str) -> None:
    with pytest.raises(Unsupported):
        search(org, asked, "67.0")
