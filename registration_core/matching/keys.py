"""Which exact keys say that two records are the same organisation, and how sure they make us.

Pure. Keys are tax id, DUNS, corporate domain, and folded name plus country. An identifier
that both sides have and that differs speaks against every weaker key.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from registration_core.matching import lexicon
from registration_core.matching.domains import domain_of
from registration_core.matching.evidence import Evidence
from registration_core.matching.folding import fold_id, fold_name
from registration_core.matching.matcher import (
    MatchBand,
    OrganisationMatch,
    Relation,
    judge,
    looks_alike,
)
from registration_core.matching.organisation import Organisation, of_account
from registration_core.model import Account, Band, Customer, MatchKey

#: Raised when keys or bands change, and kept with every check.
MATCHER_VERSION = f"evidence-2-{lexicon.DIGEST}"

#: Kinds that identify an organisation by themselves.
_IDENTIFYING = ("tax_id", "duns")

#: How an organisation is related that is the customer itself, or may be.
_ITSELF = (Relation.SAME, Relation.POSSIBLY)
#: Longest value of a key that is kept, in characters; what follows decides nothing.
_VALUE_MAX = 255


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
        domains=(customer.website, *customer.email_domains),
    )


def account_keys(account: Account) -> frozenset[MatchKey]:
    """Return the keys of a CRM account."""
    return match_keys(
        name=account.name,
        country=account.country,
        tax_id=account.tax_id,
        duns=account.duns,
        domains=(account.domain, *account.other_domains.splitlines()),
    )


@dataclass(frozen=True)
class Match:
    """How sure it is that two records are one organisation or one family, and why."""

    band: Band
    matched_on: tuple[str, ...]
    relation: Relation = Relation.SAME
    #: For (positive) and against (negative), heaviest first.
    evidence: tuple[Evidence, ...] = ()
    #: Why it is not strong, in words.
    held_by: str = ""


def compare(left: frozenset[MatchKey], right: frozenset[MatchKey]) -> Match | None:
    """Compare two sets of keys; None if nothing is shared.

    A shared tax id or DUNS is strong; so are name, country and domain together. Domain alone
    or name and country alone ask for a person, and so does an identifier that differs.
    """
    shared = tuple(sorted({key.kind for key in left & right}))
    if not shared:
        return None
    identified = "tax_id" in shared or "duns" in shared
    strong = not _contradict(left, right) and (
        identified or {"domain", "name_country"} <= set(shared)
    )
    return Match(Band.STRONG if strong else Band.REVIEW, shared)


def match_account(
    customer: Organisation, known: frozenset[MatchKey], account: Account
) -> Match | None:
    """Compare a customer, and the keys that are known of it, with an account; None if clear."""
    return match_organisation(customer, known, of_account(account))


def match_organisation(
    customer: Organisation, known: frozenset[MatchKey], other: Organisation
) -> Match | None:
    """Compare a customer, and the keys that are known of it, with an organisation; None if clear.

    Keys learned from the customer's account in another CRM count like typed ones. Whom one names as
    its parent may add relatives, and makes a relative of nobody who may be the customer itself.
    """
    if _identified(known, other):
        judged = _judged(customer, other)
    elif looks_alike(customer, other):
        judged = _judged(customer, other)
        if judged.band is MatchBand.CLEAR:
            return None
    else:
        return None
    keys = match_keys(
        name=other.name,
        country=other.country,
        tax_id=other.tax_id,
        duns=other.duns,
        domains=(other.website, *other.email_domains),
    )
    exact = compare(known, keys)
    agreeing = {e.kind for e in judged.evidence if e.log_odds > 0}
    shared = exact.matched_on if exact else ()
    doubted = _contradict(known, keys)
    strong = (exact is not None and exact.band is Band.STRONG) or (
        judged.band is MatchBand.STRONG and not doubted
    )
    return Match(
        band=Band.STRONG if strong else Band.REVIEW,
        matched_on=shared or tuple(sorted(agreeing)),
        relation=Relation.SAME if strong else judged.relation,
        evidence=judged.evidence,
        held_by="" if strong else judged.held_by,
    )


def _identified(known: frozenset[MatchKey], other: Organisation) -> bool:
    told = {key.value for key in known if key.kind in _IDENTIFYING}
    # Most customers have no identifier, and folding one costs as much as the rest of a glance.
    return bool(told) and not told.isdisjoint((fold_id(other.tax_id), other.duns_number))


def _judged(customer: Organisation, other: Organisation) -> OrganisationMatch:
    judged = judge(customer, other)
    if judged.relation in _ITSELF or not (customer.parent or other.parent):
        return judged
    alone = judge(replace(customer, parent=""), replace(other, parent=""))
    itself = alone.band is not MatchBand.CLEAR and alone.relation in _ITSELF
    return alone if itself else judged


def relation_by_parent(account: Account, other: Account) -> Relation | None:
    """Return what another account of the same CRM is to one, by their parent fields."""
    if account.parent and other.record_id == account.parent:
        return Relation.PARENT
    if other.parent and other.parent == account.record_id:
        return Relation.SUBSIDIARY
    if account.parent and other.parent == account.parent:
        return Relation.SIBLING
    return None


def _contradict(left: frozenset[MatchKey], right: frozenset[MatchKey]) -> bool:
    """Whether both sides have an identifier of one kind, and another one."""
    return any(
        _values(left, kind)
        and _values(right, kind)
        and not _values(left, kind) & _values(right, kind)
        for kind in _IDENTIFYING
    )


def _values(keys: frozenset[MatchKey], kind: str) -> set[str]:
    return {key.value for key in keys if key.kind == kind}
