"""Which exact keys say that two records are the same organisation, and how sure they make us.

Pure. Keys are tax id, DUNS, corporate domain, and folded name plus country. An identifier
that both sides have and that differs speaks against every weaker key.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from registration_core.matching.domains import domain_of
from registration_core.model import Account, Band, Customer

#: Raised when keys or bands change, and kept with every check.
MATCHER_VERSION = "exact-keys-1"

_LEGAL_FORMS = frozenset(
    "ab ag as asa bv co company corp corporation gmbh inc incorporated kg kgaa limited llc llp ltd nv "
    "oy oyj plc pty sa sarl sas se spa srl".split()
)

#: Letters that Unicode does not take apart into a plain letter and an accent.
_PLAIN_LETTERS = str.maketrans(
    {"æ": "ae", "đ": "d", "ð": "d", "ı": "i", "ł": "l", "ø": "o", "œ": "oe", "þ": "th"}
)

#: Longest value of a key that is kept, in characters; what follows decides nothing.
_VALUE_MAX = 255


@dataclass(frozen=True)
class MatchKey:
    """One exact key: `tax_id`, `duns`, `domain` or `name_country`, and its folded value."""

    kind: str
    value: str


def fold_name(name: str) -> str:
    """Fold a company name: no case, accents, punctuation or trailing legal form."""
    bare = unicodedata.normalize("NFKD", name).casefold().translate(_PLAIN_LETTERS)
    bare = "".join(c for c in unicodedata.normalize("NFKD", bare) if not unicodedata.combining(c))
    bare = re.sub(r"\b(\w)/(?=\w\b)", r"\1", bare.replace("&", " and "))  # A/S is AS
    words = re.sub(r"[^\w\s]", " ", re.sub("[.'’‘ʼ]", "", bare)).split()
    # "GmbH & Co. KG" leaves an "and" behind.
    while len(words) > 1 and (words[-1] in _LEGAL_FORMS or words[-1] == "and"):
        words.pop()
    return " ".join(words)


def fold_id(value: str) -> str:
    """Fold an identifier: letters and digits only, upper case; '' if it says nothing."""
    folded = re.sub(r"[^0-9A-Za-z]", "", value).upper()
    return folded if folded.strip("0") else ""


def match_keys(
    *, name: str, country: str, tax_id: str = "", duns: str = "", domains: tuple[str, ...] = ()
) -> frozenset[MatchKey]:
    """Return the exact keys of an organisation."""
    found = {("domain", domain) for domain in map(domain_of, domains) if domain}
    if fold_id(tax_id):
        found.add(("tax_id", fold_id(tax_id)))
    if fold_id(duns):
        found.add(("duns", fold_id(duns).zfill(9)))
    if fold_name(name) and country:
        found.add(("name_country", f"{country.upper()}|{fold_name(name)}"))
    return frozenset(MatchKey(kind, value[:_VALUE_MAX]) for kind, value in found)


def customer_keys(customer: Customer) -> frozenset[MatchKey]:
    """Return the keys of a customer as the partner typed it."""
    return match_keys(
        name=customer.name,
        country=customer.country,
        tax_id=customer.tax_id,
        duns=customer.duns,
        domains=(customer.website, customer.email_domain),
    )


def account_keys(account: Account) -> frozenset[MatchKey]:
    """Return the keys of a CRM account."""
    return match_keys(
        name=account.name,
        country=account.country,
        tax_id=account.tax_id,
        duns=account.duns,
        domains=(account.domain,),
    )


@dataclass(frozen=True)
class Match:
    """How sure it is that two sets of keys are one organisation, and why."""

    band: Band
    matched_on: tuple[str, ...]


def compare(left: frozenset[MatchKey], right: frozenset[MatchKey]) -> Match | None:
    """Compare two sets of keys; None if nothing is shared.

    A shared tax id or DUNS is strong; so are name, country and domain together. Domain alone
    or name and country alone ask for a person, and so does an identifier that differs.
    """
    shared = tuple(sorted({key.kind for key in left & right}))
    if not shared:
        return None
    against = any(
        _values(left, kind)
        and _values(right, kind)
        and not _values(left, kind) & _values(right, kind)
        for kind in ("tax_id", "duns")
    )
    identified = "tax_id" in shared or "duns" in shared
    strong = not against and (identified or {"domain", "name_country"} <= set(shared))
    return Match(Band.STRONG if strong else Band.REVIEW, shared)


def _values(keys: frozenset[MatchKey], kind: str) -> set[str]:
    return {key.value for key in keys if key.kind == kind}
