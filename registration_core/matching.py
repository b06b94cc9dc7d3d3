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

#: Mail, hosting and social domains that many organisations share; they identify nobody.
SHARED_DOMAINS = frozenset(
    "163.com aol.com btinternet.com comcast.net free.fr gmail.com gmx.at gmx.ch gmx.com gmx.de gmx.net "
    "googlemail.com hotmail.co.uk hotmail.com icloud.com live.co.uk live.com mail.com mail.ru me.com "
    "msn.com orange.fr outlook.com proton.me protonmail.com qq.com t-online.de web.de yahoo.co.uk "
    "yahoo.com yandex.com azurewebsites.net blogspot.com github.io herokuapp.com wixsite.com "
    "wordpress.com facebook.com instagram.com linkedin.com twitter.com x.com xing.com".split()
)

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

_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)+")


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


def domain_of(website_or_email: str) -> str:
    """Return the host of a website or e-mail address without `www.`; '' if shared or none.

    International names are given in the form that DNS uses, `xn--…`.
    """
    text = website_or_email.strip().casefold()
    try:
        # An e-mail address is a host with a user in front, as far as a URL is concerned.
        host = urlsplit(text if re.match("([a-z]+:)?//", text) else f"//{text}").hostname or ""
        host = re.sub(r"^(www\.)+", "", host.rstrip(".").encode("idna").decode())
    except ValueError:  # a website field is free text, for example an open bracket
        return ""
    return host if _HOST.fullmatch(host) and host not in SHARED_DOMAINS else ""


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
