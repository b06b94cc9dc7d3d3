"""What speaks for and against two records being one organisation, or one family.

Pure and symmetric. Each piece of evidence has a name, both values, and its worth in log-odds
from `weights.json`; the sum is the score, so that a person can follow it line by line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from registration_core.matching import lexicon, similarity
from registration_core.matching.domains import DomainClass, domain_class, label_of
from registration_core.matching.family import name_family
from registration_core.matching.names import Name, read_name, run_apart
from registration_core.matching.organisation import Organisation

#: A name alone never says more than this, for or against.
_NAME_FOR_MAX = 6.0
_NAME_AGAINST_MAX = 8.0


@dataclass(frozen=True)
class Evidence:
    """One thing that both records say, and its worth in log-odds: positive speaks for."""

    kind: str
    left: str
    right: str
    log_odds: float


@dataclass(frozen=True)
class NameComparison:
    """The two names that fit best, out of names and aliases, and their measures."""

    left: Name
    right: Name
    measures: Mapping[str, float]
    log_odds: float


@dataclass(frozen=True)
class Comparison:
    """Everything two records say about each other, in measures and in log-odds."""

    name: NameComparison | None
    measures: Mapping[str, float]
    values: Mapping[str, tuple[str, str]]

    def total(self, model: str) -> float:
        """Return the log-odds of `same` (one organisation) or `family` (same or related)."""
        return _sum(self.measures, lexicon.WEIGHTS[model])

    def evidence(self, model: str) -> tuple[Evidence, ...]:
        """Return each piece of evidence for and against, heaviest first."""
        weights = lexicon.WEIGHTS[model]
        found = [
            Evidence(kind, *self.values.get(kind, ("", "")), round(weights[kind] * value, 2))
            for kind, value in self.measures.items()
            if weights.get(kind)
        ]
        return tuple(sorted(found, key=lambda piece: (-abs(piece.log_odds), piece.kind)))


def _sum(measures: Mapping[str, float], weights: Mapping[str, float]) -> float:
    total = weights.get("base", 0.0)
    for kind, value in measures.items():
        total += weights.get(kind, 0.0) * value
    return total


def compare_names(left: Name, right: Name) -> NameComparison:
    """Compare two names that were taken apart."""
    # Words are paired best first; in one order for both directions, so that ties fall alike.
    left, right = run_apart(left, right), run_apart(right, left)
    first, second = (left, right) if left.order <= right.order else (right, left)
    measures = similarity.measure(first, second)
    log_odds = _sum(similarity.stepped(measures), lexicon.WEIGHTS["name"])
    return NameComparison(left, right, measures, log_odds)


def best_names(left: tuple[Name, ...], right: tuple[Name, ...]) -> NameComparison | None:
    """Compare every name of one side with every name of the other; the most alike count."""
    compared = [compare_names(a, b) for a in left[:4] for b in right[:4]]
    return max(compared, key=lambda c: c.log_odds, default=None)


def score_names(left: str, right: str) -> float:
    """Return how likely two names are one organisation's, 0 to 1; .5 is the even point.

    Symmetric; 1 for names that are equal but for case, script, punctuation and legal form; 0
    where a name says nothing. The work is bounded whatever the length.
    """
    if left.strip() == right.strip() and left.strip():
        return 1.0
    best = best_names(read_name(left), read_name(right))
    if best is None:
        return 0.0
    if best.left.words == best.right.words and not best.measures.get("forms_differ"):
        return 1.0
    return probability(best.log_odds)


def probability(log_odds: float) -> float:
    """Turn log-odds into a probability."""
    return 1 / (1 + math.exp(-max(-40.0, min(40.0, log_odds))))


#: Kinds of evidence that are one plain value on each side, and the form in which it is compared.
_FORMS: tuple[tuple[str, Callable[[Organisation], str]], ...] = (
    ("tax_id", lambda organisation: organisation.tax),
    ("duns", lambda organisation: organisation.duns_number),
    ("phone", lambda organisation: organisation.phone_end),
    ("country", lambda organisation: organisation.country_code),
    ("region", lambda organisation: organisation.plain_region),
    ("city", lambda organisation: organisation.plain_city),
    ("postcode", lambda organisation: organisation.plain_postcode),
)


def compare(left: Organisation, right: Organisation) -> Comparison:
    """Compare two records in everything they say."""
    name = best_names(left.names, right.names)
    measures: dict[str, float] = {}
    values: dict[str, tuple[str, str]] = {}

    def add(kind: str, a: str, b: str, value: float = 1.0) -> None:
        if value:
            measures[kind] = value
            values[kind] = (a, b)

    if name is not None:
        add("name", left.name, right.name, min(_NAME_FOR_MAX, max(0.0, name.log_odds)))
        add("other_name", left.name, right.name, min(_NAME_AGAINST_MAX, max(0.0, -name.log_odds)))
        for kind, a, b, value in name_family(name.left, name.right, name.measures):
            add(kind, a, b, value)
    for kind, form in _FORMS:
        a = form(left)
        if a and (b := form(right)):
            agree = a == b or (kind == "city" and _alike(a, b))
            if kind == "tax_id" and not agree and left.country_code != right.country_code:
                continue  # a branch has another number in each country
            if kind in ("city", "postcode", "region") and "other_country" in measures and not agree:
                continue  # told by the country already
            add(kind if agree else f"other_{kind}", a, b)
    for kind, a, b in _domain_evidence(left, right):
        add(kind, a, b)
    return Comparison(name, measures, values)


def _alike(left: str, right: str) -> bool:
    short, long = sorted((left, right), key=len)
    return len(short) >= 6 and long.startswith(short[:6])


def _domains_begin_alike(left: str, right: str) -> str:
    """Tell `acme-france.com` and `acme.com` from `acmeretail.com` and `acme.com`; '' if neither."""
    names = left.partition(".")[0], right.partition(".")[0]
    short, long = sorted(names, key=len)
    if len(short) > 2 and long.startswith(f"{short}-"):
        more = long[len(short) + 1 :].split("-")
        return "domain_with_place" if lexicon.is_place(more) else "domain_with_more"
    short, long = sorted(map(label_of, (left, right)), key=len)
    return "domain_begins_alike" if len(short) > 4 and long.startswith(short) else ""


def _domain_evidence(left: Organisation, right: Organisation) -> list[tuple[str, str, str]]:
    if not left.domains and not right.domains:
        return []
    both = sorted(left.domains & right.domains)
    if both:
        corporate = [d for d in both if domain_class(d) is DomainClass.CORPORATE]
        return [("domain" if corporate else "public_domain", (corporate or both)[0], both[0])]
    labels = {label_of(d) for d in left.domains}, {label_of(d) for d in right.domains}
    shared = sorted(labels[0] & labels[1])
    if shared:
        return [("domain_name", shared[0], shared[0])]
    opened = [
        (kind, a, b)
        for a in sorted(left.domains)
        for b in sorted(right.domains)
        if (kind := _domains_begin_alike(a, b))
    ]
    if opened:
        return [max(opened)]  # one with more beats one that begins alike
    found: list[tuple[str, str, str]] = []
    for own, other in ((labels[0], right), (labels[1], left)):
        spelled = {n.joined for n in other.names} | {n.spelled for n in other.names}
        spelled |= {a for n in other.names for a in n.acronyms}
        hit = sorted(own & spelled)
        brand = sorted(own & {n.words[0].raw for n in other.names if len(n.words[0].raw) > 3})
        if hit and not found:
            found.append(("domain_spells_name", hit[0], other.name))
        elif brand and not found:
            found.append(("domain_spells_first_word", brand[0], other.name))
    if left.domains and right.domains:
        found.append(("other_domain", min(left.domains), min(right.domains)))
    return found
