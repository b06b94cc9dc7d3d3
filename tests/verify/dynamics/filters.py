"""Every `$filter` our connector sends, read by a parser that nobody here wrote."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

from odata_query.exceptions import ODataException
from odata_query.grammar import ODataLexer, ODataParser

from connectors.port import ObjectNeed
from registration_core.contracts import Condition, Value
from sandbox.dynamics365.engine import DynamicsOrg
from tests.verify.differences import Differs
from tests.verify.dynamics.environment import Environment

#: Texts that have to stay one literal each.
_TEXTS = (
    "O'Brian",
    "''",
    "a' or '1' eq '1",
    "100%",
    "A & B + C # / ?",
    "Ærø 株式会社",
    "(x)",
    "null",
)
_GUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
#: Functions of Dataverse are beyond the parser's grammar: each is a term in the place of another.
_FUNCTION = re.compile(
    r"Microsoft\.Dynamics\.CRM\.\w+\(PropertyName='\w+',PropertyValues=\[[^\[\]]*\]\)"
)
#: What has to be among what is seen, or something was never asked.
_ASKED = (
    "name eq 'O''Brian'",
    "modifiedon ge ",
    "accountid eq 'a function'",
    "_eventhandler_value eq ",
    "primaryobjecttypecode eq ",
    "_qualifyingopportunityid_value eq null",
    "merged eq false",
)


def _conditions() -> list[tuple[str, list[Condition]]]:
    values: dict[str, tuple[Value, ...]] = {
        "name": _TEXTS,
        "dr_taxid": (None, "NO 912 345 678"),
        "accountid": (_GUID,),
        "ownerid": (_GUID, None),
        "customertypecode": ("3", "5"),
        "dr_houseaccount": (True, False),
        "modifiedon": (datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC),),
        "transactioncurrencyid": ("EUR",),
        "new_segments": ("3", "4"),
    }
    deals: dict[str, tuple[Value, ...]] = {
        "estimatedvalue": (Decimal("12.5"), Decimal(-3), Decimal("1e9")),
        "estimatedclosedate": (date(2027, 6, 30), None),
        "statecode": ("0",),
    }
    leads: dict[str, tuple[Value, ...]] = {"companyname": _TEXTS, "leadsourcecode": ("4",)}
    found = [("account", [Condition(name, given)]) for name, given in values.items()]
    found.append(("account", [Condition(name, given) for name, given in values.items()]))
    found += [("opportunity", [Condition(name, given)]) for name, given in deals.items()]
    return found + [("lead", [Condition(name, given)]) for name, given in leads.items()]


def _ask(environment: Environment) -> None:
    """Ask for everything that a filter is worded for."""
    crm, org = environment.connector, environment.stand_in.org
    assert isinstance(org, DynamicsOrg)
    for table, where in _conditions():
        crm.select(table, where, ["createdon"], 5)
        crm.count(table, where)
    crm.read("account", [_GUID], ["name"])
    crm.find("opportunity", "dr_dealregid", _TEXTS, ["name"])
    crm.check([ObjectNeed("account", None, ("name",)), ObjectNeed("lead", None, ("subject",))])
    org.behaviour.untracked.add("account")
    try:
        crm.describe("account", fresh=True)
        page = crm.changes("account", ["name"], None)
        while page.more:
            page = crm.changes("account", ["name"], page.cursor)
        crm.changes("account", ["name"], page.cursor)
    finally:
        org.behaviour.untracked.clear()
        crm.describe("account", fresh=True)


def check(environment: Environment) -> None:
    """Ask for much, and parse what went over the wire."""
    journal = environment.stand_in.journal
    before = journal.total
    _ask(environment)
    queries = [urlsplit(entry.path).query for entry in journal.last(journal.total - before)]
    seen = [
        _FUNCTION.sub("accountid eq 'a function'", text)
        for query in queries
        for text in parse_qs(query).get("$filter", [])
    ]
    for text in seen:
        try:
            parsed = ODataParser().parse(ODataLexer().tokenize(text))
        except ODataException as error:
            raise Differs(f"not a filter: {text}: {error}") from error
        if not parsed:
            raise Differs(f"not a filter: {text}")
    unseen = [asked for asked in _ASKED if not any(asked in text for text in seen)]
    if unseen:
        raise Differs(f"never asked: {', '.join(unseen)}")
