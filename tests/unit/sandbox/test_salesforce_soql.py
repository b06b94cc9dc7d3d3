"""SOQL as the Salesforce stand-in reads it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest

from sandbox.salesforce.engine import SalesforceOrg
from sandbox.salesforce.errors import SalesforceError, Unsupported
from sandbox.salesforce.seed import SALES_REPS


class Names(Protocol):
    """Asks for names of deals."""

    def __call__(self, where: str, tail: str = ...) -> list[object]: ...


@pytest.fixture
def org() -> SalesforceOrg:
    """A seeded org with three more deals, a minute apart."""
    now = [datetime(2026, 11, 24, 10, tzinfo=UTC)]
    credentials = {"client_id": "app", "client_secret": "secret", "webhook_secret": "door"}
    made = SalesforceOrg(lambda: now[0], credentials)
    made.seed()
    for number, (name, amount) in enumerate(
        [("O'Brien \\ Co", 10.5), ("beta_1", None), ("Beta 2", 7)]
    ):
        now[0] += timedelta(minutes=1)
        fields = {"Name": name, "StageName": "Prospecting", "CloseDate": f"2027-01-0{number + 1}"}
        made.add("Opportunity", {**fields, "Amount": amount}, SALES_REPS[0])
    return made


@pytest.fixture
def names(org: SalesforceOrg) -> Names:
    """Ask for the names of the three deals that fit a WHERE clause."""

    def ask(where: str, tail: str = "ORDER BY CloseDate") -> list[object]:
        soql = " ".join(
            ["SELECT Name FROM Opportunity WHERE", f"CloseDate < 2027-01-10 AND ({where})"]
        )
        return [r["Name"] for r in org.reader.query(f"{soql} {tail}").records]

    return ask


ALL = ["O'Brien \\ Co", "beta_1", "Beta 2"]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (r"Name = 'o\'brien \\ co'", ALL[:1]),
        (r"Name = 'O\u0027Brien \\ Co'", ALL[:1]),
        ("Name IN ('BETA_1', 'beta 2')", ALL[1:]),
        ("Name NOT IN ('beta_1')", [ALL[0], ALL[2]]),
        ("Name LIKE 'beta%'", ALL[1:]),
        (r"Name LIKE 'beta\_%'", ALL[1:2]),
        ("Amount = null", ALL[1:2]),
        ("Amount != null", [ALL[0], ALL[2]]),
        ("Amount > 7", ALL[:1]),
        ("Amount >= 7.0", [ALL[0], ALL[2]]),
        ("Amount < 1000", [ALL[0], ALL[2]]),
        ("CloseDate > 2027-01-02", ALL[2:]),
        ("IsClosed = false", ALL),
        ("CreatedDate > 2026-11-24T10:01:00Z", ALL[1:]),
        ("SystemModstamp >= 2026-11-24T11:02:00.000+01:00", ALL[1:]),
        ("NOT Name = 'beta_1'", [ALL[0], ALL[2]]),
        ("(Amount = 7 OR Amount = 10.5) AND Name LIKE 'b%'", ALL[2:]),
    ],
)
def test_a_comparison_finds_what_salesforce_would_find(
    names: Names, where: str, expected: list[object]
) -> None:
    assert names(where) == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("'routing'", ["both", "one"]),
        ("'Routing;Customs'", ["both"]),
        ("'Routing;Cooling','customs'", ["both", "other"]),
        ("'Cooling'", []),
    ],
)
def test_a_set_of_options_is_met_by_whoever_chose_all_of_one_of_them(
    org: SalesforceOrg, asked: str, expected: list[str]
) -> None:
    for name, chosen in (("both", "Customs; Routing"), ("one", "Routing"), ("other", "Customs")):
        deal = {"Name": name, "StageName": "Prospecting", "CloseDate": "2027-06-30"}
        org.add("Opportunity", {**deal, "Modules__c": chosen}, SALES_REPS[0])

    soql = "SELECT Name, Modules__c FROM Opportunity WHERE Modules__c"
    found = org.reader.query(f"{soql} INCLUDES ({asked}) ORDER BY Name").records

    assert [record["Name"] for record in found] == expected
    told = {record["Name"]: record["Modules__c"] for record in found}
    assert told.get("both", "Routing;Customs") == "Routing;Customs"


def test_order_limit_and_offset_are_kept(names: Names) -> None:
    assert names("IsWon = false", "ORDER BY Amount DESC NULLS LAST, Name") == [
        ALL[0],
        ALL[2],
        ALL[1],
    ]
    assert names("IsWon = false", "ORDER BY Amount") == [ALL[1], ALL[2], ALL[0]]
    assert names("IsWon = false", "ORDER BY CloseDate LIMIT 1 OFFSET 1") == [ALL[1]]


def test_an_id_is_found_in_its_short_form_too(org: SalesforceOrg) -> None:
    row = org.store.rows("Opportunity")[0]

    page = org.reader.query(" ".join(["SELECT Id FROM Opportunity WHERE Id =", repr(row.id[:15])]))

    assert [record["Id"] for record in page.records] == [row.id]


def test_count_answers_a_number_and_no_rows(org: SalesforceOrg) -> None:
    page = org.reader.query("SELECT COUNT() FROM Opportunity WHERE CloseDate < 2027-01-10")

    assert (page.total, page.records) == (3, ())


@pytest.mark.parametrize(
    ("soql", "code"),
    [
        ("SELECT Id FROM Opportunity WHERE A = 1 AND B = 2 OR C = 3", "MALFORMED_QUERY"),
        ("SELECT Id FROM Opportunity WHERE Name = 'open", "MALFORMED_QUERY"),
        (r"SELECT Id FROM Opportunity WHERE Name = 'a \ b'", "MALFORMED_QUERY"),
        (r"SELECT Id FROM Opportunity WHERE Name = '\u27'", "MALFORMED_QUERY"),
        ("SELECT Id FROM Opportunity WHERE Id IN ()", "MALFORMED_QUERY"),
        ("SELECT Id FROM Opportunity extra words", "MALFORMED_QUERY"),
        ("SELECT FROM Opportunity", "MALFORMED_QUERY"),
        ("", "MALFORMED_QUERY"),
        ("SELECT Id FROM Opportunity WHERE CloseDate = 2027-13-01", "MALFORMED_QUERY"),
        ("SELECT Id FROM Nothing", "INVALID_TYPE"),
        ("SELECT Nothing FROM Opportunity", "INVALID_FIELD"),
        ("SELECT Id FROM Opportunity WHERE Nothing = 1", "INVALID_FIELD"),
        ("SELECT Id FROM Opportunity WHERE Name = 1", "INVALID_FIELD"),
        ("SELECT Id FROM Opportunity WHERE Amount = '1'", "INVALID_FIELD"),
        ("SELECT Id FROM Opportunity WHERE CloseDate = 2027-01-01T00:00:00Z", "INVALID_FIELD"),
        ("SELECT Id FROM Opportunity WHERE Description = 'x'", "INVALID_FIELD"),
        ("SELECT Id FROM Opportunity WHERE AccountId = 'x'", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT Id FROM Opportunity WHERE Name INCLUDES ('x')", "INVALID_QUERY_FILTER_OPERATOR"),
    ],
)
def test_a_query_that_salesforce_refuses_is_refused_with_its_code(
    org: SalesforceOrg, soql: str, code: str
) -> None:
    with pytest.raises(SalesforceError) as caught:
        org.reader.query(soql)

    assert caught.value.code == code


@pytest.mark.parametrize(
    "soql",
    [
        "SELECT MAX(Amount) FROM Opportunity",
        "SELECT Id, (SELECT Id FROM Contacts) FROM Account",
        "SELECT StageName FROM Opportunity GROUP BY StageName",
        "SELECT Id FROM Opportunity WHERE CloseDate = TODAY",
        "SELECT Account.Name FROM Opportunity",
        "SELECT Id FROM Opportunity WHERE Modules__c EXCLUDES ('Routing')",
    ],
)
def test_what_is_not_played_says_so_and_never_guesses(org: SalesforceOrg, soql: str) -> None:
    with pytest.raises(Unsupported):
        org.reader.query(soql)


def test_a_long_answer_comes_in_pages_until_it_is_done(org: SalesforceOrg) -> None:
    for number in range(450):
        org.add("Account", {"Name": f"Account {number}"}, SALES_REPS[0])
    total = len(org.store.rows("Account"))

    page = org.reader.query("SELECT Id FROM Account", page_size=1)
    ids = [record["Id"] for record in page.records]
    while page.cursor is not None:
        page = org.reader.more(page.cursor)
        ids.extend(record["Id"] for record in page.records)

    assert len(set(ids)) == len(ids) == page.total == total


def test_the_eleventh_open_cursor_closes_the_first(org: SalesforceOrg) -> None:
    for number in range(250):
        org.add("Account", {"Name": f"Account {number}"}, SALES_REPS[0])
    cursors = [org.reader.query("SELECT Id FROM Account", page_size=200).cursor for _ in range(11)]

    assert cursors[0] is not None
    with pytest.raises(SalesforceError, match="INVALID_QUERY_LOCATOR"):
        org.reader.more(cursors[0])
    assert cursors[1] is not None
    assert org.reader.more(cursors[1]).records
