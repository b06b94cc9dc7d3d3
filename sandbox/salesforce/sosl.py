"""SOSL: words that are looked for in several objects at once.

SOQL and SOSL Reference, "SOSL Syntax", "FIND {SearchQuery}", "IN SearchGroup" and "RETURNING
FieldSpec". jsforce and simple-salesforce send it: `FIND {words} [IN ALL FIELDS | NAME FIELDS]
RETURNING Object[(field, …)], … [LIMIT n]`. Every word has to be in a record, `*` stands for the rest
of one. Phrases, operators, `?` and `WHERE` are `Unsupported`, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sandbox.records import Row
from sandbox.salesforce.engine import SalesforceOrg
from sandbox.salesforce.errors import SalesforceError, Unsupported
from sandbox.salesforce.filtering import field_of
from sandbox.salesforce.reading import record_json
from sandbox.salesforce.schema import SalesforceField, SalesforceObject

FOUND_MAX = 2000
_FIND = re.compile(
    r"\s*FIND\s*\{(?P<words>(?:[^{}\\]|\\.)*)\}(?P<rest>.*)", re.IGNORECASE | re.DOTALL
)
_REST = re.compile(
    r"(?:\s*IN\s+(?P<group>ALL|NAME)\s+FIELDS)?\s*RETURNING\s+"
    r"(?P<objects>\w+(?:\s*\([\w\s,]+\))?(?:\s*,\s*\w+(?:\s*\([\w\s,]+\))?)*)"
    r"(?:\s+LIMIT\s+(?P<limit>\d+))?\s*",
    re.IGNORECASE | re.DOTALL,
)
_OBJECT = re.compile(r"(\w+)\s*(?:\(([\w\s,]+)\))?")
_OPERATORS = re.compile(r'(?<!\\)["()?|&!+^~-]|\b(?:AND|OR|NOT)\b')
_TEXT_TYPES = frozenset({"string", "textarea", "phone", "url", "email", "picklist"})
_NAMES = frozenset({"Name", "FirstName", "LastName"})
_STAR = "\0"


def search(org: SalesforceOrg, text: str, version: str) -> dict[str, Any]:
    """Answer a search with records of each object in turn; `SalesforceError` if it cannot be read."""
    found = _FIND.fullmatch(text)
    if found is None:
        raise SalesforceError("MALFORMED_SEARCH", f"unexpected token: '{text.strip()[:20]}'")
    asked = _REST.fullmatch(found["rest"])
    if asked is None:
        raise Unsupported(f"this search is not played by the Salesforce stand-in: {text}")
    fits = _predicate(found["words"])
    most = min(int(asked["limit"] or FOUND_MAX), FOUND_MAX)
    records: list[dict[str, Any]] = []
    for name, listed in _OBJECT.findall(asked["objects"]):
        thing = _searchable(org, name)
        fields = [field_of(thing, each.strip()) for each in (listed or "Id").split(",")]
        looked_at = _looked_at(thing, names_only=(asked["group"] or "").upper() == "NAME")
        rows = [row for row in org.store.rows(thing.name) if fits(row, looked_at)]
        records += [record_json(row, fields, version) for row in rows]
    return {"searchRecords": records[:most]}


def _searchable(org: SalesforceOrg, name: str) -> SalesforceObject:
    thing = org.object_named(name)
    if thing is None or not thing.writable:
        raise SalesforceError("INVALID_TYPE", f"sObject type '{name}' is not supported.")
    return thing


def _looked_at(thing: SalesforceObject, *, names_only: bool) -> list[SalesforceField]:
    text = [field for field in thing.fields.values() if field.type in _TEXT_TYPES]
    return [field for field in text if field.name in _NAMES] if names_only else text


def _predicate(words: str) -> Callable[[Row, list[SalesforceField]], bool]:
    if _OPERATORS.search(words):
        raise Unsupported("phrases and operators of SOSL are not played by the Salesforce stand-in")
    starred = re.sub(r"(?<!\\)\*", _STAR, words.casefold())
    tokens = re.findall(rf"[\w{_STAR}]+", re.sub(r"\\(.)", r"\1", starred))
    if not tokens or any(_STAR in token[:-1] for token in tokens):
        raise SalesforceError("MALFORMED_SEARCH", f"no word to look for: {words}")
    if len("".join(tokens).replace(_STAR, "")) < 2:
        raise SalesforceError("MALFORMED_SEARCH", "search term must be longer than one character")

    def fits(row: Row, fields: list[SalesforceField]) -> bool:
        texts = (str(row.fields.get(field.name) or "") for field in fields)
        there = re.findall(r"\w+", " ".join(texts).casefold())
        return all(
            any(word.startswith(token[:-1]) for word in there)
            if token.endswith(_STAR)
            else token in there
            for token in tokens
        )

    return fits
