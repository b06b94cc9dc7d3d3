"""Find the accounts that are a customer, belong to its family, or may do so.

Pure. `Matcher` keeps its accounts in memory; a store finds candidates by the same keys
(`blocking`) and scores them with `judge`. Bands: `strong` needs an identifier, or a name that
fits together with a second, independent agreement; shared domain, acronym or one name inside
another reach `review` at most; below that it is `clear`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from rapidfuzz import fuzz

from registration_core.matching import blocking, lexicon
from registration_core.matching.evidence import Comparison, Evidence, compare, probability
from registration_core.matching.organisation import Organisation


class MatchBand(StrEnum):
    """How sure a match is; `clear` is none."""

    STRONG = "strong"
    REVIEW = "review"
    CLEAR = "clear"


class Relation(StrEnum):
    """What an account is to the customer."""

    SAME = "same"
    PARENT = "parent"
    SUBSIDIARY = "subsidiary"
    SIBLING = "sibling"
    POSSIBLY = "possibly"

    @property
    def distance(self) -> int | None:
        """Steps between both in the family tree, 0 for the same one; None where nothing says it."""
        return {"same": 0, "parent": 1, "subsidiary": 1, "sibling": 2}.get(self.value)


@dataclass(frozen=True)
class OrganisationMatch:
    """One account against the customer: how sure, how related, and why."""

    account: Organisation
    #: Probability that both are one organisation, 0 to 1.
    score: float
    band: MatchBand
    relation: Relation
    #: For (positive) and against (negative), heaviest first; none for what is clear.
    evidence: tuple[Evidence, ...]
    #: Why the band is not higher, in words; empty if nothing holds it down.
    held_by: str = ""


#: Most members of its family that one strong match brings along.
FAMILY_MAX = 20
_FAMILY = "a relative of the customer's account"
#: Agreements that do not come from the name.
_SECOND = ("domain", "phone", "postcode")
_IDENTIFIERS = ("tax_id", "duns")


def judge(customer: Organisation, account: Organisation) -> OrganisationMatch:
    """Compare a customer with one account and say which band it falls in."""
    found = compare(customer, account)
    same, family = found.total("same"), found.total("family")
    limits = lexicon.WEIGHTS["bands"]
    named = _named_relation(customer, account, found)
    identified = any(kind in found.measures for kind in _IDENTIFIERS)
    one = same >= limits["review"] or identified
    relation = named or (Relation.SAME if one else _name_relation(found))
    reached = (
        same >= limits["review"]
        or family >= limits["family"]
        or named is not None
        or _needs_a_look(found)
    )
    held_by = "" if not reached else _held_by(found, same, identified=identified)
    band = MatchBand.CLEAR
    if reached:
        strong = relation is Relation.SAME and not held_by
        band = MatchBand.STRONG if strong else MatchBand.REVIEW
    model = "same" if relation is Relation.SAME else "family"
    evidence = found.evidence(model) if reached else ()
    return OrganisationMatch(account, probability(same), band, relation, evidence, held_by)


#: How alike, in per cent, two names must be written to be compared at length: all their words, in
#: any order, or their brands. Of 314,000 pairs below both that were compared all the same, two were
#: worth a look.
_WORDS_ALIKE, _BRAND_ALIKE = 80.0, 60.0
#: Names of so few letters are always compared: they may be acronyms.
_SHORT = 7
#: Letters with which names of one brand begin, however its words are run together.
_OPENING = 5


def looks_alike(customer: Organisation, other: Organisation) -> bool:
    """Whether two records are worth a comparison: a glance that costs a twentieth of `judge`.

    Always so for those that share an identifier, a domain or a phone, where one names the other as
    its parent, and where an alias or a short name might say more than is written.
    """
    if customer.aliases or other.aliases or customer.parent:
        return True
    if other.parent and any(name.joined in other.parent_names for name in customer.names):
        return True
    for kind in ("tax", "duns_number", "phone_end"):
        value = getattr(customer, kind)
        if value and value == getattr(other, kind):
            return True
    if customer.domains and customer.domains & other.domains:
        return True
    left, right = customer.glance, other.glance
    return (
        min(len(left), len(right)) <= _SHORT
        or customer.run_on[:_OPENING] == other.run_on[:_OPENING]
        or fuzz.ratio(customer.brand, other.brand, score_cutoff=_BRAND_ALIKE) > 0
        or fuzz.token_set_ratio(left, right, score_cutoff=_WORDS_ALIKE) > 0
    )


def with_family(
    judged: Iterable[OrganisationMatch],
    relatives: Callable[[Organisation], Iterable[tuple[Organisation, Relation]]],
) -> list[OrganisationMatch]:
    """Leave out what is clear and add the known family of strong matches, surest first."""
    flagged = [match for match in judged if match.band is not MatchBand.CLEAR]
    seen = {id(match.account) for match in flagged}
    for match in [m for m in flagged if m.band is MatchBand.STRONG]:
        for account, relation in islice(relatives(match.account), FAMILY_MAX):
            if id(account) not in seen:
                seen.add(id(account))
                said = Evidence("family", match.account.name, account.name, 0.0)
                flagged.append(
                    OrganisationMatch(account, 0.0, MatchBand.REVIEW, relation, (said,), _FAMILY)
                )
    return sorted(flagged, key=lambda m: (m.band is not MatchBand.STRONG, -m.score))


def _needs_a_look(found: Comparison) -> bool:
    """Whether one agreement alone is enough to show a person, whatever speaks against it."""
    if any(kind in found.measures for kind in (*_IDENTIFIERS, "domain")):
        return True
    named_alike = found.name is not None and bool(found.name.measures.get("equal"))
    return named_alike and "country" in found.measures


def _held_by(found: Comparison, same: float, *, identified: bool) -> str:
    """Say what keeps a match from being strong; '' if nothing does."""
    measures, limits = found.measures, lexicon.WEIGHTS["bands"]
    name = found.name.measures if found.name else {}
    differing = [kind for kind in _IDENTIFIERS if f"other_{kind}" in measures]
    if differing:
        return f"another {differing[0].replace('_', ' ')}"
    if identified:
        return ""
    if name.get("numbers_differ") or name.get("places_differ"):
        return "the names differ in a number or a place"
    if found.name is None or found.name.log_odds < limits["name"]:
        return "the names do not fit by themselves"
    if name.get("acronym") or (name.get("contained") and not name.get("equal")):
        return "one name is only an acronym or a part of the other"
    if not any(kind in measures for kind in _SECOND):
        return "only the name fits"
    return "" if same >= limits["strong"] else "the evidence does not add up to a strong match"


def _named_relation(
    customer: Organisation, account: Organisation, found: Comparison
) -> Relation | None:
    """Return the relation that a `parent` field says, if one does."""
    if customer.parent and _is(customer.parent, account):
        return Relation.PARENT
    if account.parent and _is(account.parent, customer):
        return Relation.SUBSIDIARY
    if customer.parent and account.parent and "tax_id" not in found.measures:
        ours, theirs = Organisation(customer.parent), Organisation(account.parent)
        if customer.parent == account.parent or _same_name(ours, theirs):
            return Relation.SIBLING
    return None


def _is(parent: str, other: Organisation) -> bool:
    return parent == other.id or _same_name(Organisation(parent), other)


def _same_name(left: Organisation, right: Organisation) -> bool:
    name = compare(left, right).name
    return name is not None and bool(name.measures.get("equal"))


def _name_relation(found: Comparison) -> Relation:
    """Guess the relation where no field says it: the shorter name is the parent's."""
    name = found.name
    if (
        name is None
        or not name.measures.get("contained")
        or "rare_first_word" not in found.measures
    ):
        return Relation.POSSIBLY
    shorter = len(name.right.words) < len(name.left.words)
    return Relation.PARENT if shorter else Relation.SUBSIDIARY


class Matcher:
    """Accounts in memory, and the customer's matches among them."""

    def __init__(self, accounts: Iterable[Organisation]) -> None:
        self._accounts = tuple(accounts)
        self._by_key: dict[str, list[int]] = defaultdict(list)
        self._by_id = {account.id: at for at, account in enumerate(self._accounts) if account.id}
        self._children: dict[str, list[int]] = defaultdict(list)
        for at, account in enumerate(self._accounts):
            for key in blocking.keys_of(account):
                self._by_key[key].append(at)
            if account.parent:
                self._children[account.parent].append(at)

    def candidates(self, customer: Organisation) -> list[Organisation]:
        """Return the accounts worth a comparison, likeliest first, at most `CANDIDATES_MAX`."""
        hits = {key: self._by_key.get(key, []) for key in blocking.sought_by(customer)}
        hits = {key: refs for key, refs in hits.items() if 0 < len(refs) <= blocking.CAP}
        counts = {key: len(refs) for key, refs in hits.items()}
        return [self._accounts[at] for at in blocking.rank(hits, counts, len(self._accounts))]

    def match(self, customer: Organisation) -> list[OrganisationMatch]:
        """Return the matches that are not clear, surest first, with the family of strong ones."""
        alike = (a for a in self.candidates(customer) if looks_alike(customer, a))
        return with_family([judge(customer, account) for account in alike], self._relatives)

    def _relatives(self, account: Organisation) -> list[tuple[Organisation, Relation]]:
        up = self._by_id.get(account.parent) if account.parent else None
        down = self._children.get(account.id, []) if account.id else []
        beside = self._children.get(account.parent, []) if account.parent else []
        return [
            *([(self._accounts[up], Relation.PARENT)] if up is not None else []),
            *((self._accounts[at], Relation.SUBSIDIARY) for at in down),
            *((self._accounts[at], Relation.SIBLING) for at in beside),
        ]
