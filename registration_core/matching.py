"""Which exact keys say that two records are the same organisation, and how sure they make us.

Pure. Keys are tax id, DUNS, corporate domain, and folded name plus country. An identifier
that both sides have and that differs speaks against every weaker key.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import urlsplit

from registration_core.model import Account, Band, Customer

#: Raised when keys or bands change, and kept with every check.
MATCHER_VERSION = "exact-keys-1"

#: Mail and hosting domains that many organisations share; they identify nobody.
SHARED_DOMAINS = frozenset(
    "aol.com gmail.com gmx.com gmx.de gmx.net googlemail.com hotmail.com icloud.com live.com mail.com "
    "mail.ru me.com msn.com outlook.com proton.me protonmail.com qq.com web.de yahoo.com yandex.com "
    "github.io wixsite.com wordpress.com blogspot.com azurewebsites.net herokuapp.com".split()
)

_LEGAL_FORMS = frozenset(
    "ab ag as asa bv co company corp corporation gmbh inc incorporated kg kgaa limited llc llp ltd nv "
    "oy oyj plc pty sa sarl sas se spa srl".split()
)


@dataclass(frozen=True)
class MatchKey:
    """One exact key: `tax_id`, `duns`, `domain` or `name_country`, and its folded value."""

    kind: str
    value: str


def fold_name(name: str) -> str:
    """Fold a company name: no case, accents, punctuation or trailing legal form."""
    bare = unicodedata.normalize("NFKD", name.replace("ß", "ss")).casefold()
    bare = "".join(c for c in bare if not unicodedata.combining(c)).replace("&", " and ")
    words = re.sub(r"[^\w\s]", " ", re.sub(r"[.']", "", bare)).split()
    while len(words) > 1 and words[-1] in _LEGAL_FORMS:
        words.pop()
    return " ".join(words)


def fold_id(value: str) -> str:
    """Fold an identifier: letters and digits only, upper case; '' if it says nothing."""
    folded = re.sub(r"[^0-9A-Za-z]", "", value).upper()
    return folded if folded.strip("0") else ""


def domain_of(website_or_email: str) -> str:
    """Return the host of a website or e-mail address without `www.`; '' if shared or none."""
    text = website_or_email.strip().casefold()
    if "@" in text:
        host = text.rsplit("@", 1)[1]
    else:
        try:
            host = urlsplit(text if "//" in text else f"//{text}").hostname or ""
        except ValueError:  # a website field is free text, for example an open bracket
            return ""
    host = host.removeprefix("www.").rstrip(".")
    return "" if "." not in host or host in SHARED_DOMAINS else host


def match_keys(
    *, name: str, country: str, tax_id: str = "", duns: str = "", domains: tuple[str, ...] = ()
) -> frozenset[MatchKey]:
    """Return the exact keys of an organisation."""
    keys = {MatchKey("domain", d) for d in map(domain_of, domains) if d}
    if fold_id(tax_id):
        keys.add(MatchKey("tax_id", fold_id(tax_id)))
    if fold_id(duns):
        keys.add(MatchKey("duns", fold_id(duns).zfill(9)))
    if fold_name(name) and country:
        keys.add(MatchKey("name_country", f"{fold_name(name)}|{country.upper()}"))
    return frozenset(keys)


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
