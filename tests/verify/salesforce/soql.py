"""Every kind of SOQL query that our connector sends, read by a grammar that nobody here wrote.

The values come from a generator (`hostile.py`). The grammar has to take each query, and to find in
it the literals that were asked for and no others.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from random import Random
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

from connectors.port import ChangePage, ObjectNeed
from connectors.salesforce import feed
from connectors.salesforce.connector import SalesforceConnector
from connectors.salesforce.schema import RECORD_TYPE
from registration_core.contracts import Condition, Value
from sandbox.records import Json
from sandbox.salesforce.ids import to_18
from sandbox.salesforce.seed import SALES_REPS
from tests.verify.differences import Differs, expect
from tests.verify.salesforce import hostile
from tests.verify.salesforce.environment import Environment, run_node

SEEDS = range(4)
_KEY = "Dealreg_Id__c"
_KEY_LENGTH = 36
_SELECT = r"[\w, ]+ FROM \w+"
_SWEEP = r"ORDER BY SystemModstamp, Id LIMIT \d+"
#: What the connector asks, from behind SELECT. Each has to be seen, and nothing else may be.
KINDS = {
    "who we are": r"Username FROM User WHERE Id = '\w+'",
    "the organisation": r"Name, IsSandbox FROM Organization LIMIT 1",
    "tracked fields": r"QualifiedApiName, IsFieldHistoryTracked FROM FieldDefinition "
    r"WHERE EntityDefinition\.QualifiedApiName = '\w+'",
    "our permission sets": r"PermissionSetId FROM PermissionSetAssignment WHERE AssigneeId = '\w+'",
    "what they show": r"SobjectType FROM ObjectPermissions WHERE ParentId = '\w+' "
    r"AND PermissionsViewAllRecords = true",
    "whether deletions are told": r"Id FROM \w+ WHERE IsDeleted = true LIMIT 1",
    "a first sweep": rf"{_SELECT} {_SWEEP}",
    "a later sweep": rf"{_SELECT} WHERE SystemModstamp >= \S+ {_SWEEP}",
    "the next page of a sweep": rf"{_SELECT} WHERE SystemModstamp > \S+ OR "
    rf"\(SystemModstamp = \S+ AND Id > '\w+'\) {_SWEEP}",
    "past stages": r".+ FROM OpportunityHistory WHERE OpportunityId .+ ORDER BY CreatedDate, Id",
    **{
        f"the past in {name}": rf".+ FROM {name} WHERE {parent} (=|IN) .+ "
        r"AND CreatedDate >= \S+ ORDER BY CreatedDate, Id"
        for name, parent in (
            ("OpportunityFieldHistory", "OpportunityId"),
            ("AccountHistory", "AccountId"),
            ("LeadHistory", "LeadId"),
            ("Deal_Registration__History", "ParentId"),
        )
    },
    "why records are gone": r"Id, IsDeleted[\w, ]* FROM \w+ WHERE Id (=|IN) .+",
    "what had a key and is gone": rf"{_KEY}, Id, IsDeleted[\w, ]* FROM \w+ WHERE {_KEY} .+",
    "records by key": rf"Id, CreatedDate[\w, ]* FROM \w+ WHERE {_KEY} (=|IN) .+",
    "active users by address": r"Id, Email FROM User WHERE Email (=|IN) .+ "
    r"AND IsActive = true ORDER BY Id",
    "how many there are": r"COUNT\(\) FROM \w+",
    "how many fit": r"COUNT\(\) FROM \w+ WHERE .+",
    "which fit": rf"{_SELECT} WHERE .+ ORDER BY Id LIMIT \d+",
    "which fit one of several sets": rf"{_SELECT} WHERE .*INCLUDES \(.+ ORDER BY Id LIMIT \d+",
    "which fit a value or none": rf"{_SELECT} WHERE .*\(\w+ = null OR .+ ORDER BY Id LIMIT \d+",
}


@dataclass(frozen=True)
class _Question:
    """Something that the connector is asked."""

    what: str
    ask: Callable[[], object]
    #: The literals of its queries, all together; None where they are not ours to choose.
    literals: Sequence[Value] | None = None


def check(environment: Environment) -> None:
    """Ask everything with much, and have what went over the wire parsed."""
    kinds: set[str] = set()
    for seed in SEEDS:
        crm = SalesforceConnector(environment.settings, environment.org.store.clock)
        random = Random(seed)
        for make in (_standing, _conditions, _lookups, _feed, _past):
            kinds |= _hold(environment, list(make(environment, crm, random)), f"seed {seed}")
    expect(sorted(KINDS.keys() - kinds), [], "kinds of query that nobody saw")


def _standing(
    _environment: Environment, crm: SalesforceConnector, _random: Random
) -> Iterator[_Question]:
    needs = [ObjectNeed("Opportunity", _KEY), ObjectNeed("Account", reads=("Name",))]
    yield _Question("check", partial(crm.check, needs))


def _conditions(
    _environment: Environment, crm: SalesforceConnector, random: Random
) -> Iterator[_Question]:
    texts = hostile.texts(random, 40)
    sets = [tuple(text.replace(";", " ") for text in texts[n : n + 2]) for n in (0, 2, 4)]
    types = ("Direct_Deal", "Partner_Deal")
    type_ids = tuple(crm.schema("Opportunity").record_types[name] for name in types)
    asked: list[tuple[str, Sequence[Value], Sequence[Value]]] = [
        *(("Name", (text,), (text,)) for text in texts),
        ("Name", (*texts, None), (*texts, None)),
        ("LeadSource", texts, texts),
        ("OwnerId", ids := hostile.ids(random, "005", 3), ids),
        ("Amount", numbers := hostile.numbers(random, 10), numbers),
        ("CloseDate", days := hostile.dates(random, 10), days),
        ("LastModifiedDate", moments := hostile.moments(random, 10), moments),
        ("IsClosed", (True, False), (True, False)),
        ("Modules__c", sets, [";".join(each) for each in sets]),
        (RECORD_TYPE, types, type_ids),
    ]
    yield _Question("count all", partial(crm.count, "Opportunity", []), [])
    together = [(Condition(name, tuple(values)), given) for name, values, given in asked[-6:]]
    for condition, given in [(Condition(n, tuple(v)), g) for n, v, g in asked]:
        yield _Question(
            f"count {condition.field}", partial(crm.count, "Opportunity", [condition]), given
        )
    for where, literals in (
        *(([condition], given) for condition, given in together),
        ([Condition("Name", (*texts, None))], (*texts, None)),
        ([c for c, _ in together], [value for _, given in together for value in given]),
    ):
        yield _Question("select", partial(crm.select, "Opportunity", where, ["Name"], 5), literals)


def _lookups(
    environment: Environment, crm: SalesforceConnector, random: Random
) -> Iterator[_Question]:
    keys = hostile.texts(random, 40, _KEY_LENGTH)
    yield _Question("find", partial(crm.find, "Opportunity", _KEY, keys, ["Name"]), keys)
    yield _Question("find gone", partial(crm.find_gone, "Opportunity", _KEY, keys), keys)
    for key in keys[:10]:
        yield _Question("find", partial(crm.find, "Account", _KEY, [key], []), [key])
        yield _Question("find gone", partial(crm.find_gone, "Account", _KEY, [key]), [key])
    for addresses in (keys[:10], keys[:1]):
        yield _Question("users", partial(crm.users, addresses), [*addresses, True])
    rep, org = SALES_REPS[0], environment.org
    first, second, last = (org.add("Account", {"Name": n}, rep).id for n in ("A", "B", "C"))
    org.merge("Account", first, second, rep)
    org.merge("Account", second, last, rep)
    merged = [first, second, last]
    yield _Question("read", partial(crm.read, "Account", [first], ["Name"]), merged)
    strange = [*hostile.texts(random, 5), "006"]
    yield _Question("read", partial(crm.read, "Opportunity", strange, ["Name"]), [])


def _feed(
    environment: Environment, crm: SalesforceConnector, _random: Random
) -> Iterator[_Question]:
    org = environment.org
    deal: dict[str, Json] = {
        "Name": "A deal",
        "StageName": "Prospecting",
        "CloseDate": "2027-06-30",
    }
    for _ in range(2):
        org.add("Opportunity", deal, SALES_REPS[0])
    first = crm.changes("Opportunity", ["Name"], None)
    yield _Question("first", partial(crm.changes, "Opportunity", ["Name"], None), [])
    yield _Question("later", partial(crm.changes, "Opportunity", ["Name"], first.cursor))

    def in_small_pages(cursor: str | None) -> ChangePage:
        with patch.object(feed, "PAGE_ROWS", 1):
            return crm.changes("Opportunity", ["Name"], cursor)

    page = in_small_pages(None)
    (last,) = (org.store.get("Opportunity", row.record_id) for row in page.records)
    assert last is not None
    stamp = last.modified_at.replace(microsecond=0)
    after: list[Value] = [stamp, stamp, last.id]
    yield _Question("next page", partial(in_small_pages, page.cursor), after)


def _past(
    _environment: Environment, crm: SalesforceConnector, random: Random
) -> Iterator[_Question]:
    since = hostile.moments(random, 1)[0]
    begin = since.replace(microsecond=0)
    for name, prefix, field in (
        ("Opportunity", "006", "Name"),
        ("Account", "001", "Name"),
        ("Lead", "00Q", "Company"),
        ("Deal_Registration__c", "a0D", "Stage__c"),
    ):
        crm.describe(name)
        ids = [to_18(short) for short in hostile.ids(random, prefix, 3)]
        yield _Question(
            f"history of {name}",
            partial(crm.history, name, ids, [field], since),
            [*ids, begin],
        )
    ids = [to_18(short) for short in hostile.ids(random, "006", 3)]
    yield _Question(
        "history of stages", partial(crm.history, "Opportunity", ids, ["StageName"], since), ids
    )


def _hold(environment: Environment, questions: list[_Question], where: str) -> set[str]:
    """Ask, have the queries parsed, and say which kinds of query there were."""
    queries: list[list[str]] = []
    for question in questions:
        before = environment.stand_in.journal.total
        question.ask()
        queries.append(_sent_since(environment, before))
    parsed = iter(_parsed(environment, [query for sent in queries for query in sent]))
    kinds: set[str] = set()
    for question, sent in zip(questions, queries, strict=True):
        found: list[str] = []
        for query in sent:
            told = next(parsed)
            if not told["valid"]:
                raise Differs(f"{where}, {question.what}: not a query: {query!r}")
            kinds |= _kinds_of(query)
            found += told["literals"]
        if question.literals is not None:
            seen, wanted = Counter(map(_value, found)), Counter(map(_typed, question.literals))
            what = f"{where}, {question.what}: literals of {sent!r}"
            expect(sorted((seen - wanted).items()), [], f"{what} that nobody asked for")
            expect(sorted((wanted - seen).items()), [], f"{what} that are missing")
    return kinds


def _sent_since(environment: Environment, before: int) -> list[str]:
    journal = environment.stand_in.journal
    return [
        text
        for entry in journal.last(journal.total - before)
        for text in parse_qs(urlsplit(entry.path).query, keep_blank_values=True).get("q", [])
    ]


def _kinds_of(query: str) -> set[str]:
    asked = query.removeprefix("SELECT ")
    kinds = {name for name, form in KINDS.items() if re.fullmatch(form, asked, re.DOTALL)}
    if not kinds:
        raise Differs(f"a kind of query that is not listed: {query!r}")
    return kinds


def _parsed(environment: Environment, queries: list[str]) -> list[dict[str, list[str]]]:
    lines = "".join(json.dumps(query) + "\n" for query in queries)
    printed = run_node("soql.mjs", environment, stdin=lines)
    found = [json.loads(line) for line in printed.split("\n") if line]
    expect(len(found), len(queries), "queries that were looked at")
    return found


def _value(literal: str) -> tuple[str, str]:
    """Read a literal as the grammar hands it out."""
    if literal.startswith("'"):
        return _typed(_unescaped(literal[1:-1]))
    words: dict[str, Value] = {"NULL": None, "TRUE": True, "FALSE": False}
    if literal.upper() in words:
        return _typed(words[literal.upper()])
    if re.match(r"\d{4}-\d\d-\d\dT", literal):
        return _typed(datetime.fromisoformat(literal))
    if re.match(r"\d{4}-\d\d-\d\d", literal):
        return _typed(date.fromisoformat(literal))
    return _typed(Decimal(literal))


def _typed(value: Value) -> tuple[str, str]:
    if isinstance(value, Decimal):
        return "number", format(value.normalize(), "f")
    if isinstance(value, datetime):
        return "datetime", value.astimezone(UTC).isoformat()
    return type(value).__name__, unicodedata.normalize("NFC", str(value))


def _unescaped(text: str) -> str:
    r"""Undo the escapes of SOQL: a letter, or `\u` and four hex digits (SOQL and SOSL Reference)."""
    letters = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
    return re.sub(
        r"\\(?:u([0-9A-Fa-f]{4})|(.))",
        lambda m: chr(int(m[1], 16)) if m[1] else letters.get(m[2], m[2]),
        text,
        flags=re.DOTALL,
    )
