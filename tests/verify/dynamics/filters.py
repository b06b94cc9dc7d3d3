"""Every `$filter` our connector sends, read by a parser that nobody here wrote."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

from odata_query.grammar import ODataLexer, ODataParser

from registration_core.contracts import Condition, Value
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
#: OData functions of Dataverse that the parser's grammar does not know.
_BEYOND_THE_GRAMMAR = "Microsoft.Dynamics.CRM."


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
    }
    deals: dict[str, tuple[Value, ...]] = {
        "estimatedvalue": (Decimal("12.5"), Decimal(-3), Decimal("1e9")),
        "estimatedclosedate": (date(2027, 6, 30), None),
        "statecode": ("0",),
    }
    found = [("account", [Condition(name, given)]) for name, given in values.items()]
    found.append(("account", [Condition(name, given) for name, given in values.items()]))
    return found + [("opportunity", [Condition(name, given)]) for name, given in deals.items()]


def check(environment: Environment) -> None:
    """Ask for much, and parse what went over the wire."""
    crm, journal = environment.connector, environment.stand_in.journal
    before = journal.total
    for table, where in _conditions():
        crm.select(table, where, ["name"], 5)
        crm.count(table, where)
    crm.read("account", [_GUID], ["name"])
    crm.find("opportunity", "dr_dealregid", _TEXTS, ["name"])
    seen = 0
    for entry in journal.last(journal.total - before):
        for text in parse_qs(urlsplit(entry.path).query).get("$filter", []):
            if _BEYOND_THE_GRAMMAR in text:
                continue
            if not ODataParser().parse(ODataLexer().tokenize(text)):
                raise Differs(f"not a filter: {text}")
            seen += 1
    if not seen:
        raise Differs("no $filter was seen")
