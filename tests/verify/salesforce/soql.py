"""Every SOQL query that our connector sends, read by a grammar that nobody here wrote."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

from connectors.port import Gone
from connectors.salesforce.schema import RECORD_TYPE
from registration_core.contracts import Condition, Value
from tests.verify.differences import Differs, expect
from tests.verify.salesforce.environment import Environment, run_node

#: Texts that have to stay one literal each.
TEXTS = (
    "O'Brian",
    "''",
    "\\",
    "\\'",
    "' OR Name != '",
    'quo"te',
    "tab\there",
    "line\nbreak",
    "100%",
    "A & B + C # / ?",
    "Ærø 株式会社",
    "(x)",
    "null",
    "trailing\\",
)
_ID = "001ZZ0000000001YAA"


def _conditions() -> list[tuple[str, list[Condition]]]:
    accounts: dict[str, tuple[Value, ...]] = {
        "Name": TEXTS,
        "Tax_Id__c": (None, "NO 912 345 678"),
        "OwnerId": (_ID, None),
        "Type": ("Customer - Direct",),
        "House_Account__c": (True, False),
        "LastModifiedDate": (datetime(2027, 1, 2, 3, 4, 5, 600, tzinfo=UTC),),
    }
    deals: dict[str, tuple[Value, ...]] = {
        "Amount": (Decimal("12.5"), Decimal(-3), Decimal("1e9")),
        "CloseDate": (date(2027, 6, 30), None),
        "IsClosed": (False,),
        RECORD_TYPE: ("Partner_Deal",),
    }
    found = [("Account", [Condition(name, given)]) for name, given in accounts.items()]
    found.append(("Account", [Condition(name, given) for name, given in accounts.items()]))
    return found + [("Opportunity", [Condition(name, given)]) for name, given in deals.items()]


def check(environment: Environment) -> None:
    """Ask for much, and have what went over the wire parsed."""
    crm, journal = environment.connector, environment.stand_in.journal
    before = journal.total
    for name, where in _conditions():
        crm.select(name, where, ["Name"], 5)
        crm.count(name, where)
    crm.find("Opportunity", "Dealreg_Id__c", [t for t in TEXTS if len(t) < 36], ["Name"])
    gone = crm.read("Account", [_ID], ["Name"])[_ID]
    expect(isinstance(gone, Gone), True, "a record that is not there")
    cursor = crm.changes("Opportunity", ["Name"], None).cursor
    crm.changes("Opportunity", ["Name"], cursor)
    crm.history("Opportunity", [_ID], ["StageName", "Name"], datetime(2026, 1, 1, tzinfo=UTC))
    crm.check([])
    queries = [
        text
        for entry in journal.last(journal.total - before)
        for text in parse_qs(urlsplit(entry.path).query, keep_blank_values=True).get("q", [])
    ]
    _all_valid(environment, queries)
    _literals_survive(environment)


def _parsed(environment: Environment, queries: list[str]) -> list[dict[str, object]]:
    lines = "".join(json.dumps(query) + "\n" for query in queries)
    found = [json.loads(line) for line in run_node("soql.mjs", environment, stdin=lines).split("\n")
             if line]  # fmt: skip
    expect(len(found), len(queries), "queries that were looked at")
    return found


def _all_valid(environment: Environment, queries: list[str]) -> None:
    if len(queries) < 20:
        raise Differs(f"only {len(queries)} queries were seen")
    for query, told in zip(queries, _parsed(environment, queries), strict=True):
        if not told["valid"]:
            raise Differs(f"not a query: {query}")


def _literals_survive(environment: Environment) -> None:
    """Each hostile text is one literal of the query that asks for it, and the only one."""
    crm, journal = environment.connector, environment.stand_in.journal
    queries = []
    for text in TEXTS:
        crm.count("Account", [Condition("Name", (text,))])
        (entry,) = journal.last(1)
        queries += parse_qs(urlsplit(entry.path).query)["q"]
    for text, query, told in zip(TEXTS, queries, _parsed(environment, queries), strict=True):
        literals = told["literals"]
        assert isinstance(literals, list)
        expect(len(literals), 1, f"literals of {query}")
        expect(_unescaped(str(literals[0])), text, f"the literal of {query}")


def _unescaped(literal: str) -> str:
    body = literal.removeprefix("'").removesuffix("'")
    out, escaped = [], False
    for letter in body:
        if escaped:
            out.append({"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}.get(letter, letter))
            escaped = False
        elif letter == "\\":
            escaped = True
        else:
            out.append(letter)
    return "".join(out)
